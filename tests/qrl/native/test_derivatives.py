"""Outputs of the kernel and their derivatives, under transforms of torch, against the fused executor and PennyLane."""

import pennylane as qml
import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad, functional
from torch.func import grad, hessian, jacrev, jvp, vjp, vmap

from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.simulator.native.executor import NativeExecutor
from qrl.simulator.program import Program, compile_circuit
from tests.support.circuits import random_circuit

DOUBLE = torch.float64


def drawn(circuit: Circuit, *lead: int, batch: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Draw weights, scales and inputs."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (circuit.n_weights,), (circuit.n_scales,), (batch, circuit.n_inputs)
    return tuple(torch.randn(*lead, *shape, generator=generator, dtype=DOUBLE) for shape in shapes)  # type: ignore[return-value]


def real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def projected(tensors, seed: int) -> Tensor:
    """Project tensors onto one random direction."""
    generator = torch.Generator().manual_seed(seed)
    return sum((real(t) * torch.randn(real(t).shape, generator=generator, dtype=DOUBLE)).sum() for t in tensors)


def both(circuit: Circuit) -> tuple[Program, Program]:
    native, fused = (compile_circuit(circuit, engine=engine) for engine in ("native", "fused"))
    assert isinstance(native._engines.like(torch.zeros(1, dtype=DOUBLE)), NativeExecutor)
    assert not isinstance(fused._engines.like(torch.zeros(1, dtype=DOUBLE)), NativeExecutor)
    return native, fused


def assert_equal(one, other, scale: float = 1.0) -> None:
    one, other = ([each] if isinstance(each, Tensor) else each for each in (one, other))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(real(a), real(b), atol=1e-11 * scale, rtol=1e-11)


@pytest.mark.parametrize("given_state", [False, True])
@pytest.mark.parametrize("output", ["run", "amplitudes", "probabilities"])
@pytest.mark.parametrize("seed", range(12))
def test_outputs_and_derivatives_to_third_order_equal_the_fused_executor(seed, output, given_state):
    circuit = random_circuit(seed, max_wires=5)
    arguments = [x.requires_grad_() for x in drawn(circuit, 2, batch=1 + 3 * seed)]
    generator = torch.Generator().manual_seed(9)
    state = torch.randn(2, 1 + 3 * seed, 2**circuit.n_wires, generator=generator, dtype=torch.complex128)
    initial = (state / state.norm(dim=-1, keepdim=True)).requires_grad_() if given_state else None
    arguments += [initial] if given_state else []
    results = []
    for program in both(circuit):
        weights, scales, inputs = arguments[:3]
        values = getattr(program, output)(program.bind(weights, scales), inputs, initial=initial)
        derivatives = [[values]]
        for order in range(3):
            total = projected(derivatives[-1], order)
            if total.requires_grad:
                gradients = torch.autograd.grad(total, arguments, create_graph=order < 2, materialize_grads=True)
            else:  # a constant
                gradients = tuple(torch.zeros_like(x) for x in arguments)
            derivatives.append(list(gradients))
        results.append([each for group in derivatives for each in group])
    assert_equal(*results, scale=100)


NAMES = {"H": "Hadamard", "X": "PauliX", "RXX": "IsingXX", "RYY": "IsingYY", "RZZ": "IsingZZ"}
FUNCTIONS = {"identity": lambda x: x, "tanh": torch.tanh, "arctan": torch.atan}


def angle_of(angle, x, weights, scales):
    match angle:
        case Weight(index):
            return weights[index]
        case Input(feature, scale, transform):
            return FUNCTIONS[transform]((1 if scale is None else scales[scale]) * x[feature])
    return angle


@pytest.mark.parametrize("seed", range(8))
def test_amplitudes_equal_pennylane(seed):
    circuit = random_circuit(seed, max_wires=5)
    weights, scales, inputs = drawn(circuit, batch=3)

    @qml.qnode(qml.device("default.qubit", wires=circuit.n_wires))
    def state(x):
        for gate in circuit.gates:
            angles = [] if gate.angle is None else [angle_of(gate.angle, x, weights, scales)]
            getattr(qml, NAMES.get(gate.name, gate.name))(*angles, wires=gate.wires)
        return qml.state()

    expected = torch.stack([torch.as_tensor(state(x)) for x in inputs])
    for program in both(circuit):
        bound = program.bind(weights, scales)
        torch.testing.assert_close(program.amplitudes(bound, inputs), expected, atol=1e-12, rtol=0)
        torch.testing.assert_close(program.probabilities(bound, inputs), expected.abs().square(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("engine", ["native", "fused"])
def test_states_are_carried_from_call_to_call(engine):
    """Two halves of a circuit, the second from the final amplitudes of the first, are the circuit."""
    whole = random_circuit(3, max_wires=4)
    weights, scales, inputs = drawn(whole, batch=5)
    # The second half may use fewer parameters: indices stay the same.
    halves = [Circuit(whole.n_wires, gates, whole.observables) for gates in (whole.gates[:9], whole.gates[9:])]
    first, second, program = (compile_circuit(c, engine=engine) for c in (*halves, whole))
    bound = [p.bind(weights[: p.circuit.n_weights], scales[: p.circuit.n_scales]) for p in (first, second, program)]
    between = first.amplitudes(bound[0], inputs)
    assert_equal(second.run(bound[1], inputs, initial=between), program.run(bound[2], inputs))


TASKS, BATCH, STEP = 4, 5, 0.1


def transforms(program: Program):
    """Yield functions without arguments: compositions of transforms, each with its name."""
    circuit = program.circuit
    weights, scales, inputs = drawn(circuit, TASKS, batch=BATCH, seed=1)
    w, s, x = weights[0], scales[0], inputs
    generator = torch.Generator().manual_seed(2)
    y = torch.randn(TASKS, BATCH, circuit.n_observables, generator=generator, dtype=DOUBLE)
    tangent = torch.randn(circuit.n_weights, generator=generator, dtype=DOUBLE)

    def f(w, s, x):
        return program.run(program.bind(w, s), x)

    def loss(w, s, x, y):
        return (f(w, s, x) - y).square().mean()

    def adapted(w, s, x, y):
        return loss(w - STEP * grad(loss)(w, s, x, y), s, x, y)

    def along(function):
        return lambda w: jvp(function, (w,), (tangent,))[1]

    def one(w):
        return loss(w, s, x[0], y[0])

    def of_task(function):
        return vmap(function)(x, y)

    def outer_gradient():
        theta, scale = w.clone().requires_grad_(), s.clone().requires_grad_()
        mean = vmap(adapted, in_dims=(None, None, 0, 0))(theta, scale, x, y).mean()
        return torch.autograd.grad(mean, [theta, scale])

    def fisher_product():
        outputs = lambda w: of_task(lambda x, y: f(w - STEP * grad(loss)(w, s, x, y), s, x))  # noqa: E731
        return vjp(outputs, w)[1](along(outputs)(w))[0]

    def forward_mode(order):
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(w.clone().requires_grad_(), tangent)
            values = loss(dual, s, x, y)
            if order == 2:
                (values,) = torch.autograd.grad(values, [dual], create_graph=True)
            return forward_ad.unpack_dual(values)[1]

    def curvature(x, y):
        return grad(lambda w: grad(lambda w: grad(loss)(w, s, x, y).square().sum())(w).square().sum())(w)

    yield "vmap over inputs", lambda: vmap(f, in_dims=(None, None, 0))(w, s, x)
    yield "vmap over all", lambda: vmap(f)(weights, scales, x)
    yield "vmap over weights, inputs with an axis", lambda: vmap(f, in_dims=(0, None, None))(weights, s, x)
    yield "vmap∘vmap", lambda: vmap(vmap(f, in_dims=(None, None, 0)), in_dims=(0, 0, None))(weights, scales, x)
    yield "vmap(grad)", lambda: vmap(grad(loss))(weights, scales, x, y)
    yield "vmap(grad∘grad)", lambda: of_task(lambda x, y: grad(adapted)(w, s, x, y))
    yield "autograd of vmap(grad)", outer_gradient
    yield "jvp", lambda: along(lambda w: f(w, s, x[0]))(w)
    yield "jvp∘grad", lambda: along(grad(one))(w)
    yield "vmap(jvp∘grad)", lambda: of_task(lambda x, y: along(grad(lambda w: loss(w, s, x, y)))(w))
    yield "vmap(jvp∘adapted)", lambda: of_task(lambda x, y: along(lambda w: adapted(w, s, x, y))(w))
    yield "vjp∘jvp of adapted outputs", fisher_product
    yield "jacrev", lambda: jacrev(lambda w: f(w, s, x[0]))(w)
    yield "hessian", lambda: hessian(one)(w)
    yield "jvp∘jvp", lambda: along(along(one))(w)
    yield "jvp∘jvp∘grad", lambda: along(along(grad(one)))(w)
    yield "grad∘grad∘grad", lambda: curvature(x[0], y[0])
    yield "vmap(grad∘grad∘grad)", lambda: of_task(curvature)
    yield "forward mode", lambda: forward_mode(1)
    yield "forward over reverse", lambda: forward_mode(2)
    yield "vectorised jacobian", lambda: functional.jacobian(lambda w: f(w, s, x[0]), w, vectorize=True)
    yield "vectorised hessian", lambda: functional.hessian(one, w, vectorize=True)
    yield (
        "vectorised jacobian twice",
        lambda: functional.jacobian(
            lambda w: functional.jacobian(lambda w: f(w, s, x[0]), w, create_graph=True, vectorize=True),
            w,
            vectorize=True,
        ),
    )
    yield "no_grad", lambda: torch.no_grad()(vmap(f))(weights, scales, x)


@pytest.mark.parametrize("seed", [1, 3, 9])
def test_transforms_equal_the_fused_executor(seed):
    circuit = random_circuit(seed, max_wires=4)
    assert circuit.n_weights and circuit.n_scales and circuit.n_inputs
    native, fused = (dict(transforms(program)) for program in both(circuit))
    for name, function in native.items():
        try:
            assert_equal(function(), fused[name](), scale=100)
        except AssertionError as error:
            raise AssertionError(name) from error


def test_values_without_a_gradient_are_the_same_in_inference_mode():
    circuit = random_circuit(5, max_wires=4)
    weights, scales, inputs = drawn(circuit, batch=3)
    program = compile_circuit(circuit, engine="native")
    expected = program.run(program.bind(weights, scales), inputs)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.equal(program.run(program.bind(weights, scales), inputs), expected)


def test_batches_without_samples_have_zero_gradients():
    circuit = random_circuit(9, max_wires=4)
    weights, scales, inputs = (x.requires_grad_() for x in drawn(circuit, 3, batch=0))
    program = compile_circuit(circuit, engine="native")
    values = program.run(program.bind(weights, scales), inputs)
    assert values.shape == (3, 0, circuit.n_observables)
    gradient = torch.autograd.grad(values.sum(), [weights, scales, inputs])
    assert all(
        torch.equal(each, torch.zeros_like(x)) for each, x in zip(gradient, (weights, scales, inputs), strict=True)
    )
