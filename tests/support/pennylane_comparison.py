"""The simulator against PennyLane's `default.qubit`: value, gradient and Hessian-vector product."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from qrl.backends.pennylane import to_qnode
from qrl.circuits.circuit import Circuit
from qrl.noise.model import NOISELESS, Noise
from qrl.simulator.engine import engine
from qrl.simulator.program import Program, compile_circuit

Array = np.ndarray


def largest_differences(
    circuit: Circuit, batch: int = 3, seed: int = 0, noise: Noise = NOISELESS
) -> tuple[float, float, float]:
    """Largest absolute differences on the default engine; see `differences_by_engine`."""
    return differences_by_engine(circuit, (engine(),), batch, seed, noise)[engine()]


def differences_by_engine(
    circuit: Circuit, engines: Sequence[str], batch: int = 3, seed: int = 0, noise: Noise = NOISELESS
) -> dict[str, tuple[float, float, float]]:
    """Largest absolute differences of value, gradient and Hessian-vector product of each engine, in double precision.

    Derivatives are of a random weighted sum of all outputs, with respect to inputs, weights and scales.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    points = [normal(batch, max(1, circuit.n_inputs)), normal(circuit.n_weights), normal(circuit.n_scales)]
    directions = [normal(*p.shape) for p in points]
    mixture = normal(batch, circuit.n_observables)
    programs = {name: compile_circuit(circuit, noise, name) for name in engines}
    qnode = to_qnode(circuit, "default.mixed" if noise else "default.qubit", noise=noise)

    def ours(program: Program, x: Tensor, w: Tensor, s: Tensor) -> Tensor:
        return program.run(program.bind(w, s), x)

    def reference(x: Tensor, w: Tensor, s: Tensor) -> Tensor:
        # With a batch axis: for a single angle PennyLane's default.mixed rounds diagonal gates such as RZ to complex64.
        rows = (parameter.expand(batch, -1) for parameter in (w, s))
        return torch.stack([value.expand(batch) for value in qnode(x, *rows)], dim=-1)

    def derivatives(function: Callable[..., Tensor]) -> list[Tensor]:
        leaves = [p.clone().requires_grad_() for p in points]
        value = function(*leaves)
        # Squared, so that the second derivative is not only that of a single expectation value.
        loss = (mixture * (value + value.square())).sum()
        gradient = _grad(loss, leaves)
        slope = sum((g * d).sum() for g, d in zip(gradient, directions, strict=True))
        return [value.flatten(), _flat(gradient), _flat(_grad(slope, leaves))]

    expected = derivatives(reference)
    largest = {}
    for name, program in programs.items():
        found = derivatives(partial(ours, program))
        value, gradient, product = (float((a - b).detach().abs().max()) for a, b in zip(found, expected, strict=True))
        largest[name] = (value, gradient, product)
    return largest


def expectation_values(circuit: Circuit, inputs: Array, weights: Array, scales: Array) -> Array:
    """Expectation values of one sample [observable] on PennyLane."""
    values = to_qnode(circuit)(*(torch.as_tensor(x) for x in (inputs, weights, scales)))
    return np.array([float(value) for value in values])


def _grad(value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return list(torch.autograd.grad(value, leaves, create_graph=True, allow_unused=True, materialize_grads=True))


def _flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.flatten() for t in tensors])
