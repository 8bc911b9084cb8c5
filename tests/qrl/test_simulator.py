"""Both engines against numbers by hand, PennyLane, and torch.func transforms."""

import math

import pytest
import torch
from torch.func import grad, hessian, jvp, vmap

from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.simulator.program import Program, compile_circuit
from tests.support.circuits import random_circuit
from tests.support.pennylane_comparison import largest_differences

DOUBLE = torch.float64


@pytest.fixture(autouse=True, params=["default", "own rule", "autograd"])
def engine(request, monkeypatch):
    """Run every test on the default engine, and with both code paths of the fused executor: small and large batches."""
    if request.param != "default":
        monkeypatch.setattr("qrl.simulator.program.chosen_engine", lambda: "fused")
        monkeypatch.setattr("tests.support.pennylane_comparison.engine", lambda: "fused")
        monkeypatch.setattr("qrl.simulator.kernels.SMALL", 0 if request.param == "own rule" else 2**30)


def expectation(circuit: Circuit, weights=(), scales=(), inputs=((0.0,),)):
    program = compile_circuit(circuit)
    tensors = [torch.tensor(list(v), dtype=DOUBLE) for v in (weights, scales, inputs)]
    return program.run(program.bind(*tensors[:2]), tensors[2])


def test_single_rotations_by_hand():
    circuit = Circuit(1, (Gate("RX", (0,), Weight(0)),), tuple(Observable.of(p) for p in ("X0", "Y0", "Z0")))
    angle = 0.7
    # RX turns |0> about the x axis: (0, -sin, cos) on the Bloch sphere.
    expected = torch.tensor([[0.0, -math.sin(angle), math.cos(angle)]], dtype=DOUBLE)
    torch.testing.assert_close(expectation(circuit, [angle]), expected)


def test_bell_state_by_hand():
    gates = (Gate("H", (0,)), Gate("CNOT", (0, 1)))
    circuit = Circuit(2, gates, tuple(Observable.of(p) for p in ("Z0 Z1", "X0 X1", "Y0 Y1", "Z0")))
    expected = torch.tensor([[1.0, 1.0, -1.0, 0.0]], dtype=DOUBLE)
    torch.testing.assert_close(expectation(circuit), expected)


def test_scaled_transformed_input_by_hand():
    circuit = Circuit(1, (Gate("RY", (0,), Input(0, 0, "arctan")),), (Observable.of((3.0, "Z0")),))
    expected = torch.tensor([[3 * math.cos(math.atan(2 * 0.3))], [3 * math.cos(math.atan(-2.0))]], dtype=DOUBLE)
    torch.testing.assert_close(expectation(circuit, [], [2.0], [[0.3], [-1.0]]), expected)


@pytest.mark.parametrize("seed", range(50))
def test_random_circuits_equal_pennylane(seed):
    assert max(largest_differences(random_circuit(seed))) < 1e-10


@pytest.mark.parametrize("n_wires", [6, 8])
def test_circuits_of_several_blocks_equal_pennylane(n_wires):
    """Two-wire gates across blocks take a separate path: rings of every kind of them."""
    wires = range(n_wires)
    gates = [Gate("RY", (w,), Weight(w)) for w in wires]
    for kind, angle in (("CZ", None), ("CNOT", None), ("RXX", Weight(3)), ("CRY", Input(0, 0)), ("RZZ", 0.3)):
        gates += [Gate(kind, (w, (w + 1) % n_wires), angle) for w in wires]
    gates += [Gate("RX", (w,), Input(w % 3, 1)) for w in wires]
    circuit = Circuit(n_wires, tuple(gates), (Observable.of("Z0 Z5"), Observable.of("X0 Y5")))
    assert max(largest_differences(circuit, batch=2)) < 1e-10


def layered() -> Circuit:
    gates = [Gate("RY", (w,), Weight(w)) for w in range(3)] + [Gate("CZ", (0, 1)), Gate("CNOT", (1, 2))]
    gates += [Gate("RX", (w,), Input(w % 2, w)) for w in range(3)] + [Gate("RY", (w,), Weight(3 + w)) for w in range(3)]
    return Circuit(3, tuple(gates), (Observable.of("Z0"), Observable.of("Z1 Z2")))


def test_derivatives_equal_finite_differences():
    program = compile_circuit(layered())
    generator = torch.Generator().manual_seed(0)
    x, w, s = (
        torch.randn(*shape, generator=generator, dtype=DOUBLE).requires_grad_() for shape in ((2, 2), (6,), (3,))
    )

    def function(x, w, s):
        return program.run(program.bind(w, s), x)

    assert torch.autograd.gradcheck(function, (x, w, s))
    assert torch.autograd.gradgradcheck(function, (x, w, s))


def test_torch_func_transforms_agree_with_each_other():
    program = compile_circuit(layered())
    generator = torch.Generator().manual_seed(1)
    x, w, s = (torch.randn(*shape, generator=generator, dtype=DOUBLE) for shape in ((4, 5, 2), (4, 6), (4, 3)))

    def loss(w, s, x):
        return program.run(program.bind(w, s), x).square().sum()

    # vmap over tasks equals a loop over tasks, to second order.
    for transform in (lambda f: f, grad, hessian):
        mapped = vmap(transform(loss))(w, s, x)
        looped = torch.stack([transform(loss)(w[i], s[i], x[i]) for i in range(4)])
        torch.testing.assert_close(mapped, looped)
    # Forward mode equals reverse mode.
    tangent = torch.ones_like(w[0])
    _, forward = jvp(lambda w: loss(w, s[0], x[0]), (w[0],), (tangent,))
    torch.testing.assert_close(forward, (grad(loss)(w[0], s[0], x[0]) * tangent).sum())


@pytest.mark.parametrize("seed", range(40))
def test_batched_circuits_equal_separate_ones(seed):
    program = compile_circuit(random_circuit(seed))
    circuit = program.circuit
    generator = torch.Generator().manual_seed(seed)
    shapes = (2, 3, circuit.n_weights), (2, 3, circuit.n_scales), (2, 3, 5, circuit.n_inputs)
    w, s, x = (torch.randn(*shape, generator=generator, dtype=DOUBLE).requires_grad_() for shape in shapes)

    def derivatives(values):
        if not values.requires_grad:  # a circuit of constants
            return [values]
        first = torch.autograd.grad(values.square().sum(), (w, s, x), create_graph=True, materialize_grads=True)
        total = sum(each.square().sum() for each in first)
        second = torch.autograd.grad(total, (w, s, x), materialize_grads=True) if total.requires_grad else ()
        return [values, *first, *second]

    bound = program.bind(w, s)
    assert all(tensor.shape[:2] == (2, 3) for tensor in bound.values())
    ours = derivatives(program.run(bound, x))
    separate = [[program.run(program.bind(w[i, j], s[i, j]), x[i, j]) for j in range(3)] for i in range(2)]
    theirs = derivatives(torch.stack([torch.stack(row) for row in separate]))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


def test_single_precision_is_close_and_preserved():
    program = compile_circuit(layered())
    w, s, x = torch.linspace(-1, 1, 6), torch.ones(3), torch.linspace(-1, 1, 8).reshape(4, 2)
    single = program.run(program.bind(w, s), x)
    double = program.run(program.bind(w.double(), s.double()), x.double())
    assert single.dtype == torch.float32 and double.dtype == DOUBLE
    torch.testing.assert_close(single.double(), double, atol=1e-6, rtol=0)


def test_constants_made_under_inference_mode_can_be_trained_through():
    circuit = Circuit(1, (Gate("RY", (0,), Weight(0)), Gate("RX", (0,), Input(0))), (Observable.of("Z0"),))
    program = compile_circuit(circuit)
    with torch.inference_mode():
        program.run(program.bind(torch.ones(1), torch.ones(0)), torch.ones(2, 1))
    weights = torch.ones(1, requires_grad=True)
    program.run(program.bind(weights, torch.ones(0)), torch.ones(2, 1)).sum().backward()
    assert weights.grad is not None


def test_circuit_without_inputs_is_broadcast_to_the_batch():
    circuit = Circuit(1, (Gate("X", (0,)),), (Observable.of("Z0"),))
    assert expectation(circuit, inputs=[[0.0], [1.0]]).tolist() == [[-1.0], [-1.0]]


def test_other_precisions_are_rejected():
    program = compile_circuit(layered())
    with pytest.raises(UsageError, match=r"float32 or torch\.float64, not torch\.float16"):
        program.bind(torch.zeros(6, dtype=torch.float16), torch.ones(3, dtype=torch.float16))


@pytest.mark.parametrize("n_wires", [60, 5000])
def test_too_many_wires_are_rejected(n_wires):
    with pytest.raises(UsageError, match=r"wires do not fit .* GiB suffice .* with [0-9]+ wires"):
        compile_circuit(Circuit(n_wires, (Gate("H", (0,)),), (Observable.of("Z0"),)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_cpu():
    program = compile_circuit(layered())
    w, s, x = torch.linspace(-1, 1, 6), torch.ones(3), torch.linspace(-1, 1, 8).reshape(4, 2)
    on_gpu = program.run(program.bind(w.cuda(), s.cuda()), x.cuda())
    torch.testing.assert_close(on_gpu.cpu(), program.run(program.bind(w, s), x), atol=1e-5, rtol=0)


def test_circuit_first_used_inside_transforms_works_outside_them():
    """Cached constants created inside a transform would be tensors of a dead level."""
    gates = (
        Gate("RY", (0,), Weight(0)),
        Gate("RZ", (0,), Input(0, 0)),
        Gate("CZ", (0, 1)),
        Gate("RX", (1,), Weight(1)),
    )
    circuit = Circuit(2, (*gates, Gate("RY", (0,), Weight(1))), (Observable.of("Z0 Z1"),))
    weights, scales = torch.tensor([0.3, 1.1], dtype=DOUBLE), torch.tensor([0.7], dtype=DOUBLE)
    inputs = torch.linspace(-1, 1, 4, dtype=DOUBLE)[:, None]
    program = Program(circuit)

    def total(x):
        return program.run(program.bind(x, scales), inputs).sum()

    def curvature(x):
        return grad(lambda y: grad(total)(y).square().sum())(x)

    nested = vmap(curvature)(weights[None])[0]
    fresh = Program(circuit)
    plain = fresh.run(fresh.bind(weights, scales), inputs).sum()
    torch.testing.assert_close(total(weights), plain)
    torch.testing.assert_close(vmap(grad(total))(weights[None])[0], grad(total)(weights))
    torch.testing.assert_close(curvature(weights), nested)
