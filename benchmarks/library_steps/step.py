"""Steps: a forward pass and its gradient, by any library, for circuits of RY, RZ and CZ with Z on every wire."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from qrl.circuits.angles import Input, Weight
from qrl.circuits.gates import Gate
from qrl.layer import QuantumLayer

Results = Sequence[ArrayLike]
"""Outputs [batch, observable], gradient by the weights, gradient by the scales."""
Step = Callable[[], Results]
Prepare = Callable[[QuantumLayer, Tensor], Step]
"""`prepare(layer, inputs)`: the step of a library, with the parameters of the layer."""


def torch_step(forward: Callable[[Tensor], Tensor], parameters: QuantumLayer, inputs: Tensor) -> Step:
    """Return the step of a forward pass in torch."""

    def step() -> Results:
        outputs = forward(inputs)
        gradients = torch.autograd.grad(outputs.square().mean(), (parameters.weights, parameters.scales))
        return outputs.detach(), *gradients

    return step


def angle(gate: Gate, inputs: Any, weights: Any, scales: Any) -> Any:
    """Return the angle of a rotation, a tensor of any library: a scalar, or [batch] for a batch of inputs."""
    match gate.angle:
        case Weight(index):
            return weights[index]
        case Input(feature, int(scale)):
            return scales[scale] * inputs[..., feature]
        case _:
            raise NotImplementedError(f"angle {gate.angle}")
