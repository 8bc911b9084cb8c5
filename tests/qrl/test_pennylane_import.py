"""Import of PennyLane circuits: equal values, or an error that names the unsupported part."""

import re
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
import torch

import agents
from agents import maml
from qrl.backends.pennylane import to_qnode
from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
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


@pytest.mark.parametrize("seed", range(8))
def test_round_trip_through_pennylane(seed):
    circuit = random_circuit(seed, max_wires=4)
    function = to_qnode(circuit).func
    sizes = {"n_inputs": circuit.n_inputs, "n_weights": circuit.n_weights, "n_scales": circuit.n_scales}

    def in_torch(inputs, weights, *scales):
        return function(*(torch.as_tensor(x) for x in (inputs, weights, *(scales or [np.zeros(0)]))))

    found = Circuit.from_pennylane(in_torch, **sizes)
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
        gate()
        return value()

    return function


def changing(inputs, weights, scales):
    if weights[0] > 0.7:
        qml.PauliX(0)
    qml.RX(weights[0], wires=0)
    return z()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (with_angle(lambda x, w, s: 2 * x[0]), "an angle of RX is not a weight, an input, a scale times an input"),
        (with_angle(lambda x, w, s: w[0] * x[0]), "an angle of RX is not"),
        (with_angle(lambda x, w, s: w[0] + w[1]), "an angle of RX is not"),
        (with_angle(lambda x, w, s: w), "an angle of RX is an array"),
        (with_angle(lambda x, w, s: w[7]), "the function failed: IndexError"),
        (with_gate(lambda: qml.QubitChannel([np.eye(2)], wires=0)), "gate QubitChannel cannot be decomposed"),
        (with_gate(lambda: qml.RX(0.1, wires=0), lambda: qml.probs(wires=0)), "only expectation values of Pauli oper"),
        (with_gate(lambda: qml.RX(0.1, wires=0), lambda: qml.expval(qml.Projector([0], wires=0))), "only expectation"),
        (with_gate(lambda: qml.RX(0.1, wires=0), lambda: None), "the function returns no expectation value"),
        (changing, "only angles may depend on the values"),
    ],
)
def test_unsupported_circuits_are_rejected(function, message):
    with pytest.raises(UsageError, match=f"from_pennylane: .*{message}"):
        Circuit.from_pennylane(function, n_inputs=2, n_weights=2, n_scales=2)


def test_errors_name_the_users_gate_rather_than_its_decomposition():
    def function(inputs, weights):
        qml.ControlledPhaseShift(weights[0], wires=(0, 1))
        return z()

    with pytest.raises(UsageError, match=r"an angle of R. in ControlledPhaseShift is not"):
        Circuit.from_pennylane(function, n_inputs=0, n_weights=1)


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
