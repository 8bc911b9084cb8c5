"""Circuits as OpenQASM, read by PennyLane's importer, and by Qiskit and Cirq if installed."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from qrl.backends.openqasm import encode, to_openqasm
from qrl.circuits.angles import Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import GATES, Gate
from qrl.circuits.measurement import settings
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.simulator.program import compile_circuit
from tests.support.circuits import random_circuit


def numbers(seed: int) -> Circuit:
    """A random circuit at random angles."""
    circuit = random_circuit(seed, max_wires=4)
    n_free = sum(not isinstance(gate.angle, float | None) for gate in circuit.gates)
    return circuit.at(np.random.default_rng(seed).normal(size=n_free).tolist())


EVERY = Circuit(
    2,
    (
        Gate("H", (0,)),
        Gate("RY", (1,), 0.3),
        *(Gate(n, (0, 1)[: k.n_wires], 0.7 if k.rotation else None) for n, k in GATES.items()),
        *(Gate(n, (1, 0), -0.4 if k.rotation else None) for n, k in GATES.items() if k.n_wires == 2),
    ),
    (Observable.of("Z0"), Observable.of("X1"), Observable.of((0.5, "Y0 Z1"), (0.2, "X0"))),
)
"""Every gate, both ways round."""

CIRCUITS = [EVERY, *(numbers(seed) for seed in range(5))]


def expected(circuit: Circuit) -> np.ndarray:
    program, nothing = compile_circuit(circuit), torch.zeros(0, dtype=torch.float64)
    return program.run(program.bind(nothing, nothing), torch.zeros(1, 0, dtype=torch.float64))[0].numpy()


PAULI = {"X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}


def of_state(circuit: Circuit, state: np.ndarray) -> np.ndarray:
    """Expectation values in a state whose first axis is wire 0."""
    state = np.asarray(state).reshape((2,) * circuit.n_wires)
    values = []
    for observable in circuit.observables:
        total = 0.0
        for word in observable.words:
            turned = state
            for wire, pauli in word.factors:
                turned = np.moveaxis(np.tensordot(PAULI[pauli], turned, (1, wire)), 0, wire)
            total += word.coefficient * np.vdot(state, turned).real
        values.append(total)
    return np.array(values)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("index", range(len(CIRCUITS)))
def test_equal_in_qiskit(index, version):
    pytest.importorskip("qiskit")
    from qiskit import QuantumCircuit, qasm3, quantum_info

    circuit = CIRCUITS[index]
    text = to_openqasm(circuit, version)
    read = QuantumCircuit.from_qasm_str(text) if version == 2 else qasm3.loads(text)
    state = quantum_info.Statevector(read).reverse_qargs().data  # Qiskit's qubit 0 is the least significant bit
    np.testing.assert_allclose(of_state(circuit, state), expected(circuit), atol=1e-6)


@pytest.mark.parametrize("index", range(len(CIRCUITS)))
def test_equal_in_qiskits_format(index):
    pytest.importorskip("qiskit")
    import io

    from qiskit import qpy, quantum_info

    circuit = CIRCUITS[index]
    (read,) = qpy.load(io.BytesIO(encode(circuit, "qiskit")))
    state = quantum_info.Statevector(read).reverse_qargs().data
    np.testing.assert_allclose(of_state(circuit, state), expected(circuit), atol=1e-6)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("index", range(len(CIRCUITS)))
def test_equal_in_cirq(index, version):
    cirq = pytest.importorskip("cirq")
    from cirq.contrib.qasm_import import circuit_from_qasm

    circuit = CIRCUITS[index]
    read = circuit_from_qasm(to_openqasm(circuit, version))
    qubits = [cirq.NamedQubit(f"q_{wire}") for wire in range(circuit.n_wires)]
    state = cirq.final_state_vector(read, qubit_order=qubits, dtype=np.complex128)
    np.testing.assert_allclose(of_state(circuit, state), expected(circuit), atol=1e-6)


def test_text_by_hand():
    circuit = Circuit(2, (Gate("H", (0,)), Gate("CRY", (1, 0), 0.5), Gate("CNOT", (0, 1))), (Observable.of("Z0"),))
    controlled = "ry(0.25) q[0]; cx q[1], q[0]; ry(-0.25) q[0]; cx q[1], q[0];"
    body = f"h q[0];\n{controlled}\ncx q[0], q[1];\n"
    assert to_openqasm(circuit, 2) == f'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\n{body}'
    assert to_openqasm(circuit, 3) == f'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\n{body}'


def test_measurements_by_hand():
    """Each wire is turned into its basis; rotations by 0 say nothing and are left out."""
    gates = (Gate("RY", (0,), 0.0), Gate("CNOT", (0, 1)), Gate("RXX", (0, 1), -0.0))
    circuit = Circuit(3, gates, (Observable.of("Y0 X1"), Observable.of("X1")))
    (setting,) = settings(circuit)
    turned = "cx q[0], q[1];\nsdg q[0]; h q[0];\nh q[1];\n"
    for version, registers, measured in (
        (2, "qreg q[3];\ncreg c[3];\n", "measure q[0] -> c[0];\nmeasure q[1] -> c[1];\n"),
        (3, "qubit[3] q;\nbit[3] c;\n", "c[0] = measure q[0];\nc[1] = measure q[1];\n"),
    ):
        text = to_openqasm(circuit, version, setting)
        assert text.partition('.inc";\n')[2] == registers + turned + measured
        assert to_openqasm(circuit, version) == text.replace(turned + measured, "cx q[0], q[1];\n").replace(
            registers.split("\n")[1] + "\n", ""
        )


def means(file: bytes, kind: str, shots: int) -> Callable[[Sequence[int]], float]:
    """The mean of the product of outcomes on wires in a file that Qiskit simulates: from counts, or exact."""
    import io

    from qiskit import QuantumCircuit, qasm3, qpy, quantum_info
    from qiskit.primitives import StatevectorSampler

    read = {
        "openqasm2": lambda: QuantumCircuit.from_qasm_str(file.decode()),
        "openqasm3": lambda: qasm3.loads(file.decode()),
        "qiskit": lambda: qpy.load(io.BytesIO(file))[0],
    }[kind]()
    if shots:
        counts = StatevectorSampler(seed=0).run([read], shots=shots).result()[0].data.c.get_counts()
    else:
        places = {read.find_bit(each.qubits[0]).index: read.find_bit(each.clbits[0]).index
                  for each in read.data if each.operation.name == "measure"}  # fmt: skip
        assert all(qubit == bit for qubit, bit in places.items())
        state = quantum_info.Statevector(read.remove_final_measurements(inplace=False))
        counts = state.probabilities_dict()
    total = sum(counts.values())

    def mean(wires: Sequence[int]) -> float:
        """Qiskit writes bit 0 last."""
        return (
            sum(count * (-1) ** sum(int(bits[-1 - wire]) for wire in wires) for bits, count in counts.items()) / total
        )

    return mean


@pytest.mark.parametrize("shots", [0, 20_000])
@pytest.mark.parametrize("kind", ["openqasm2", "openqasm3", "qiskit"])
@pytest.mark.parametrize("index", range(len(CIRCUITS)))
def test_measured_files_give_the_expectation_values(index, kind, shots):
    """Every term from the outcomes of its own setting; five standard errors of each where there are shots."""
    pytest.importorskip("qiskit")
    circuit = CIRCUITS[index]
    found, error = np.zeros(circuit.n_observables), np.full(circuit.n_observables, 1e-6)
    for setting in settings(circuit):
        mean = means(encode(circuit, kind, setting), kind, shots)
        for observable, word in setting.words:
            found[observable] += word.coefficient * mean([wire for wire, _ in word.factors])
            error[observable] += 5 * abs(word.coefficient) / shots**0.5 if shots else 0
    assert (abs(found - expected(circuit)) <= error).all()


def test_unsupported_circuits_are_rejected():
    open_angle = Circuit(1, (Gate("RX", (0,), Weight(0)),), (Observable.of("Z0"),))
    with pytest.raises(UsageError, match=r"the angle of RX\(w0\) is not a number"):
        to_openqasm(open_angle)
    with pytest.raises(UsageError, match="unknown format 'openqasm'; did you mean 'openqasm"):
        encode(EVERY, "openqasm")
    with pytest.raises(UsageError, match="1 angles are not constant, 2 were given"):
        open_angle.at([0.1, 0.2])
