"""Finite shots: statistics against theory, and gradients."""

import math

import pytest
import torch
from torch import nn
from torch.func import grad, jvp, vmap

from qrl.backends.backend import Backend, run_on
from qrl.backends.cost import Counter
from qrl.backends.shots import multinomial
from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.layer import QuantumLayer
from qrl.noise.model import Noise
from qrl.simulator.program import compile_circuit
from tests.support.circuits import random_circuit
from tests.support.double_precision import seeded

DOUBLE = torch.float64
SHOTS = 50


def parameters(circuit: Circuit, seed=1):
    generator = seeded(seed)
    return tuple(torch.randn(n, generator=generator, dtype=DOUBLE) for n in (circuit.n_weights, circuit.n_scales))


def estimates(circuit: Circuit, backend: Backend, rows: int, generator=None):
    """Estimates for one input, `rows` times, and their expected value."""
    program = backend.compile(circuit, generator or seeded())
    weights, scales = parameters(circuit)
    inputs = torch.linspace(-1, 1, max(1, circuit.n_inputs), dtype=DOUBLE).expand(rows, -1)
    exact = compile_circuit(circuit, backend.noise)
    bound = program.bind(weights, scales)
    return program.run(bound, inputs), exact.run(exact.bind(weights, scales), inputs[:1])[0]


def test_counts_have_the_moments_of_a_multinomial_distribution():
    p = torch.tensor([0.05, 0.0, 0.2, 0.15, 0.3, 0.1, 0.0, 0.2], dtype=DOUBLE)
    n_rows = 200_000
    counts = multinomial(p.expand(n_rows, -1), SHOTS, seeded())
    assert torch.equal(counts, counts.round()) and (counts.sum(-1) == SHOTS).all()
    assert (counts[:, p == 0] == 0).all()
    error = (counts.mean(0) - SHOTS * p) / (SHOTS * p * (1 - p) / n_rows).sqrt().clamp_min(1e-12)
    assert error.abs().max() < 4
    covariance = SHOTS * (p.diag() - torch.outer(p, p))
    torch.testing.assert_close(counts.T.cov(), covariance, atol=0.15, rtol=0)


def test_deterministic_outcome():
    for outcome in range(4):
        p = torch.eye(4, dtype=DOUBLE)[outcome]
        assert torch.equal(multinomial(p, 7, seeded()), 7 * p)


@pytest.mark.parametrize("noise", [Noise(), Noise(readout=0.2), Noise(amplitude_damping=0.1, readout=0.2)])
def test_estimates_have_the_mean_and_variance_of_measured_pauli_words(noise):
    """Each shot of a Pauli word gives +1 or -1: the variance is (1 - mean^2) / shots."""
    gates = (Gate("RX", (0,), Weight(0)), Gate("CNOT", (0, 1)), Gate("RY", (1,), Input(0, 0)), Gate("RZ", (0,), 0.3))
    circuit = Circuit(2, gates, tuple(Observable.of(word) for word in ("Z0", "X1", "Z0 X1", "Y0")))
    n_rows = 20_000
    values, exact = estimates(circuit, Backend(shots=SHOTS, noise=noise), n_rows)
    variance = (1 - exact.square()) / SHOTS
    assert ((values.mean(0) - exact).abs() < 4 * (variance / n_rows).sqrt()).all()
    torch.testing.assert_close(values.var(0), variance, rtol=0.05, atol=0)
    # Z0 and Z0 X1 are measured in the same shots, their product is X1.
    covariance = (exact[1] - exact[0] * exact[2]) / SHOTS
    torch.testing.assert_close(values[:, [0, 2]].T.cov()[0, 1], covariance, atol=6e-4, rtol=0)


@pytest.mark.parametrize("noise", [Noise(), Noise(depolarizing=0.05, readout=0.1)])
@pytest.mark.parametrize("seed", range(4))
def test_random_circuits_are_estimated_without_bias(seed, noise):
    circuit = random_circuit(seed, max_wires=4)
    values, exact = estimates(circuit, Backend(shots=SHOTS, noise=noise), 4000)
    assert ((values.mean(0) - exact).abs() <= 4 * values.std(0) / math.sqrt(4000) + 1e-12).all()


def test_every_sample_has_separate_shots_also_without_inputs():
    circuit = Circuit(1, (Gate("H", (0,)),), (Observable.of("Z0"),))
    values, _ = estimates(circuit, Backend(shots=SHOTS), 1000)
    assert len(values.unique()) > 10


def test_shots_are_sampled_from_the_generator():
    circuit, backend, generator = random_circuit(2), Backend(shots=SHOTS), seeded(3)
    first, second = (estimates(circuit, backend, 8, generator)[0] for _ in range(2))
    again, _ = estimates(circuit, backend, 8, seeded(3))
    assert torch.equal(first, again) and not torch.equal(first, second)


def test_derivatives_are_exact_at_the_estimated_values():
    """With L = sum of f^2 and estimates e: gradient 2 e f', second derivative 2 f'^2 + 2 e f''."""
    circuit = Circuit(1, (Gate("RY", (0,), Weight(0)),), (Observable.of("Z0"),))
    angle, inputs = torch.tensor([0.7], dtype=DOUBLE), torch.zeros(1, 1, dtype=DOUBLE)

    def total(weights, generator):
        program = Backend(shots=SHOTS).compile(circuit, generator)
        return program.run(program.bind(weights, weights[:0]), inputs).square().sum()

    estimate = total(angle, seeded(5)).sqrt()
    slope, curvature = -math.sin(0.7), -math.cos(0.7)
    torch.testing.assert_close(grad(total)(angle, seeded(5)), 2 * estimate * slope * torch.ones(1, dtype=DOUBLE))
    second = grad(lambda w: grad(total)(w, seeded(5)).sum())(angle)
    torch.testing.assert_close(second, (2 * slope**2 + 2 * estimate * curvature) * torch.ones(1, dtype=DOUBLE))
    many = vmap(grad(total), in_dims=(0, None))(angle.expand(500, 1), seeded(5))
    assert len(many.unique()) > 5  # each task has separate shots


def test_module_is_moved_to_a_backend_and_back():
    layer = QuantumLayer("reuploading", 2, 2, generator=seeded())
    module, inputs = nn.Sequential(nn.Linear(3, 2), layer), torch.ones(5, 3)
    exact = module(inputs)
    run_on(module, Backend(shots=10), seeded())
    assert not torch.equal(module(inputs), exact) and torch.equal(
        (10 * layer(torch.ones(5, 2))).round() % 2, torch.zeros(5, 2)
    )
    run_on(module, Backend(noise=Noise(depolarizing=0.5)), seeded())
    assert layer(torch.ones(1, 2)).abs().max() < 0.05
    run_on(module, Backend(), seeded())
    assert torch.equal(module(inputs), exact)


def test_invalid_backends():
    with pytest.raises(UsageError, match="unknown name 'torhc'; did you mean 'torch'"):
        Backend(name="torhc")
    for shots, limit in ((-1, "least 0"), (10**12, "most 1000000000")):
        with pytest.raises(UsageError, match=f"shots must be at {limit}, not {shots}"):
            Backend(shots=shots)
    with pytest.raises(UsageError, match="shots, noise and devices need a model with circuits"):
        run_on(nn.Linear(2, 2), Backend(shots=5), seeded())
    with pytest.raises(UsageError, match="limited to 6 wires, not 7"):
        run_on(QuantumLayer("reuploading", 7, 1), Backend(noise=Noise(bit_flip=0.1)), seeded())


# --- counting ---------------------------------------------------------------------------------------------------------


def test_circuits_of_values_and_gradients_are_counted():
    """Two bases; a rotation takes two circuits per derivative, a controlled one four, fixed angles none."""
    gates = (Gate("RY", (0,), Weight(0)), Gate("CRX", (0, 1), Weight(1)), Gate("RZ", (1,), 0.3), Gate("H", (0,)))
    circuit = Circuit(2, (*gates, Gate("RX", (1,), Input(0, 0))), (Observable.of("Z0"), Observable.of("X0")))
    counter = Counter()
    program = Backend().compile(circuit, seeded(), counter)
    weights, scales = (p.requires_grad_() for p in parameters(circuit))
    n_rows, n_bases, n_shifts = 5, 2, 2 + 4 + 2

    def spent(function) -> int:
        before = counter.circuits
        function()
        return counter.circuits - before

    def total(w):
        return program.run(program.bind(w, scales), torch.ones(n_rows, 1, dtype=DOUBLE)).square().sum()

    value = n_rows * n_bases
    assert spent(lambda: total(weights)) == value
    assert spent(lambda: torch.autograd.grad(total(weights), [weights])) == value * (1 + n_shifts)
    assert spent(lambda: grad(total)(weights)) == value * (1 + n_shifts)
    tasks = weights.detach().expand(3, -1)
    assert spent(lambda: vmap(total)(tasks)) == 3 * value
    assert spent(lambda: vmap(grad(total))(tasks)) == 3 * value * (1 + n_shifts)
    # For a Hessian: the derivative of the gradient, and in a second pass that of the value it depends on.
    second = spent(lambda: grad(lambda w: grad(total)(w).sum())(weights))
    assert second == value * (1 + n_shifts + n_shifts + n_shifts**2)

    def unseen():
        with counter.paused():
            total(weights)

    assert spent(unseen) == 0
    assert spent(lambda: jvp(total, (tasks[0],), (tasks[0],))) == value * (1 + n_shifts)
