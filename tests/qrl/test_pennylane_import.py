"""Import of PennyLane circuits: equal values, or an error that names the unsupported part."""

import math
import re
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
import torch

import agents
from agents import maml
from qrl.backends.pennylane import GATES, _observable
from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.models.shared.pennylane import pennylane_model
from qrl.simulator.program import compile_circuit
from tests.support.circuits import random_circuit

DOUBLE = torch.float64


def by_hand(inputs, weights, scales):
    qml.Hadamard(wires=1)
    qml.RX(weights[1], wires=0)
    qml.RZ(np.tanh(scales[0] * inputs[1]), wires=1)
    qml.CNOT(wires=[0, 1])
    qml.IsingZZ(0.25, wires=[1, 0])
    qml.RY(np.arctan(inputs[0]), wires=0)
    return qml.expval(qml.PauliZ(0)), qml.expval(0.5 * qml.PauliX(0) @ qml.PauliY(1) + 2.0 * qml.PauliZ(1))


def test_gate_by_gate():
    gates = (
        Gate("H", (1,)),
        Gate("RX", (0,), Weight(1)),
        Gate("RZ", (1,), Input(1, 0, "tanh")),
        Gate("CNOT", (0, 1)),
        Gate("RZZ", (1, 0), 0.25),
        Gate("RY", (0,), Input(0, None, "arctan")),
    )
    observables = (Observable.of("Z0"), Observable.of((0.5, "X0 Y1"), (2.0, "Z1")))
    assert Circuit.from_pennylane(by_hand, n_inputs=2, n_weights=2, n_scales=1) == Circuit(2, gates, observables)


def written_out(circuit):
    """Circuit as a user would write it in PennyLane, a function of (inputs, weights, scales)."""

    def angle_of(angle, inputs, weights, scales):
        match angle:
            case Weight(index):
                return (weights[index],)
            case Input(feature, scale, transform):
                value = inputs[feature] if scale is None else scales[scale] * inputs[feature]
                return ({"identity": lambda x: x, "tanh": np.tanh, "arctan": np.arctan}[transform](value),)
        return () if angle is None else (angle,)

    def function(inputs, weights, scales=()):
        for gate in circuit.gates:
            GATES[gate.name](*angle_of(gate.angle, inputs, weights, scales), wires=gate.wires)
        return [qml.expval(_observable(each, circuit.n_wires)) for each in circuit.observables]

    return function


@pytest.mark.parametrize("seed", range(8))
def test_round_trip_through_pennylane(seed):
    circuit = random_circuit(seed, max_wires=4)
    sizes = {"n_inputs": circuit.n_inputs, "n_weights": circuit.n_weights, "n_scales": circuit.n_scales}
    found = Circuit.from_pennylane(written_out(circuit), **sizes)
    used = sorted(
        {wire for gate in circuit.gates for wire in gate.wires}
        | {wire for o in circuit.observables for word in o.words for wire, _ in word.factors}
    )
    if used == list(range(circuit.n_wires)):
        assert found.gates == circuit.gates
    assert found.n_wires == len(used)


def test_templates_are_decomposed():
    shape = qml.StronglyEntanglingLayers.shape(n_layers=2, n_wires=3)

    def function(inputs, weights):
        qml.AngleEmbedding(inputs, wires=range(3), rotation="Y")
        qml.StronglyEntanglingLayers(weights.reshape(shape), wires=range(3))
        qml.PauliY(0)
        qml.S(1)
        qml.SWAP(wires=[1, 2])
        return [qml.expval(qml.PauliZ(wire)) for wire in range(3)]

    n_weights = int(np.prod(shape))
    circuit = Circuit.from_pennylane(function, n_inputs=3, n_weights=n_weights)
    assert (circuit.n_inputs, circuit.n_weights, circuit.n_scales) == (3, n_weights, 0)
    rng = np.random.default_rng(5)
    x, w = rng.normal(size=3), rng.normal(size=n_weights)
    expected = qml.QNode(function, qml.device("default.qubit", wires=3))(x, w)
    program = compile_circuit(circuit)
    found = program.run(program.bind(torch.as_tensor(w), torch.zeros(0, dtype=DOUBLE)), torch.as_tensor(x)[None])[0]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def z():
    return qml.expval(qml.PauliZ(0))


def with_angle(angle):
    def function(inputs, weights, scales):
        qml.RX(angle(inputs, weights, scales), wires=0)
        return z()

    return function


def with_gate(gate, value=z):
    def function(inputs, weights, scales):
        gate(weights)
        return value()

    return function


def changing(inputs, weights, scales):
    if weights[0] > 0.7:
        qml.PauliX(0)
    qml.RX(weights[0], wires=0)
    return z()


def all_used(measure):
    """Circuit that uses all inputs, weights and scales, with these measurements of the weights."""

    def function(inputs, weights, scales):
        for wire in range(2):
            qml.RY(scales[wire] * inputs[wire] + weights[wire], wires=wire)
        qml.CNOT(wires=[0, 1])
        return measure(weights)

    return function


def amplitudes(inputs, weights, scales):
    qml.AmplitudeEmbedding(inputs, wires=0, normalize=True)
    return z()


def in_the_middle(inputs, weights, scales):
    qml.cond(qml.measure(0), qml.RX)(weights[1], wires=1)
    return z()


ONLY_ANGLES = (
    "only angles may depend on the values of inputs, weights and scales, not conditions, comparisons or numbers"
)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (with_angle(lambda x, w, s: w), "an angle of RX is an array"),
        (with_angle(lambda x, w, s: w[7]), "the function failed: IndexError.*; weights are a vector \\[2\\] unless"),
        (
            with_angle(lambda x, w, s: float(x[0])),
            f"{ONLY_ANGLES}; leave out float, .* np.sin, .*test_pennylane_import.py, line ",
        ),
        (with_angle(lambda x, w, s: math.sin(x[0])), "use functions of NumPy, such as np.sin, in place of those of m"),
        (with_angle(lambda x, w, s: math.sin(2 * w[0])), "use functions of NumPy, such as np.sin, in place of those"),
        (with_angle(lambda x, w, s: np.asarray(x, dtype=float)[0]), ONLY_ANGLES),
        (with_angle(lambda x, w, s: x[0] if x[1] else 0.0), ONLY_ANGLES),
        (with_angle(lambda x, w, s: np.sign(x[0])), ONLY_ANGLES),
        (with_angle(lambda x, w, s: x[0] // 1), ONLY_ANGLES),
        (with_angle(lambda x, w, s: np.max(x)), ONLY_ANGLES),
        (with_angle(lambda x, w, s: x[0] % 3), ONLY_ANGLES),
        (with_angle(lambda x, w, s: x[0] ** w[0]), r"for x > 0, x\*\*y is exp\(y \* log\(x\)\)"),
        (with_angle(lambda x, w, s: (-2.0) ** w[0]), "a positive number as its base, not -2.0"),
        (with_angle(lambda x, w, s: x[0] ** 0.3), "a power in an angle has a whole exponent or 0.5, not 0.3"),
        (with_angle(lambda x, w, s: x[0] / 0), r"reciprocal\(0\) in an angle has no value"),
        (with_angle(lambda x, w, s: 1j * x[0]), r"an angle of RX: an angle is a real number, not 1j\*\(x0\)"),
        (with_angle(lambda x, w, s: (2 + 1j) * x[0]), r"a real number, not a variable times \(2\+1j\)"),
        (
            with_angle(lambda x, w, s: np.arctan2(x[0], x[1])),
            "arctan2 of NumPy cannot be read; arithmetic can, and tanh",
        ),
        (with_angle(lambda x, w, s: np.cbrt(x[0])), "cbrt of NumPy cannot be read"),
        (with_angle(lambda x, w, s: x.detach()[0]), "detach cannot be read: derivatives are those of the whole"),
        (with_angle(lambda x, w, s: x.softmax(0)[0]), "AttributeError: an array of inputs.* no attribute 'softmax'"),
        (with_angle(lambda x, w, s: x.repeat(2)[0]), "repeat repeats elements in NumPy, the whole array in torch"),
        (with_angle(lambda x, w, s: x.reshape(2, 1).transpose(0, 1)[0, 0]), "its transpose in torch: write .T"),
        (with_angle(lambda x, w, s: x.norm(p=1)), "norm of order 1 cannot be read; the Euclidean norm can"),
        (with_angle(lambda x, w, s: torch.sort(x[:, 0])), "sort of torch cannot be read"),
        (with_angle(lambda x, w, s: torch.sort(x)), "sort of torch cannot be read"),
        (with_angle(lambda x, w, s: torch.tensor(x)[0]), "symbols here, which a tensor cannot hold"),
        (with_angle(lambda x, w, s: torch.zeros(2, dtype=x.dtype)[0]), "leave out torch.tensor, .*dtype=inputs.dtype"),
        (with_gate(lambda w: qml.exp(qml.Z(0), w[0])), "gate Exp .*its coefficient is not imaginary, but w0"),
        (with_gate(lambda w: qml.pow(qml.evolve(qml.Z(0), w[0]), 2)), "gate .*Evolution.* cannot be decomposed"),
        (with_angle(lambda x, w, s: np.random.default_rng().random()), "makes another circuit in each call"),
        (
            with_gate(lambda w: qml.QubitChannel([np.eye(2)], wires=0)),
            "the channel QubitChannel cannot be read: .* --noise",
        ),
        (with_gate(lambda w: qml.SelectPauliRot(w, [1], 0)), "gate SelectPauliRot .*angles are const"),
        (with_gate(lambda w: qml.ctrl(qml.RX, range(1, 10))(w[0], 0)), "it has 9 controls; at most 8 can be read"),
        (with_gate(lambda w: qml.evolve(qml.Z(0) + qml.X(0), w[0])), "terms .* do not commute: use qml.TrotterProduct"),
        (with_gate(lambda w: qml.RX(0.1, wires=0), lambda: None), "the function returns no expectation value"),
        (changing, ONLY_ANGLES),
        (amplitudes, "amplitudes of a state cannot .*as angles.*: qml.AmplitudeEmbedding.inputs"),
        (in_the_middle, r"qml.measure within a circuit cannot be read.*qml.defer_measurements\(function\)"),
        (all_used(lambda w: qml.var(qml.PauliZ(0))), r"qml.probs\(wires=\[...\]\), can be read, not var\(Z\(0\)\)"),
        (all_used(lambda w: qml.probs()), r"can be read, not probs\(wires=\[\]\)"),
        (all_used(lambda w: qml.probs(op=qml.PauliX(0))), "can be read, not probs"),
        (all_used(lambda w: qml.state()), "can be read, not state"),
        (all_used(lambda w: qml.probs(wires=range(6))), "qml.probs is on 6 wires; at most 5 can be read"),
        (all_used(lambda w: qml.expval(w[0] * qml.PauliZ(0))), f"observable .*: {ONLY_ANGLES}"),
        (all_used(lambda w: qml.expval(qml.PauliX(0) @ qml.PauliY(0))), "observable Prod: it is not Hermitian"),
        (all_used(lambda w: qml.expval(qml.Projector([0] * 6, wires=range(6)))), "its matrix is on 6 wires; at most 5"),
    ],
)
def test_unsupported_circuits_are_rejected(function, message):
    with pytest.raises(UsageError, match=f"from_pennylane: .*{message}"):
        Circuit.from_pennylane(function, n_inputs=2, n_weights=2, n_scales=2)


HERMITIAN = np.array([[1.0, 2.0 - 1j], [2.0 + 1j, -0.5]])


@pytest.mark.parametrize(
    "measure",
    [
        lambda: qml.expval(qml.Hermitian(HERMITIAN, wires=1)),
        lambda: qml.expval(qml.Hermitian(np.kron(HERMITIAN, np.diag([3, -1])), wires=[1, 0])),
        lambda: qml.expval(qml.Hermitian(HERMITIAN, wires=1) @ qml.PauliX(0)),
        lambda: qml.expval(0.5 * qml.Hadamard(0) + 2 * qml.PauliZ(1) @ qml.Hadamard(0)),
        lambda: qml.expval(qml.Projector([0, 1], wires=[0, 1])),
        lambda: qml.expval(qml.Projector(np.array([0.6, 0.8]), wires=[0])),
        lambda: qml.probs(wires=[1, 0]),
        lambda: qml.probs(wires=1),
        lambda: (qml.expval(qml.PauliZ(0)), qml.probs(wires=[0, 1])),
    ],
)
def test_observables_by_their_matrix_and_probabilities(measure):
    function = all_used(lambda weights: measure())
    program = compile_circuit(Circuit.from_pennylane(function, n_inputs=2, n_weights=2, n_scales=2))
    x, w, s = (np.random.default_rng(seed).normal(size=2) for seed in range(3))
    values = qml.QNode(function, qml.device("default.qubit", wires=2))(x, w, s)
    expected = np.concatenate([np.ravel(each) for each in (values if isinstance(values, tuple) else (values,))])
    found = program.run(program.bind(torch.as_tensor(w), torch.as_tensor(s)), torch.as_tensor(x)[None])[0]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_errors_name_the_users_gate_rather_than_its_decomposition():
    def function(inputs, weights):
        qml.ControlledPhaseShift(weights, wires=(0, 1))
        return z()

    with pytest.raises(UsageError, match=r"an angle of R. in ControlledPhaseShift is an array"):
        Circuit.from_pennylane(function, n_inputs=0, n_weights=2)


@qml.qnode(qml.device("lightning.qubit", wires=2), interface="torch", diff_method="adjoint")
def node(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2))
    qml.RX(weights[0], wires=0)
    return z()


def test_qnodes_are_read_by_their_function():
    with pytest.warns(UserWarning, match="from_pennylane: .*its device lightning.qubit is not used"):
        found = Circuit.from_pennylane(node, n_inputs=2, n_weights=1)
    assert found == Circuit.from_pennylane(node.func, n_inputs=2, n_weights=1)
    transformed = qml.transforms.merge_rotations(node)
    with pytest.raises(UsageError, match=r"from_pennylane: the QNode has transforms, .*merge_rotations"):
        Circuit.from_pennylane(transformed, n_inputs=2, n_weights=1)


SHAPES = {"layers": (1, 2, 3), "more": 2, "bias": ()}


def shaped(bias, inputs, layers, more):
    qml.StronglyEntanglingLayers(layers, wires=range(2))
    qml.RY(bias * inputs[0], wires=0)
    qml.RX(more[1] + more[0] * inputs[1], wires=1)
    return qml.expval(qml.PauliZ(0)), qml.expval(qml.PauliX(1))


def test_weights_of_given_shapes_are_those_of_torch_layer():
    circuit = Circuit.from_pennylane(shaped, n_inputs=2, weight_shapes=SHAPES)
    assert (circuit.n_inputs, circuit.n_weights, circuit.n_scales) == (2, 9, 0)
    layer = qml.qnn.TorchLayer(qml.QNode(shaped, qml.device("default.qubit", wires=2)), SHAPES)
    weights = torch.cat([layer.qnode_weights[name].flatten() for name in SHAPES]).double()
    inputs = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    program = compile_circuit(circuit)
    found = program.run(program.bind(weights, torch.zeros(0, dtype=DOUBLE)), inputs)
    torch.testing.assert_close(found, torch.stack([layer(row) for row in inputs]).squeeze(-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"n_weights": 9},
            r"missing 2 required positional .*; weights are a vector \[9\] unless weight_shapes",
        ),
        ({"weight_shapes": SHAPES, "n_weights": 9}, "give n_weights, for a vector, or weight_shapes, such as"),
        ({}, "give n_weights, for a vector, or weight_shapes, such as"),
        ({"weight_shapes": SHAPES | {"more": (2, -1)}}, "weight_shapes: more must be at least 0, not -1"),
        (
            {"weight_shapes": SHAPES | {"last": 3}},
            r"weight_shapes: unknown argument 'last'; .*\(choices: bias, layers, more\)$",
        ),
        ({"weight_shapes": [3]}, r"a dict from the names of arguments to shapes, such as {'weights': .*, not \[3\]$"),
        ({"weight_shapes": [("bias", 3)]}, "weight_shapes is a dict from"),
        ({"weight_shapes": {0: 3}}, "weight_shapes is a dict from"),
        ({"weight_shapes": {"bias": 2.5}}, "weight_shapes: bias must be a whole number, not 2.5"),
        ({"weight_shapes": {"bias": None}}, "weight_shapes: bias must be a whole number, not None"),
    ],
)
@pytest.mark.parametrize("read", [Circuit.from_pennylane, pennylane_model])
def test_sizes_that_do_not_fit_the_function(sizes, message, read, unchecked: None):
    with pytest.raises(UsageError, match=message):
        read(shaped, n_inputs=2, **sizes)


@pytest.mark.parametrize("parameters", ["x, w", "w, x"])
def test_an_unknown_name_of_weights_is_not_said_to_be_the_inputs(parameters):
    function = eval(f"lambda {parameters}: None")
    with pytest.raises(UsageError, match=r"unknown argument 'weights'; choices: w$"):
        Circuit.from_pennylane(function, n_inputs=1, weight_shapes={"weights": 2})


@pytest.mark.parametrize("thing", [3, "x", None])
def test_what_is_no_function_is_refused(thing, unchecked: None):
    with pytest.raises(UsageError, match=f"expected a function of PennyLane, a QNode or a TorchLayer, not {thing!r}$"):
        Circuit.from_pennylane(thing, n_inputs=1, n_weights=1)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((2, 1, 1), "no angle uses input 1: use it, or set n_inputs=1"),
        ((1, 3, 1), "no angle uses weight 1: use it, or set n_weights=1"),
        ((1, 1, 2), "no angle uses scale 1: use it, or set n_scales=1"),
    ],
)
def test_numbers_that_do_not_rotate_a_gate(sizes, message):
    def function(inputs, weights, scales):
        qml.RX(weights[0], wires=0)
        qml.RY(scales[0] * inputs[0], wires=0)
        return z()

    Circuit.from_pennylane(function, n_inputs=1, n_weights=1, n_scales=1)
    with pytest.raises(UsageError, match=f"from_pennylane: {message}"):
        Circuit.from_pennylane(function, n_inputs=sizes[0], n_weights=sizes[1], n_scales=sizes[2])


def test_file_with_a_pennylane_circuit_is_a_model(tmp_path):
    """The example of docs/backends.md, trained; a projection adapts a different number of inputs."""
    text = (Path(__file__).parent.parent.parent / "docs" / "backends.md").read_text()
    (example,) = (
        block for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "Config, build" in block
    )
    (tmp_path / "my_circuit.py").write_text(example)
    for env, projected in (("navigation", False), ("cartpole", True)):
        options = {"iterations": 1, "threads": 1, "eval_tasks": 2, "eval_steps": 1, "eval_episodes": 2}
        config = maml.Config(meta_batch=2, episodes=3, epochs=1)
        model = str(tmp_path / "my_circuit.py")
        run = agents.train(tmp_path / env, env=env, model=model, agent_config=config, progress=False, **options)
        features = run.agent.policy.features
        assert (features.projection is not None) == projected
        assert (features.circuit.n_weights, features.circuit.n_scales) == (12, 2)
