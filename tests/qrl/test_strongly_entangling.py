"""The strongly entangling circuit against PennyLane's template, and its parameter counts."""

import itertools

import pennylane as qml
import pytest
import torch
from torch import Tensor
from torch.func import jacfwd

import envs
from qrl.circuits.angles import Input
from qrl.circuits.circuit import Circuit
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.layer import QuantumLayer
from qrl.models import strongly_entangling as model
from qrl.policies.policy import make_policy
from qrl.simulator.program import compile_circuit

PAULI = {"X": qml.PauliX, "Y": qml.PauliY, "Z": qml.PauliZ}


def in_order_of_the_circuit(rotations: Tensor) -> Tensor:
    """[layer + 1, wire, 3] as PennyLane takes them, to the weights: angle by angle, without first phi, last omega."""
    return rotations.mT.flatten()[rotations.shape[1] : -rotations.shape[1]]


def random_rotations(n_layers: int, n_wires: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3.0 * torch.randn(n_layers + 1, n_wires, 3, generator=generator, dtype=torch.float64)


@pytest.mark.exactness
@pytest.mark.parametrize(("n_wires", "n_layers"), [(1, 2), (2, 1), (2, 3), (3, 2), (3, 4), (4, 1), (4, 4), (5, 5)])
def test_equals_pennylanes_template_without_inputs(n_wires: int, n_layers: int) -> None:
    """The full state by all Pauli words, except for five wires: entanglers, ranges, and the order of Rot's angles.

    The omitted first phi of the template has no effect: any value gives the same state.
    """
    config = model.Config(n_wires=n_wires, n_layers=n_layers)
    ours = model.circuit(config, 1)
    words = ["".join(word) for word in itertools.product("IXYZ", repeat=n_wires)][1:]
    words = words if n_wires < 5 else words[:: len(words) // 60]
    observables = tuple(Observable.of(" ".join(f"{p}{i}" for i, p in enumerate(w) if p != "I")) for w in words)
    program = compile_circuit(Circuit(n_wires, ours.gates, observables))
    rotations = random_rotations(n_layers, n_wires)
    rotations[-1, :, 2] = 0.0

    scales = torch.zeros(ours.n_scales, dtype=torch.float64)
    bound = program.bind(in_order_of_the_circuit(rotations), scales)
    values = program.run(bound, torch.ones(1, 1, dtype=torch.float64))[0]

    @qml.qnode(qml.device("default.qubit", wires=n_wires))
    def template():
        qml.StronglyEntanglingLayers(rotations[:-1], wires=range(n_wires))
        for wire in range(n_wires):
            qml.Rot(*rotations[-1, wire], wires=wire)
        return [qml.expval(qml.prod(*(PAULI[p](i) for i, p in enumerate(w) if p != "I"))) for w in words]

    torch.testing.assert_close(values, torch.stack(template()), rtol=0, atol=1e-12)


@pytest.mark.exactness
@pytest.mark.parametrize("observables", ["local", "global", "both"])
@pytest.mark.parametrize(("n_wires", "ranges"), [(1, [0, 0, 0]), (2, [1, 1, 1]), (3, [1, 2, 1]), (4, [1, 2, 3])])
def test_equals_the_template_layer_by_layer_with_inputs(n_wires: int, ranges: list[int], observables: str) -> None:
    """Three layers of the template, each followed by RY RZ of the scaled inputs; five inputs take turns."""
    n_inputs = min(5, 3 * n_wires)
    circuit = model.circuit(model.Config(n_wires=n_wires, n_layers=3, observables=observables), n_inputs)
    rotations = random_rotations(3, n_wires)
    generator = torch.Generator().manual_seed(1)
    scales = torch.randn(3, 2, n_wires, generator=generator, dtype=torch.float64)
    inputs = torch.randn(n_inputs, generator=generator, dtype=torch.float64)
    program = compile_circuit(circuit)
    values = program.run(program.bind(in_order_of_the_circuit(rotations), scales.flatten()), inputs[None])[0]

    wires = range(n_wires)
    measured = {"local": [[wire] for wire in wires], "global": [list(wires)]}
    measured["both"] = measured["local"] + measured["global"]

    @qml.qnode(qml.device("default.qubit", wires=n_wires))
    def reference():
        turn = itertools.cycle(inputs)
        for layer in range(3):
            own = None if n_wires == 1 else [ranges[layer]]
            qml.StronglyEntanglingLayers(rotations[layer : layer + 1], wires=wires, ranges=own)
            features = [next(turn) for _ in wires]
            for k, rotation in enumerate((qml.RY, qml.RZ)):
                for wire in wires:
                    rotation(scales[layer, k, wire] * features[wire], wires=wire)
        for wire in wires:
            qml.Rot(*rotations[3, wire], wires=wire)
        return [qml.expval(qml.prod(*map(qml.PauliZ, group))) for group in measured[observables]]

    torch.testing.assert_close(values, torch.stack(reference()), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_wires", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("n_layers", [1, 2, 5])
def test_parameters_in_closed_form(n_wires: int, n_layers: int) -> None:
    """Rot has three angles, n_layers + 1 times, minus the first and last RZ; RY and RZ have a scale each per layer."""
    circuit = model.circuit(model.Config(n_wires=n_wires, n_layers=n_layers), 1)
    assert circuit.n_weights == n_wires * (3 * (n_layers + 1) - 2) == n_wires * (3 * n_layers + 1)
    assert circuit.n_scales == 2 * n_wires * n_layers
    assert sum(gate.name == "CNOT" for gate in circuit.gates) == (n_layers * n_wires if n_wires > 1 else 0)


@pytest.mark.parametrize(("n_layers", "n_parameters"), [(3, 76), (2, 56)])
def test_policy_on_navigation_has_few_parameters(n_layers: int, n_parameters: int) -> None:
    """Four wires: 4 (3 L + 1) weights, 8 L scales, read-out (4 + 1) · 2 and two log standard deviations."""
    family = envs.make("navigation")
    config = model.Config(n_layers=n_layers)
    policy = make_policy("strongly_entangling", config, family.observation_space, family.action_space)
    assert config.n_wires == 4 and policy.n_parameters == n_parameters == 20 * n_layers + 16


@pytest.mark.parametrize("observables", ["local", "global", "both"])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("n_wires", [1, 2, 3, 4])
def test_no_parameter_is_inert_or_redundant(n_wires: int, n_layers: int, observables: str) -> None:
    """At random weights, every parameter, and every linear combination, changes some feature at some input.

    The features' derivatives, [input and feature, parameter], have full rank: no direction is without effect.
    """
    circuit = model.circuit(
        model.Config(n_wires=n_wires, n_layers=n_layers, observables=observables), min(3, n_wires * n_layers)
    )
    program = compile_circuit(circuit)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(150, circuit.n_inputs, generator=generator, dtype=torch.float64)
    for _ in range(2):
        # Not near 0 or π, where a first RY leaves a wire at a pole and the RZ after it without effect at that point.
        uniform = torch.rand(circuit.n_weights, generator=generator, dtype=torch.float64)
        weights = 0.3 + (torch.pi - 0.6) * uniform
        scales = torch.ones(circuit.n_scales, dtype=torch.float64)
        jacobians = jacfwd(lambda w, s: program.run(program.bind(w, s), inputs), (0, 1))(weights, scales)
        jacobian = torch.cat([j.flatten(0, 1) for j in jacobians], dim=-1)
        assert (jacobian.abs().amax(0) > 1e-2).all()
        singular = torch.linalg.svdvals(jacobian)
        assert singular.shape == (circuit.n_weights + circuit.n_scales,) and singular[-1] > 1e-5 * singular[0]


def test_inputs_are_cycled_and_too_many_are_rejected() -> None:
    circuit = model.circuit(model.Config(n_wires=2, n_layers=2), 3)
    features = [(gate.name, gate.angle.feature) for gate in circuit.gates if isinstance(gate.angle, Input)]
    assert features == [
        *(("RY", 0), ("RY", 1), ("RZ", 0), ("RZ", 1)),
        *(("RY", 2), ("RY", 0), ("RZ", 2), ("RZ", 0)),
    ]
    with pytest.raises(UsageError, match="5 inputs do not fit"):
        model.circuit(model.Config(n_wires=2, n_layers=2), 5)


def test_layer_is_available_by_name_and_projects() -> None:
    layer = QuantumLayer("strongly_entangling", 3, 2, n_inputs=9, encoding="projection")
    assert layer(torch.zeros(4, 9)).shape == (4, 3)
    assert layer.weights.shape == (3 * 7,) and layer.scales.shape == (12,)
