"""Bits of the kernel: equal for all instruction sets, threads, batches and lanes; not a number stays where it is."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.noise.model import NOISELESS
from qrl.simulator.native.executor import NativeExecutor
from qrl.simulator.native.library import Library, find
from qrl.simulator.native.requested import INSTRUCTION_SETS
from tests.support.circuits import random_circuit

PRECISIONS = [torch.float32, torch.float64]


def no_reference():
    raise AssertionError("the fused executor was called")


def executor(circuit: Circuit, dtype: torch.dtype, instruction_set: str | None = None) -> NativeExecutor:
    library = find()
    assert isinstance(library, Library)
    if instruction_set is not None:
        if not library.functions.qrl_native_supported(INSTRUCTION_SETS.index(instruction_set)):
            pytest.skip(f"this processor has no {instruction_set}")
        library = replace(library, instruction_set=instruction_set)
    return NativeExecutor(library, circuit, NOISELESS, dtype, no_reference)


def drawn(circuit: Circuit, dtype: torch.dtype, *lead: int, batch: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (circuit.n_weights,), (circuit.n_scales,), (batch, circuit.n_inputs)
    return [(2 * torch.randn(*lead, *shape, generator=generator)).to(dtype) for shape in shapes]


def derivatives(engine: NativeExecutor, arguments: list[Tensor]) -> list[Tensor]:
    """Return values, gradients and a Hessian-vector product."""
    weights, scales, inputs = (x.detach().clone().requires_grad_() for x in arguments)
    values = engine.run(engine.bind(weights, scales), inputs)
    gradients = torch.autograd.grad(values.square().sum(), [weights, scales, inputs], create_graph=True)
    total = sum((each * each.detach()).sum() for each in gradients)
    return [values, *gradients, *torch.autograd.grad(total, [weights, scales, inputs])]


def assert_same_bits(one: list[Tensor], other: list[Tensor]) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype and a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("instruction_set", [name for name in INSTRUCTION_SETS if name != "generic"])
def test_instruction_sets_give_the_same_bits(instruction_set, dtype):
    for seed in (1, 2, 3, 9):
        circuit = random_circuit(seed, max_wires=4)
        for batch in (1, 13, 16, 21, 300):
            arguments = drawn(circuit, dtype, 2, batch=batch)
            generic = derivatives(executor(circuit, dtype, "generic"), arguments)
            assert_same_bits(derivatives(executor(circuit, dtype, instruction_set), arguments), generic)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_threads_give_the_same_bits(dtype, monkeypatch):
    circuit = random_circuit(2, max_wires=4)
    engine, arguments = executor(circuit, dtype), drawn(circuit, dtype, 3, batch=700)
    expected = derivatives(engine, arguments)
    monkeypatch.setattr("qrl.simulator.native.calls.THREADED", 0)
    for n_threads in (2, 3, 7):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=n_threads: n)
        assert_same_bits(derivatives(engine, arguments), expected)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_samples_do_not_depend_on_batch_or_lane(dtype):
    circuit = random_circuit(9, max_wires=4)
    engine, arguments = executor(circuit, dtype), drawn(circuit, dtype, 2, batch=37)
    values, _, _, by_input, *_ = derivatives(engine, arguments)
    for circuit_index in range(2):
        weights, scales, inputs = (x[circuit_index] for x in arguments)
        for chunk in (slice(5, 6), slice(30, 37), slice(3, 35)):
            alone = derivatives(engine, [weights, scales, inputs[chunk]])
            assert_same_bits(
                [alone[0], alone[3]], [values[circuit_index, chunk].clone(), by_input[circuit_index, chunk].clone()]
            )


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_circuits_do_not_depend_on_each_other(dtype):
    circuit = random_circuit(2, max_wires=4)
    engine, arguments = executor(circuit, dtype), drawn(circuit, dtype, 4, batch=40)
    together = derivatives(engine, arguments)
    for k in range(4):
        assert_same_bits(derivatives(engine, [x[k] for x in arguments]), [each[k].clone() for each in together])


def rotation(transform: str) -> Circuit:
    gates = (Gate("RY", (0,), Input(0, None, transform)), Gate("RY", (0,), Weight(0)))
    return Circuit(1, gates, (Observable.of("Z0"), Observable.of("X0")))


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("transform", ["identity", "tanh", "arctan"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_stays_in_its_sample(value, transform, dtype):
    engine, inputs = executor(rotation(transform), dtype), torch.linspace(-3, 3, 20, dtype=dtype)[:, None]
    weights, scales = torch.ones(1, dtype=dtype), torch.ones(0, dtype=dtype)
    expected = engine.run(engine.bind(weights, scales), inputs)
    changed = inputs.clone()
    changed[7] = value
    found = engine.run(engine.bind(weights, scales), changed)
    others = torch.arange(20) != 7
    assert torch.equal(found[others], expected[others])
    bounded = transform != "identity" and math.isinf(value)
    assert found[7].isnan().all() != bounded
    if bounded:  # tanh and arctan of infinity are numbers
        angle = 1 + math.copysign(1 if transform == "tanh" else math.pi / 2, value)
        limit = torch.tensor([math.cos(angle), math.sin(angle)], dtype=dtype)
        torch.testing.assert_close(found[7], limit, atol=1e-6, rtol=0)
    nothing = engine.run(engine.bind(weights * math.nan, scales), inputs)
    assert nothing.isnan().all()


FUNCTIONS = {"identity": lambda x: x, "tanh": np.tanh, "arctan": np.arctan}


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("transform", FUNCTIONS)
def test_functions_are_accurate(transform, dtype):
    """sin and cos of half the angle are the amplitudes after RY; the reference has 64 bits of mantissa."""
    eps = torch.finfo(dtype).eps
    magnitudes = [
        0,
        1e-40,
        1e-30,
        1e-9,
        1e-4,
        0.01,
        *np.linspace(0.05, 30, 600),
        1e3,
        12345.6,
        2e5,
        3e5,
        1e7,
        1e10,
        1e20,
    ]
    x = torch.tensor([sign * m for m in magnitudes for sign in (1, -1)]).to(dtype)
    circuit = Circuit(1, (Gate("RY", (0,), Input(0, None, transform)),), (Observable.of("Z0"),))
    engine = executor(circuit, dtype)
    none = torch.zeros(0, dtype=dtype)
    found = engine.amplitudes(engine.bind(none, none), x[:, None], None).real.numpy()
    angle = FUNCTIONS[transform](x.numpy().astype(np.longdouble))
    expected = np.stack([np.cos(angle / 2), np.sin(angle / 2)], axis=-1)
    # Bounded angles are off by a few units in their last place, half of which reaches the amplitudes.
    np.testing.assert_allclose(found, expected.astype(np.float64), atol=4 * eps, rtol=0)
    near = np.abs(x.numpy()) < 1e-3  # sin x = x there: relative accuracy, as far as numbers are normal
    tiny = 4 * torch.finfo(dtype).smallest_normal * eps
    np.testing.assert_allclose(found[near, 1], expected[near, 1].astype(np.float64), rtol=4 * eps, atol=tiny)
