"""Network of a classifier, one epoch of training, and held-out samples."""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from qrl.common.errors import TrainingError, UsageError
from qrl.layer import QuantumLayer
from qrl.policies.actor import PolicyConfig
from qrl.policies.features import learning_rate_groups, make_readout


class ClassifierNetwork(nn.Module):
    """Linear read-out of a circuit: [sample, input] -> [sample, class], log-probabilities up to a constant."""

    def __init__(self, features: QuantumLayer, n_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.features = features
        self.readout = make_readout(features.n_features, n_classes, PolicyConfig(), generator)

    @property
    def groups(self) -> dict[str, str]:
        """Learning-rate group of each parameter."""
        return learning_rate_groups(self, self.features)

    def forward(self, inputs: Float[Tensor, "sample input"]) -> Float[Tensor, "sample class"]:
        return self.readout(self.features(inputs))


def train_epoch(
    optimiser: torch.optim.Optimizer,
    loss: Callable[[Tensor], Tensor],
    rows: Int[Tensor, " sample"],
    batch_size: int,
    generator: torch.Generator,
) -> float:
    """Train for one pass over the rows in random order; return the mean minibatch loss.

    Raises TrainingError if the loss is not finite.
    """
    total = 0.0
    for batch in rows[torch.randperm(len(rows), generator=generator)].split(int(batch_size)):
        value = loss(batch)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        total += value.item() * len(batch)
    if not math.isfinite(total):
        raise TrainingError(f"classifier: the loss is {total}; are the inputs standardised, the learning rates small?")
    return total / len(rows)


def stratified_part(
    numbers: Int[np.ndarray, " sample"], fraction: float, generator: np.random.Generator
) -> Bool[np.ndarray, " sample"]:
    """Select samples to hold out: this fraction of each class, rounded, at least one sample and at most all but one.

    Raises UsageError if no class has two samples.
    """
    part = np.zeros(len(numbers), dtype=bool)
    for number in np.unique(numbers):
        own = generator.permutation(np.flatnonzero(numbers == number))
        part[own[: min(max(1, round(fraction * len(own))), len(own) - 1)]] = True
    if not part.any():
        raise UsageError("classifier: no class has two samples, one to hold out; use early_stopping=False")
    return part
