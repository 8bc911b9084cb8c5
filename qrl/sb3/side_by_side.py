"""Evaluation of the actor's and the critic's circuits in one call."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from qrl.common.autocast import in_own_precision
from qrl.common.autograd import is_traced
from qrl.layer import QuantumLayer
from qrl.simulator.program import Bound


@runtime_checkable
class ScaledFeatures(Protocol):
    """Protocol of a features extractor: features of observations divided by a scale."""

    @property
    def features(self) -> nn.Module:
        """Features of a model file."""

    @property
    def scale(self) -> Tensor:
        """Typical magnitudes of observations [obs]."""


def _layers(extractors: Sequence[ScaledFeatures]) -> list[QuantumLayer]:
    return [each.features for each in extractors if isinstance(each.features, QuantumLayer)]


class SideBySide:
    """Layers with the same circuit, run as one call of its executor.

    Maps [batch, ...], flattened to [batch, observation], to one [batch, feature] per layer. Without gradients, bound
    parameters are cached until a parameter changes, as in a rollout. Parameters are compared by value, because a target
    network is updated without autograd. Nothing is cached while torch traces, as it would be a constant of the trace.
    """

    def __init__(self, extractors: Sequence[ScaledFeatures]) -> None:
        self.extractors, self.layers = extractors, _layers(extractors)
        self._cached: list[Tensor] = []
        self._bound: Bound = {}

    @staticmethod
    def is_possible(extractors: Sequence[ScaledFeatures]) -> bool:
        """Return whether all extractors are layers with one circuit."""
        layers = _layers(extractors)
        return len(layers) == len(extractors) and all(layer.program is layers[0].program for layer in layers)

    def bind(self) -> Bound:
        """Bind the layers' parameters, with a leading axis for the layers."""
        layers = self.layers
        weights, scales = (torch.stack([getattr(layer, name) for layer in layers]) for name in ("weights", "scales"))
        bound = layers[0].program.bind(weights, scales)
        bound["scale"] = torch.stack([each.scale for each in self.extractors]).unsqueeze(1)
        projections = [layer.projection.weight for layer in layers if layer.projection is not None]
        return bound | ({"projection": torch.stack(projections)} if projections else {})

    def parameters(self) -> Iterator[Tensor]:
        """Yield the parameters of all layers."""
        for layer in self.layers:
            yield from layer.parameters()

    def _tensors(self) -> Iterator[Tensor]:
        """Yield the tensors that `bind` uses; `parameters()` is slow, and every step of a rollout needs them."""
        for each, layer in zip(self.extractors, self.layers, strict=True):
            yield from (each.scale, layer.weights, layer.scales)
            if layer.projection is not None:
                yield layer.projection.weight

    def _bind_cached(self) -> Bound:
        """Return the bound parameters, from the cache if no parameter has changed."""
        tensors = list(self._tensors())
        if len(tensors) != len(self._cached) or not all(map(torch.equal, tensors, self._cached)):
            self._cached, self._bound = [tensor.detach().clone() for tensor in tensors], self.bind()
        return self._bound

    @in_own_precision
    def __call__(self, observations: Tensor) -> tuple[Tensor, ...]:
        bound = self.bind() if torch.is_grad_enabled() or is_traced() else self._bind_cached()
        inputs = observations.flatten(1) / bound["scale"]
        inputs = inputs @ bound["projection"].mT if "projection" in bound else inputs
        return self.layers[0].program.run(bound, inputs).unbind()
