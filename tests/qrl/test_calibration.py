"""A device's calibration in the fused executor: against Qiskit's own evolution, Aer, and numbers by hand."""

import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.func import grad, vmap

from agents.cli.evaluate import run_evaluation
from agents.cli.main import main
from agents.cli.options import EvaluateOptions, parse_train
from agents.core.spec import Spec
from agents.experiment.api import load
from agents.experiment.start import run_resume, run_training
from agents.maml import Config
from envs.core.registry import ENVS
from qrl.backends.backend import Backend
from qrl.backends.pennylane import to_qnode
from qrl.circuits.circuit import Circuit
from qrl.circuits.decompositions import QASM_NAMES
from qrl.circuits.gates import GATES, Gate, Input, Weight
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.models import MODELS
from qrl.noise.calibration import Calibration
from qrl.noise.model import Noise, embedded
from qrl.noise.native_gates import USED, GateError, pauli_words
from qrl.noise.readout import Readout
from qrl.simulator.program import compile_circuit
from tests.support.circuits import random_circuit

DOUBLE = torch.float64
PAULI = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1.0, -1.0])}


@pytest.fixture(autouse=True)
def no_log():
    """Aer logs that a qubit's own error replaces the one of all."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def values(circuit: Circuit, calibration: Calibration | None = None, draw=None, **strengths) -> np.ndarray:
    """Of a circuit of constants [observable]."""
    program, nothing = (
        compile_circuit(circuit, Noise(calibration=calibration, **strengths)),
        torch.zeros(0, dtype=DOUBLE),
    )
    return program.run(program.bind(nothing, nothing), torch.zeros(1, 0, dtype=DOUBLE), draw)[0].numpy()


def scaled(gate: str, wires, factor: float) -> GateError:
    """A depolarizing error that leaves this share of every Pauli word."""
    n = 4 ** USED[gate]
    return GateError(gate, wires, tuple(map(tuple, np.diag([1.0] + [factor] * (n - 1)).tolist())))


# --- the same, computed by Qiskit -------------------------------------------------------------------------------------


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
    """The density matrix after Qiskit's gates, each followed by `errors(name, qubits)`; wire 0 first."""
    from qiskit.quantum_info import DensityMatrix, SuperOp

    state = DensityMatrix.from_int(0, 2**written.num_qubits)
    for step in written.data:
        name, qubits = step.operation.name, tuple(written.find_bit(qubit).index for qubit in step.qubits)
        state = state.evolve(step.operation, qargs=qubits)
        if (error := errors(name, qubits)) is not None:
            state = state.evolve(SuperOp(error), qargs=qubits)
    return wire_0_first(state.data)


def wire_0_first(state: np.ndarray) -> np.ndarray:
    """Qiskit's qubit 0 is the least significant bit."""
    n = len(state).bit_length() - 1
    order = [*range(n)[::-1], *range(2 * n - 1, n - 1, -1)]
    return state.reshape((2,) * (2 * n)).transpose(order).reshape(2**n, 2**n)


def of_state(circuit: Circuit, state: np.ndarray, confusion=()) -> np.ndarray:
    """Expectation values; with confusion matrices [what there is, reading] those of what is read."""
    found = []
    for observable in circuit.observables:
        total = 0.0
        for word in observable.words:
            matrix = np.eye(1)
            for wire in range(circuit.n_wires):
                factor = PAULI[dict(word.factors).get(wire, "I")]
                if confusion and wire in dict(word.factors):
                    of_0, of_1 = confusion[wire] @ [1, -1]  # the mean of what is read if there is 0, and if there is 1
                    factor = (of_0 + of_1) / 2 * np.eye(2) + (of_0 - of_1) / 2 * factor
                matrix = np.kron(matrix, factor)
            total += word.coefficient * np.trace(matrix @ state).real
        found.append(total)
    return np.array(found)


def channel(n_qubits: int, seed: int):
    """A random error, with nothing symmetric about it: Kraus operators, then Pauli operators and resets."""
    noise = pytest.importorskip("qiskit_aer.noise")
    from qiskit.quantum_info import random_quantum_channel

    error = noise.QuantumError(random_quantum_channel(2**n_qubits, rank=2, seed=seed))
    error = error.compose(noise.depolarizing_error(0.2, n_qubits))
    return error.compose(noise.reset_error(0.1, 0.05)) if n_qubits == 1 else error


@pytest.mark.parametrize("seed", [0, 3, 5, 6, 10, 13])
def test_errors_of_a_circuits_own_gates_are_qiskits(seed):
    """One block of wires and several; on one wire and two; of all qubits, and of certain ones in their place."""
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
    # From the probabilities of outcomes, as shots are drawn.
    np.testing.assert_allclose(values(circuit, calibration, draw=lambda p: p), expected, atol=1e-12)


@pytest.mark.parametrize("entangler", ["cx", "cz", "ecr"])
def test_other_gates_are_made_as_qiskit_makes_them(entangler):
    """Every gate, both ways round, compiled by Qiskit gate by gate; damping tells where in a gate it happens."""
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
def test_gates_of_other_devices_make_the_same_circuit(basis):
    circuit = numbers(1, max_wires=4)
    perfect = Calibration("perfect", basis, (scaled(basis[-1], None, 1.0),))
    np.testing.assert_allclose(values(circuit, perfect), values(circuit), atol=1e-12)


def test_a_backends_calibration_is_what_aer_simulates():
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


def test_readout_is_read_in_aers_direction():
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


# --- by hand ----------------------------------------------------------------------------------------------------------


def bell(n_wires: int, a: int, b: int) -> Circuit:
    words = (f"Z{a} Z{b}", f"X{a} X{b}", f"Z{a}")
    return Circuit(n_wires, (Gate("H", (a,)), Gate("CNOT", (a, b))), tuple(Observable.of(word) for word in words))


@pytest.mark.parametrize(("n_wires", "a", "b"), [(2, 0, 1), (4, 1, 2), (4, 3, 0), (5, 4, 1)])
def test_a_bell_pair_by_hand(n_wires, a, b):
    """Within a block of wires and across blocks, either way round."""
    errors = (scaled("cx", None, 0.9), scaled("cx", (a, b), 0.8), scaled("h", (a,), 0.7))
    calibration = Calibration("mine", ("h", "cx"), errors)
    # H leaves 0.7 of the X of wire a, which CNOT makes XX; ZZ comes from the Z of wire b.
    np.testing.assert_allclose(values(bell(n_wires, a, b), calibration), [0.8, 0.56, 0], atol=1e-12)


def test_strengths_come_on_top():
    """Depolarizing leaves 1 - 4p/3 of what the device's errors do; readings are turned after the device's."""
    read = Readout(None, ((0.9, 0.1), (0.4, 0.6)))
    calibration = Calibration("mine", ("x",), (scaled("x", None, 0.5),), (read,))
    circuit = Circuit(1, (Gate("X", (0,)),), (Observable.of("Z0"),))
    # Z is -0.5, then -0.4: 0.3 are 0, 0.7 are 1; read as 0 are 0.27 + 0.28 = 0.55; after turning 0.1: 0.54.
    (value,) = values(circuit, calibration, depolarizing=0.15, readout=0.1)
    assert value == pytest.approx(2 * 0.54 - 1)
    # Readout alone needs no density matrix, and has no limit of wires.
    wide = Circuit(8, (Gate("X", (7,)),), (Observable.of("Z7"), Observable.of("Z0 Z7")))
    np.testing.assert_allclose(values(wide, Calibration("mine", (), (), (read,))), [-0.2, 0.8 * -0.2], atol=1e-12)


def test_a_gate_that_the_device_has_the_other_way_round():
    """CNOT from the reversed one takes four H; CZ two; RZZ is made of the one that there is."""
    errors = (scaled("cx", (1, 0), 0.9), scaled("h", None, 0.8))
    calibration = Calibration("mine", ("x", "rz", "h", "cx"), errors, coupled_only=("cx",))
    played = {
        gate.name: [step.error.gate for step in calibration.noisy_gates(gate) if step.error]
        for gate in (Gate("CNOT", (0, 1)), Gate("CZ", (0, 1)), Gate("RZZ", (0, 1), 0.2))
    }
    assert played == {"CNOT": ["h", "h", "cx", "h", "h"], "CZ": ["h", "cx", "h"], "RZZ": ["cx", "cx"]}
    circuit = Circuit(2, (Gate("X", (0,)), Gate("CNOT", (0, 1))), (Observable.of("Z0"), Observable.of("Z1")))
    # Z0 passes H, CNOT, H. Z1 is ZZ before, which passes an H on each wire, then CNOT, then one H.
    expected = [-0.8 * 0.9 * 0.8, -0.8 * 0.8 * 0.9 * 0.8]
    np.testing.assert_allclose(values(circuit, calibration), expected, atol=1e-12)


def line(*shares: float):
    """A model of qubits 0, 1, … in a line; each edge's CNOT leaves this share of every Pauli word."""
    noise = pytest.importorskip("qiskit_aer.noise")
    model = noise.NoiseModel(basis_gates=["h", "rz", "cx"])
    for qubit, share in enumerate(shares):
        model.add_quantum_error(noise.depolarizing_error(1 - share, 2), "cx", [qubit, qubit + 1])
    return model


def test_qubits_that_are_not_coupled():
    """Refused; or with three gates for each swap on the way; or perfect, as in Aer."""
    model = line(0.9, 0.8, 0.7)
    # The way is 0-1, 1-2, 2-3, of which the first two are swaps.
    expected = {"swaps": (0.9 * 0.8) ** 3 * 0.7, "ideal": 1.0}
    for uncoupled, share in expected.items():
        calibration = Calibration.from_qiskit(model, uncoupled=uncoupled)
        np.testing.assert_allclose(values(bell(4, 0, 3), calibration)[:2], [share, share], atol=1e-12)
    with pytest.raises(
        UsageError, match=r"does not couple wires 0 and 3, which CNOT acts on; it couples 0-1, 1-2, 2-3"
    ):
        values(bell(4, 0, 3), Calibration.from_qiskit(model))
    with pytest.raises(UsageError, match=r"does not couple wires 0 and 1, .*; it couples none"):
        values(bell(2, 0, 1), Calibration.from_qiskit(model, layout=(0, 2)))
    apart = line(0.9)
    apart.add_quantum_error(channel(2, 0), "cx", [3, 4])
    with pytest.raises(UsageError, match="a NoiseModel has no way from qubit 0 to qubit 3"):
        Calibration.from_qiskit(apart, layout=(0, 3), uncoupled="swaps")


def test_swaps_know_which_wire_is_which():
    """Over one edge there and one back, both with an error of the gate's second qubit alone."""
    noise = pytest.importorskip("qiskit_aer.noise")
    model = noise.NoiseModel(basis_gates=["x", "rz", "h", "cx"])
    flip = noise.pauli_error([("XI", 0.1), ("II", 0.9)])  # Qiskit's first letter is the gate's second qubit
    model.add_quantum_error(flip, "cx", [0, 1])
    model.add_quantum_error(flip, "cx", [2, 1])
    calibration = Calibration.from_qiskit(model, layout=(0, 2), uncoupled="swaps")
    circuit = Circuit(2, (Gate("CNOT", (0, 1)),), (Observable.of("Z0"), Observable.of("Z1")))
    # On the way 0-1 three flips of wire 1's side; the gate on 1-2 is known as 2-1, whose second qubit is wire 0's side.
    np.testing.assert_allclose(values(circuit, calibration), [0.8, 0.8**3], atol=1e-12)


def test_wires_sit_where_the_layout_says():
    model = line(0.9, 0.8, 0.7)
    calibration = Calibration.from_qiskit(model, layout=[3, 2])
    assert calibration.source == "a NoiseModel on qubits 3 2" and calibration.n_wires == 2
    # Coupled from 2 to 3 only, which are wires 1 and 0.
    np.testing.assert_allclose(values(bell(2, 1, 0), calibration)[:2], [0.7, 0.7], atol=1e-12)
    with pytest.raises(UsageError, match="the circuit has 4 wires, a NoiseModel on qubits 3 2 has 2"):
        values(bell(4, 0, 1), calibration)


def test_of_a_large_device_the_wires_that_a_density_matrix_may_have():
    model = line(*[0.9] * 8)
    assert Calibration.from_qiskit(model).source == "a NoiseModel on qubits 0 1 2 3 4 5"
    anywhere = Calibration("any", ("h", "cx"), (scaled("cx", None, 0.9),))
    with pytest.raises(UsageError, match="7 wires are too many for noise"):
        values(bell(7, 0, 1), anywhere)


# --- derivatives ------------------------------------------------------------------------------------------------------


def trainable() -> tuple[Circuit, Calibration]:
    """Three wires in two blocks, weights and inputs, controlled rotations within a block and across."""
    gates = (
        Gate("RY", (0,), Weight(0)),
        Gate("RX", (1,), Input(0, 0, "tanh")),
        Gate("CRX", (0, 1), Weight(1)),
        Gate("CRZ", (2, 0), Input(1, 1)),
        Gate("RYY", (1, 2), Weight(2)),
        Gate("RY", (2,), Input(0)),
    )
    leak = np.diag([1.0, 0.9, 0.9, 0.81])
    leak[3, 0] = 0.19
    pair = np.kron(leak, leak)
    transfers = [tuple(map(tuple, matrix.tolist())) for matrix in (leak, pair)]
    errors = (GateError("sx", None, transfers[0]), GateError("cx", None, transfers[1]))
    read = (Readout((0,), ((0.9, 0.1), (0.3, 0.7))),)
    circuit = Circuit(3, gates, (Observable.of("Z0"), Observable.of((0.5, "X1 Y2"), (1.0, "Z2"))))
    return circuit, Calibration("mine", ("rz", "sx", "cx"), errors, read)


@pytest.mark.parametrize("wires", [(0, 1, 2), (2, 0, 1)])
def test_weights_and_inputs_are_the_angles_that_they_stand_for(wires):
    """Half a gate's angle, within a block and across: that of a weight, an input, a number."""
    circuit, calibration = trainable()
    gates = tuple(Gate(gate.name, tuple(wires[w] for w in gate.wires), gate.angle) for gate in circuit.gates)
    circuit = Circuit(3, gates, circuit.observables)
    w, s, x = [0.7, -1.2, 0.4], [0.9, 1.3], [0.5, -0.8]
    numbers = circuit.at([w[0], np.tanh(s[0] * x[0]), w[1], s[1] * x[1], w[2], x[0]])
    program = compile_circuit(circuit, Noise(calibration=calibration))
    weights, scales, inputs = (torch.tensor(each, dtype=DOUBLE) for each in (w, s, [x]))
    found = program.run(program.bind(weights, scales), inputs)[0].numpy()
    np.testing.assert_allclose(found, values(numbers, calibration), atol=1e-12)


def test_derivatives_equal_finite_differences():
    circuit, calibration = trainable()
    program = compile_circuit(circuit, Noise(calibration=calibration))
    generator = torch.Generator().manual_seed(0)
    points = [torch.randn(*s, generator=generator, dtype=DOUBLE).requires_grad_() for s in ((2, 2), (3,), (2,))]

    def function(x, w, s):
        return program.run(program.bind(w, s), x)

    assert torch.autograd.gradcheck(function, points)
    assert torch.autograd.gradgradcheck(function, points)


def test_tasks_side_by_side_are_each_alone():
    circuit, calibration = trainable()
    program = compile_circuit(circuit, Noise(calibration=calibration))
    generator = torch.Generator().manual_seed(1)
    x, w, s = (torch.randn(*shape, generator=generator, dtype=DOUBLE) for shape in ((2, 3, 2), (2, 3), (2, 2)))

    def loss(w, s, x):
        return program.run(program.bind(w, s), x).square().sum()

    def curvature(w, s, x):
        return grad(lambda v: grad(loss)(v, s, x).square().sum())(w)

    for function in (loss, grad(loss), curvature):
        alone = torch.stack([function(w[i], s[i], x[i]) for i in range(2)])
        torch.testing.assert_close(vmap(function)(w, s, x), alone)
    many = program.run(program.bind(w, s), x)
    torch.testing.assert_close(many, torch.stack([program.run(program.bind(w[i], s[i]), x[i]) for i in range(2)]))


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_gives_back_what_was_saved(tmp_path):
    _, calibration = trainable()
    calibration.save(tmp_path / "device.json")
    assert [entry.name for entry in tmp_path.iterdir()] == ["device.json"]
    again = Calibration.load(tmp_path / "device.json")
    assert again == calibration and again.digest == calibration.digest and hash(again) == hash(calibration)
    assert Calibration.from_json(calibration.to_json()) == calibration
    (word,) = embedded([f"calibration={tmp_path / 'device.json'}"])
    (tmp_path / "device.json").unlink()
    assert Noise.parse([word, "readout=0.1"]) == Noise(readout=0.1, calibration=calibration)
    assert Noise.parse([word]) and not Noise(calibration=Calibration("perfect", ()))


PLAIN = {
    "format": "qrl-calibration",
    "version": 1,
    "source": "by hand",
    "basis": ["x", "cx"],
    "limited": ["cx"],
    "errors": [
        {"gate": "x", "wires": [0], "transfer": {"X": {"X": 0.5}, "Y": {"Y": 0.5}, "Z": {"I": 0.25, "Z": 0.5}}},
        {"gate": "cx", "wires": [0, 1], "transfer": {"ZZ": {"ZZ": 1}, "ZI": {"ZI": 1}, "IZ": {"IZ": 1}}},
    ],
    "readout": [{"wires": [1], "read": [[1, 0], [0.5, 0.5]]}],
    "n_wires": 2,
}


def test_a_file_written_by_hand(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(PLAIN))
    gates = (Gate("X", (0,)), Gate("CNOT", (0, 1)))
    circuit = Circuit(2, gates, (Observable.of("Z0"), Observable.of("Z1")))
    # Z0 is -1, then 0.25 - 0.5; so is Z1, of which P(1) = 0.625 is read as 1 half of the time.
    expected = [-0.25, 1 - 2 * 0.3125]
    np.testing.assert_allclose(values(circuit, Calibration.load(tmp_path / "mine.json")), expected, atol=1e-12)


def changed(**entries) -> str:
    return json.dumps(PLAIN | entries)


def error(gate="x", wires=(0,), transfer=None) -> str:
    return changed(errors=[{"gate": gate, "wires": wires, "transfer": transfer or {"X": {"X": 0.5}}}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1", "not JSON: "),
        ("{}", "not a calibration of ours: expected a JSON object with format 'qrl-calibration'"),
        ("[]", "not a calibration of ours"),
        (changed(version=2), "version 2 of the format, this reads 1"),
        (changed(basis="x"), "basis: expected a list, found 'x'"),
        (changed(basis=[1]), r"basis\[0\]: expected a word, found 1"),
        (changed(erors=[]), "unknown key 'erors'; did you mean 'errors'"),
        (json.dumps({key: value for key, value in PLAIN.items() if key != "readout"}), "readout is missing"),
        (changed(n_wires=True), "n_wires: expected a whole number, found True"),
        (changed(n_wires=0), "n_wires must be at least 1, not 0"),
        (changed(n_wires=1), r"cx on wires \(0, 1\): there are wires 0 to 0"),
        (changed(errors=[[]]), r"errors\[0\]: expected an object, found \[\]"),
        (changed(errors=PLAIN["errors"][:1] * 2), r"x on wires \(0,\) is given twice"),
        (error(gate="xs"), "unknown gate 'xs'; did you mean 'x'"),
        (error(wires=[0, 1]), r"error of x on wires \(0, 1\): that gate is on 1 distinct wire"),
        (error("cx", [1, 1], {"XX": {"XX": 0.5}}), "that gate is on 2 distinct wire"),
        (error("cx", [0, 1]), "expected a channel on 2 wire"),
        (error("cx", [0, 1], {"XXX": {"XXX": 1}}), r"errors\[0\].transfer.XXX: expected one of the words X, Y, Z"),
        (error(transfer={"I": {"I": 0.9}}), r"errors\[0\].transfer.I: expected one of the words X, Y, Z"),
        (error(transfer={"X": {"XX": 0.9}}), r"transfer.X.XX: expected one of the words I, X, Y, Z"),
        (error(transfer={"X": {"X": "1"}}), "transfer.X.X: expected a finite number, found '1'"),
        (error(transfer={"X": {"X": float("nan")}}), "not JSON: NaN is not a finite number"),
        (error(transfer={"X": {"X": 10**400}}), "transfer.X.X: expected a finite number, found 1000"),
        (error(transfer={"Z": {"I": 0.5, "Z": 0.8}}), "no channel: it gives a negative probability, -0.075"),
        (changed(readout=[{"wires": [0], "read": [[1, 0]]}]), r"readout\[0\].read: expected two rows of two"),
        (changed(readout=[{"wires": [0], "read": [[1, 0.1], [0, 1]]}]), "two rows of two probabilities with sum 1"),
        (changed(readout=[{"wires": [0, 1], "read": [[1, 0], [0, 1]]}]), "expected that of one wire"),
    ],
)
def test_files_that_are_no_calibration(text, message, tmp_path, unchecked: None):
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"wrong.json: .*{message}") as caught:
        Noise.parse([f"calibration={path}"])
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    for path, message in (("nowhere.json", "No such file"), (str(tmp_path), "Is a directory"), ("", "needs the name")):
        with pytest.raises(UsageError, match=message):
            Noise.parse([f"calibration={path}"])
    with pytest.raises(UsageError, match="No such file"):
        trainable()[1].save(tmp_path / "no" / "device.json")
    with pytest.raises(UsageError, match="noise: calibration: not JSON"):
        Noise.parse(["calibration={"])


# --- what cannot be read ----------------------------------------------------------------------------------------------


def test_what_is_no_noise_model():
    pytest.importorskip("qiskit_aer")
    with pytest.raises(UsageError, match=r"expected a qiskit_aer\.noise\.NoiseModel or a backend .*, not a dict"):
        Calibration.from_qiskit({})


def test_without_qiskit(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "qiskit_aer.noise", None)
    with pytest.raises(UsageError, match=r"Qiskit Aer reads noise models: pip install 'qrl-meta\[qiskit\]'"):
        Calibration.from_qiskit(object())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": (0, 4)}, "layout: a NoiseModel has qubits 0 to 3, not 4"),
        ({"layout": (0, 0)}, r"layout must be distinct qubits, one for each wire, not \(0, 0\)"),
        ({"layout": ()}, "layout must be distinct qubits"),
        ({"layout": (-1,)}, "layout must be distinct qubits"),
        ({"uncoupled": "swap"}, "unknown uncoupled 'swap'; did you mean 'swaps'"),
    ],
)
def test_options_that_cannot_be(options, message, unchecked: None):
    with pytest.raises(UsageError, match=message):
        Calibration.from_qiskit(line(0.9, 0.9, 0.9), **options)


def test_errors_that_have_no_place():
    noise = pytest.importorskip("qiskit_aer.noise")

    def of(kind, *arguments):
        model = noise.NoiseModel()
        getattr(model, f"add_{kind}_error")(*arguments)
        return model

    pairs = np.eye(4)[[1, 0, 2, 3]]
    for model, message in (
        (
            of("all_qubit_quantum", noise.depolarizing_error(0.1, 3), "ccx"),
            "the error of ccx acts on 3 qubits: at most",
        ),
        (of("quantum", channel(1, 0), "measure", [0]), "a channel before a measurement is not supported"),
        (of("readout", pairs, [0, 1]), "errors of readout of several qubits together"),
        (of("all_qubit_quantum", channel(1, 0), "id"), "made of the gates that have errors, id; it can be made of crx"),
    ):
        with pytest.raises(UsageError, match=message):
            Calibration.from_qiskit(model)
    with pytest.raises(
        UsageError, match="has nothing to make RY of: that takes one of ry, sx, rx, u, u3; its gates are h"
    ):
        values(
            Circuit(1, (Gate("RY", (0,), 0.1),), (Observable.of("Z0"),)),
            Calibration("m", ("h",), (scaled("h", None, 1),)),
        )
    with pytest.raises(UsageError, match="has nothing to make CNOT of: that takes one of cx, cz, ecr; its gates are h"):
        values(bell(2, 0, 1), Calibration("m", ("h",), (scaled("h", None, 1),)))


def test_what_is_not_a_channel(unchecked: None):
    with pytest.raises(UsageError, match=r"error of sx: no channel: it does not preserve the trace"):
        GateError("sx", None, tuple(map(tuple, np.diag([0.9, 0.9, 0.9, 0.9]).tolist())))
    with pytest.raises(UsageError, match="its numbers must be finite"):
        GateError("sx", None, tuple(map(tuple, np.diag([1.0, 1, 1, float("nan")]).tolist())))
    assert pauli_words(2)[:6] == ["II", "IX", "IY", "IZ", "XI", "XX"]


def test_on_pennylane_it_is_refused():
    circuit, calibration = trainable()
    with pytest.raises(UsageError, match="a calibration is for backend torch"):
        to_qnode(circuit, "default.mixed", noise=Noise(calibration=calibration))
    with pytest.raises(UsageError, match="a calibration is for backend torch"):
        Backend("pennylane:default.mixed", noise=Noise(calibration=calibration)).compile(circuit, torch.Generator())


# --- runs -------------------------------------------------------------------------------------------------------------


def spec(**fields) -> Spec:
    env = ENVS.load("navigation").Config(horizon=5)
    model = MODELS.load("reuploading").Config(n_wires=3, n_layers=1)
    config = Config(meta_batch=2, episodes=3, epochs=1)
    small = {"iterations": 2, "threads": 1, "eval_tasks": 3, "eval_steps": 1, "eval_episodes": 2}
    return Spec.default(env_config=env, agent_config=config, model_config=model, **small, **fields)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run under a calibration whose file is gone."""
    folder = tmp_path_factory.mktemp("runs")
    trainable()[1].save(folder / "device.json")
    given = spec(noise=(f"calibration={folder / 'device.json'}", "depolarizing=0.01"), checkpoint_every=1)
    assert run_training(given, folder / "run", overwrite=False, command=[], quiet=True) == 0
    (folder / "device.json").unlink()
    return folder / "run"


def test_a_run_keeps_the_calibration_that_it_was_trained_with(trained, tmp_path):
    run = load(trained)
    assert Noise.parse(run.spec.noise) == Noise(depolarizing=0.01, calibration=trainable()[1])
    assert run_evaluation(EvaluateOptions(run=trained, tasks=3)) == 0
    assert not list(trained.glob("evaluation-*.json"))  # it is no evaluation elsewhere
    # From the checkpoint in the middle to the same end.
    shutil.copytree(trained, tmp_path / "half")
    shutil.rmtree(tmp_path / "half" / "checkpoint" / "00000002")
    assert run_resume(tmp_path / "half") == 0
    for name, tensor in load(tmp_path / "half").agent.theta.items():
        assert torch.equal(tensor, run.agent.theta[name])
    again, _ = parse_train(["--config", str(trained)])
    assert again == run.spec


def test_a_run_is_evaluated_on_another_device(trained, tmp_path, capsys):
    calibration = Calibration("other", ("rz", "sx", "cz"), (scaled("cz", None, 0.5),))
    calibration.save(tmp_path / "other.json")
    options = ["--noise", f"calibration={tmp_path / 'other.json'}", "--tasks", "3"]
    assert main(["evaluate", str(trained), *options]) == 0
    name = f"evaluation-calibration{calibration.digest[:8]}.json"
    noisy, own = (json.loads((trained / file).read_text()) for file in (name, "evaluation.json"))
    assert noisy["backend"]["noise"]["calibration"] == {"source": "other", "digest": calibration.digest}
    assert noisy["mean"] != own["mean"]
    other = Backend(noise=Noise(calibration=calibration))
    assert load(trained).evaluate(tasks=3, episodes=2, backend=other).mean == noisy["mean"]
    assert main(["evaluate", str(trained), "--noise", "calibration=nowhere.json"]) == 2
    assert "run.py: error: nowhere.json: No such file" in capsys.readouterr().err


def test_example_of_the_documentation(tmp_path, monkeypatch):
    pytest.importorskip("qiskit_aer")
    text = (Path(__file__).parent.parent.parent / "docs" / "backends.md").read_text()
    (example,) = (
        block for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "from_qiskit" in block
    )
    monkeypatch.chdir(tmp_path)
    exec(example, names := {})
    noise = Noise.parse(["calibration=device.json"])
    assert noise.calibration == names["calibration"] and noise.calibration.n_wires == 4
