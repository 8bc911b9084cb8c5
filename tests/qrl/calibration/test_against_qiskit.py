"""A device's calibration in the fused executor against Qiskit's own evolution and Aer."""

import numpy as np
import pytest

from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.decompositions import QASM_NAMES
from qrl.circuits.gates import GATES, Gate
from qrl.circuits.observables import Observable
from qrl.noise.calibration import Calibration
from tests.support.calibrations import channel, scaled, values
from tests.support.circuits import random_circuit

PAULI = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1.0, -1.0])}


def numbers(seed: int, **sizes) -> Circuit:
    """A random circuit at random angles."""
    circuit = random_circuit(seed, **sizes)
    n_free = sum(isinstance(gate.angle, Weight | Input) for gate in circuit.gates)
    return circuit.at(np.random.default_rng(seed).normal(size=n_free).tolist())


def in_qiskit(circuit: Circuit):
    from qiskit import QuantumCircuit

    written = QuantumCircuit(circuit.n_wires)
    for gate in circuit.gates:
        getattr(written, QASM_NAMES[gate.name])(*(() if gate.angle is None else (gate.angle,)), *gate.wires)
    return written


def evolved(written, errors) -> np.ndarray:
    """Density matrix after Qiskit's gates, each followed by `errors(name, qubits)`; wire 0 first."""
    from qiskit.quantum_info import DensityMatrix, SuperOp

    state = DensityMatrix.from_int(0, 2**written.num_qubits)
    for step in written.data:
        name, qubits = step.operation.name, tuple(written.find_bit(qubit).index for qubit in step.qubits)
        state = state.evolve(step.operation, qargs=qubits)
        if (error := errors(name, qubits)) is not None:
            state = state.evolve(SuperOp(error), qargs=qubits)
    return wire_0_first(state.data)


def wire_0_first(state: np.ndarray) -> np.ndarray:
    """Reverse the qubits: Qiskit's qubit 0 is the least significant bit."""
    n = len(state).bit_length() - 1
    order = [*range(n)[::-1], *range(2 * n - 1, n - 1, -1)]
    return state.reshape((2,) * (2 * n)).transpose(order).reshape(2**n, 2**n)


def of_state(circuit: Circuit, state: np.ndarray, confusion=()) -> np.ndarray:
    """Expectation values, of the readout if confusion matrices [actual, read] are given."""
    found = []
    for observable in circuit.observables:
        total = 0.0
        for word in observable.words:
            matrix = np.eye(1)
            for wire in range(circuit.n_wires):
                factor = PAULI[dict(word.factors).get(wire, "I")]
                if confusion and wire in dict(word.factors):
                    of_0, of_1 = confusion[wire] @ [1, -1]  # mean readout given 0 and given 1
                    factor = (of_0 + of_1) / 2 * np.eye(2) + (of_0 - of_1) / 2 * factor
                matrix = np.kron(matrix, factor)
            total += word.coefficient * np.trace(matrix @ state).real
        found.append(total)
    return np.array(found)


@pytest.mark.parametrize("seed", [0, 3, 5, 6, 10, 13])
def test_errors_of_native_gates_equal_qiskit(seed):
    """One block of wires and several; on one wire and two; default errors, and qubit-specific ones."""
    aer = pytest.importorskip("qiskit_aer")
    circuit = numbers(seed, max_wires=5, max_gates=12)
    model = aer.noise.NoiseModel(basis_gates=[*QASM_NAMES.values()])
    found = {}
    for index, (name, kind) in enumerate(GATES.items()):
        found[QASM_NAMES[name], None] = channel(kind.n_wires, index)
        model.add_all_qubit_quantum_error(found[QASM_NAMES[name], None], QASM_NAMES[name])
    for name, wires in dict.fromkeys((QASM_NAMES[gate.name], gate.wires) for gate in circuit.gates[::2]):
        found[name, wires] = channel(len(wires), 100 + len(found))
        model.add_quantum_error(found[name, wires], name, wires)
    confusion = [np.array([[1 - p, p], [2 * p, 1 - 2 * p]]) for p in (0.1, 0.02, 0.2, 0.07, 0.03)]
    model.add_all_qubit_readout_error(confusion[0])
    for wire in range(1, circuit.n_wires):
        model.add_readout_error(confusion[wire], [wire])
    state = evolved(in_qiskit(circuit), lambda name, qubits: found.get((name, qubits), found.get((name, None))))
    calibration = Calibration.from_qiskit(model)
    expected = of_state(circuit, state, confusion)
    np.testing.assert_allclose(values(circuit, calibration), expected, atol=1e-12)
    # From the outcome probabilities, as for shots.
    np.testing.assert_allclose(values(circuit, calibration, draw=lambda p: p), expected, atol=1e-12)


@pytest.mark.parametrize("entangler", ["cx", "cz", "ecr"])
def test_other_gates_are_decomposed_as_in_qiskit(entangler):
    """Every gate in both orientations, transpiled by Qiskit one by one; damping reveals its position within a gate."""
    aer = pytest.importorskip("qiskit_aer")
    from qiskit import transpile

    gates = [Gate("RY", (0,), 0.3), Gate("RX", (1,), 1.1)]
    for name, kind in GATES.items():
        gates += [Gate(name, (0, 1)[: kind.n_wires], 0.7 if kind.rotation else None)]
        gates += [Gate(name, (1, 0), -0.4 if kind.rotation else None)] if kind.n_wires == 2 else []
    circuit = Circuit(2, tuple(gates), tuple(Observable.of(word) for word in ("X0", "Y0 Z1", "Z0", "X0 X1")))
    damping = aer.noise.amplitude_damping_error(0.01)
    errors = {"sx": damping, "x": aer.noise.amplitude_damping_error(0.02)}
    errors[entangler] = aer.noise.amplitude_damping_error(0.03).expand(damping)
    model = aer.noise.NoiseModel(basis_gates=["rz", "sx", "x", entangler])
    for name, error in errors.items():
        model.add_all_qubit_quantum_error(error, name)
    compiled = transpile(in_qiskit(circuit), basis_gates=model.basis_gates, optimization_level=0)
    expected = of_state(circuit, evolved(compiled, lambda name, _: errors.get(name)))
    np.testing.assert_allclose(values(circuit, Calibration.from_qiskit(model)), expected, atol=1e-12)
    assert abs(values(circuit) - expected).max() > 0.05
    quarters = [Gate("RX", (0,), sign * np.pi / 2) for sign in (1, -1)]
    steps = [[step for step in Calibration.from_qiskit(model).noisy_gates(gate) if step.error] for gate in quarters]
    assert [len(each) for each in steps] == [1, 1]


@pytest.mark.parametrize(
    "basis", [("rz", "sx", "cx"), ("u3", "cx"), ("u", "cz"), ("rx", "rz", "cz"), ("p", "rx", "cx")]
)
def test_native_gates_of_other_devices_give_the_same_circuit(basis):
    circuit = numbers(1, max_wires=4)
    perfect = Calibration("perfect", basis, (scaled(basis[-1], None, 1.0),))
    np.testing.assert_allclose(values(circuit, perfect), values(circuit), atol=1e-12)


def test_calibration_of_a_backend_equals_aer():
    aer = pytest.importorskip("qiskit_aer")
    from qiskit import transpile
    from qiskit.providers.fake_provider import GenericBackendV2

    backend = GenericBackendV2(num_qubits=5, seed=7)
    model = aer.noise.NoiseModel.from_backend(backend)
    circuit = numbers(6, max_wires=5, max_gates=14)
    compiled = transpile(in_qiskit(circuit), basis_gates=model.basis_gates, optimization_level=0)
    compiled.save_density_matrix()
    simulator = aer.AerSimulator(method="density_matrix", noise_model=model)
    state = wire_0_first(np.asarray(simulator.run(compiled).result().data()["density_matrix"]))
    readout = {wires: np.array(error["probabilities"]) for error in model.to_dict()["errors"]
               if error["type"] == "roerror" for wires in error["gate_qubits"]}  # fmt: skip
    confusion = [readout[wire,] for wire in range(circuit.n_wires)]
    calibration = Calibration.from_qiskit(backend)
    assert circuit.n_wires == 5 == calibration.n_wires
    np.testing.assert_allclose(values(circuit, calibration), of_state(circuit, state, confusion), atol=1e-9)
    assert Calibration.from_qiskit(model).errors == calibration.errors


def test_readout_confusion_has_aers_orientation():
    aer = pytest.importorskip("qiskit_aer")
    from qiskit import QuantumCircuit

    model = aer.noise.NoiseModel()
    model.add_all_qubit_readout_error([[0.95, 0.05], [0.3, 0.7]])
    counted = QuantumCircuit(1)
    counted.x(0)
    counted.measure_all()
    counts = aer.AerSimulator(noise_model=model, seed_simulator=1).run(counted, shots=20_000).result().get_counts()
    circuit = Circuit(1, (Gate("X", (0,)),), (Observable.of("Z0"),))
    (value,) = values(circuit, Calibration.from_qiskit(model))
    assert value == pytest.approx(0.3 - 0.7)
    assert (counts["0"] - counts["1"]) / 20_000 == pytest.approx(value, abs=4 * 2 * (0.3 * 0.7 / 20_000) ** 0.5)
