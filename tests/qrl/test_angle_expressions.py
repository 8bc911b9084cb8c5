"""Angles that are expressions: every function of PennyLane's reference equals the circuit that is read from it."""

import pickle

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import math as maths
from pennylane import numpy as pnp
from torch.func import vmap

from agents.experiment.export import record
from qrl.backends.backend import Backend
from qrl.backends.openqasm import to_openqasm
from qrl.backends.pennylane import to_qnode
from qrl.circuits.angles import Expression, Function, Input, Scale, Term, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.layer import QuantumLayer
from qrl.noise.model import Noise
from qrl.simulator.native.library import library
from qrl.simulator.program import compile_circuit

DOUBLE = torch.float64
ENGINES = ("fused",) if library() is None else ("fused", "native")
SIZES = {"n_inputs": 3, "n_weights": 4, "n_scales": 2}


def measured():
    qml.CNOT(wires=[0, 1])
    return qml.expval(qml.PauliZ(0)), qml.expval(qml.PauliX(1))


def rotations(*angles):
    """Circuit of two wires with one rotation for each angle, a function of (inputs, weights, scales)."""

    def function(inputs, weights, scales):
        for k, angle in enumerate(angles):
            (qml.RY, qml.RX, qml.CRZ)[k % 3](angle(inputs, weights, scales), wires=[0, 1] if k % 3 == 2 else [k % 2])
        return measured()

    return function


def shared(inputs, weights, scales):
    """Use every variable once, so that the counts are those declared."""
    for k, each in enumerate([*inputs, *weights, *scales]):
        (qml.RX, qml.RY)[k % 2](each, wires=k % 2)


def templates(inputs, weights, scales):
    shared(inputs, weights, scales)
    qml.U3(weights[0], weights[1], inputs[0], wires=0)
    qml.CRot(weights[2], scales[0] * inputs[1], weights[3], wires=[0, 1])
    qml.ControlledPhaseShift(weights[1] * inputs[2], wires=[0, 1])
    qml.IQPEmbedding(inputs[:2], wires=range(2), n_repeats=2)
    qml.adjoint(qml.BasicEntanglerLayers)(weights.reshape(2, 2), wires=range(2))
    qml.SingleExcitation(weights[0], wires=[0, 1])
    qml.pow(qml.RX(weights[0], wires=0), 3)
    qml.PauliRot(2 * weights[1], "YX", wires=[0, 1])
    return measured()


FUNCTIONS = {
    "affine": rotations(
        lambda x, w, s: np.pi * x[0] - w[0] + 0.25,
        lambda x, w, s: -w[1] + s[0] * x[1],
        lambda x, w, s: 2 * w[2] - w[3] / 3,
        lambda x, w, s: w[0] * x[2] + s[1] * x[2] + 1,
    ),
    "products": rotations(
        lambda x, w, s: (np.pi - x[0]) * (np.pi - x[1]),
        lambda x, w, s: w[0] * w[1] * x[0] ** 3,
        lambda x, w, s: s[0] * s[1] * x[2] * w[3],
        lambda x, w, s: w[2] ** 2 - 2,
    ),
    "functions": rotations(
        lambda x, w, s: maths.arctan(x[0] ** 2),
        lambda x, w, s: maths.tanh(s[0] * x[1] + w[0]),
        lambda x, w, s: maths.sin(maths.cos(w[1]) * maths.exp(-(x[2] ** 2))),
        lambda x, w, s: 1 / (2 + w[2] * maths.tanh(s[1] * x[0])) + maths.sqrt(2 + w[3]),
    ),
    "torch": rotations(
        lambda x, w, s: torch.tanh(s[0] * x[0]) * torch.tensor(2.0, dtype=DOUBLE),
        lambda x, w, s: torch.atan(x[1] * w[0] - torch.tensor(0.5)) + torch.sigmoid(w[1]),
        lambda x, w, s: torch.stack([w[2], s[1]]).sum() + torch.special.expit(x[2]),
        lambda x, w, s: (torch.ones(1, 3, dtype=DOUBLE) @ x)[0] - torch.dot(w[:2], w[2:]) / torch.tensor(3.0),
        lambda x, w, s: torch.tensor(1.0) - torch.asin(torch.sin(w[3])) + torch.einsum("i,i->", x, x),
    ),
    "linear layer": rotations(
        lambda x, w, s: (w[:3] * x).sum(), lambda x, w, s: x @ w[1:], lambda x, w, s: s.mean() * x[0]
    ),
    "templates": templates,
}


def reference(function, weights, scales, inputs):
    """Expectation values [sample, observable] of PennyLane's own simulator."""
    node = qml.QNode(function, qml.device("default.qubit", wires=2), interface="torch", diff_method="backprop")
    return torch.stack([torch.stack(list(node(row, weights, scales))) for row in inputs])


def drawn(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(*shape, dtype=DOUBLE, generator=generator) * 2 - 1 for shape in ((4,), (2,), (5, 3))]


def derivatives(values, tensors):
    """Values, gradients by all tensors of a weighted sum, and a product of its Hessian with a vector."""
    output = values(*tensors)
    weighting = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).reshape(output.shape)
    gradients = torch.autograd.grad((output * weighting).sum(), tensors, create_graph=True, materialize_grads=True)
    along = [torch.linspace(1, -0.5, g.numel(), dtype=g.dtype).reshape(g.shape) for g in gradients]
    slope = sum((gradient * direction).sum() for gradient, direction in zip(gradients, along, strict=True))
    return output, *gradients, *torch.autograd.grad(slope, tensors, materialize_grads=True)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_gradients_and_hessians_are_those_of_pennylane(name, engine):
    function = FUNCTIONS[name]
    circuit = Circuit.from_pennylane(function, **SIZES)
    program = compile_circuit(circuit, engine=engine)
    tensors = [each.requires_grad_() for each in drawn()]

    def values(weights, scales, inputs):
        return program.run(program.bind(weights, scales), inputs)

    expected = derivatives(lambda *tensors: reference(function, *tensors), tensors)
    for found, wanted in zip(derivatives(values, tensors), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-9, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["affine", "functions", "templates"])
def test_circuits_side_by_side_are_those_alone(name, engine):
    circuit = Circuit.from_pennylane(FUNCTIONS[name], **SIZES)
    program = compile_circuit(circuit, engine=engine)
    weights, scales, inputs = (torch.stack(each) for each in zip(*(drawn(seed) for seed in range(3)), strict=True))
    alone = [program.run(program.bind(w, s), x) for w, s, x in zip(weights, scales, inputs, strict=True)]
    torch.testing.assert_close(program.run(program.bind(weights, scales), inputs), torch.stack(alone))
    mapped = vmap(lambda w, s, x: program.run(program.bind(w, s), x))(weights, scales, inputs)
    torch.testing.assert_close(mapped, torch.stack(alone))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_executor_computes_the_same(name):
    circuit = Circuit.from_pennylane(FUNCTIONS[name], **SIZES)
    weights, scales, inputs = drawn()
    expected = reference(FUNCTIONS[name], weights, scales, inputs)
    program = compile_circuit(circuit)
    torch.testing.assert_close(program.probabilities(program.bind(weights, scales), inputs).sum(-1), inputs.new_ones(5))
    generator = torch.Generator().manual_seed(0)
    for backend in ("pennylane:default.qubit", "pennylane:lightning.qubit"):
        executor = Backend(backend).compile(circuit, generator)
        torch.testing.assert_close(executor.run(executor.bind(weights, scales), inputs), expected, atol=1e-6, rtol=0)
    twin = torch.stack(list(to_qnode(circuit)(inputs, weights, scales)), dim=-1)
    torch.testing.assert_close(twin, expected, atol=1e-9, rtol=0)
    noise = Noise(depolarizing=0.05, after="layer")
    noisy = [
        executor.run(executor.bind(weights, scales), inputs)
        for executor in (
            Backend(noise=noise).compile(circuit, generator),
            Backend("pennylane:default.mixed", noise=noise).compile(circuit, generator),
        )
    ]
    torch.testing.assert_close(*noisy, atol=1e-6, rtol=0)
    assert not torch.allclose(noisy[0], expected)


def test_exported_circuit_has_the_numbers_of_its_angles():
    circuit = Circuit.from_pennylane(FUNCTIONS["affine"], **SIZES)
    policy = QuantumLayer(circuit).double()
    (recorder,) = record(policy).values()
    weights, scales, inputs = drawn()
    with torch.no_grad():
        policy.weights.copy_(weights)
        policy.scales.copy_(scales)
    policy(inputs)
    angles = [np.pi * inputs[0, 0] - weights[0] + 0.25, -weights[1] + scales[0] * inputs[0, 1]]
    assert recorder.angles[0, :2].tolist() == pytest.approx([float(angle) for angle in angles])
    exported = circuit.at(recorder.angles[0].tolist())
    assert f"ry({exported.gates[0].angle:.17g}) q[0];" in to_openqasm(exported)


@pytest.mark.parametrize(
    "angle",
    [
        lambda x, w: np.arctan(np.pi * x[0]) + np.tanh(w[0] + x[1]) ** 2,
        lambda x, w: pnp.arctan(pnp.pi * x[0]) * pnp.sin(w[0]) + x[1],
        lambda x, w: np.dot(x, x) * w[0],
        lambda x, w: np.array([x[0], w[0]])[1] + (x * np.array([1.0, 2.0])).sum(),
        lambda x, w: qml.math.stack([x[0], w[0]])[1] + np.asarray(x)[1] - np.float64(2) * x[0],
        lambda x, w: sum(x) + abs(w[0]) - np.linalg.norm(x),
        lambda x, w: np.einsum("i,i->", x, x) + w.mean(),
    ],
)
def test_functions_of_numpy_and_of_pennylane(angle):
    def function(inputs, weights):
        qml.RX(angle(inputs, weights), wires=0)
        return qml.expval(qml.PauliZ(0))

    circuit = Circuit.from_pennylane(function, n_inputs=2, n_weights=1)
    program = compile_circuit(circuit)
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=2), rng.normal(size=1)
    found = program.run(program.bind(torch.as_tensor(w), torch.zeros(0, dtype=DOUBLE)), torch.as_tensor(x)[None])
    expected = qml.QNode(function, qml.device("default.qubit", wires=1))(x, w)
    assert found.item() == pytest.approx(float(expected), abs=1e-10)


def test_expressions_are_collected_and_simplified():
    w, x, s = Expression.of(Weight(0)), Expression.of(Input(1)), Expression.of(Scale(2))
    assert w + 2 * x - w == 2 * x and (w - w).simplest() == 0.0
    assert x * w == w * x == Expression((Term(1.0, (Input(1), Weight(0))),))
    assert (w + x) ** 2 == w**2 + 2 * w * x + x**2
    assert w.simplest() == Weight(0) and (x * s).simplest() == Input(1, 2) == Expression.of(Input(1, 2)).simplest()
    assert (s * x).apply("tanh").simplest() == Input(1, 2, "tanh") == Expression.of(Input(1, 2, "tanh")).simplest()
    assert Expression.of(0.5).apply("cos").number == pytest.approx(np.cos(0.5))
    assert str(-2 * w + x**2 / 2 - (s + 1).apply("tanh") + 3) == "3 - 2*w0 + 0.5*x1**2 - tanh(1 + s2)"


def test_circuits_with_expressions_are_values():
    gates = (Gate("RX", (0,), 2 * Expression.of(Weight(1)) * Scale(0)), Gate("RY", (1,), Expression.of(Input(2)) + 1.0))
    circuit = Circuit(2, gates, (Observable.of("Z0"),))
    assert (circuit.n_weights, circuit.n_scales, circuit.n_inputs) == (2, 1, 3)
    assert pickle.loads(pickle.dumps(circuit)) == circuit and len({circuit, pickle.loads(pickle.dumps(circuit))}) == 1
    assert circuit.draw() == "0: -RX(2*s0*w1)-\n1: --RY(1 + x2)-\n<Z0>"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Expression.of(Weight(0)) ** 0.3, "a power in an angle has a whole exponent or 0.5, not 0.3"),
        (lambda: Expression.of(Weight(0)) / 0, r"reciprocal\(0\) in an angle has no value"),
        (lambda: Expression.of(-1.0).apply("log"), r"log\(-1\) in an angle has no value"),
        (lambda: Expression.of(Weight(0)) * float("inf"), "the coefficient inf in an angle is not finite"),
        (lambda: Function("erf", Expression.of(Weight(0))), "unknown function 'erf' in an angle"),
        (lambda: Gate("RX", (0,), Expression.of(Input(-1)) * 2.0), "RX: feature -1 is negative"),
        (lambda: Expression(tuple(Term(1.0, (Weight(k),)) for k in range(200))) ** 2, "more than 10,000 terms"),
    ],
)
def test_expressions_without_a_value_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()
