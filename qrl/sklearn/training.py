"""Network of a classifier, one epoch of training, and held-out samples."""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from qrl.common.divergence import diverging
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
    for batch in rows[torch.randperm(len(rows), generator=generator)].split(min(int(batch_size), max(1, len(rows)))):
        value = loss(batch)
        optimiser.zero_grad()
        value.backward()
        with diverging("classifier: an update"):
            optimiser.step()
        total += value.item() * len(batch)
    if not math.isfinite(total):
        raise TrainingError(f"classifier: the loss is {total}; standardise the inputs or lower the learning rates")
    return total / len(rows)


def stratified_holdout(
    classes: Int[np.ndarray, " sample"], fraction: float, generator: np.random.Generator
) -> Bool[np.ndarray, " sample"]:
    """Select samples to hold out: this fraction of each class, rounded, at least one sample and at most all but one.

    Raises UsageError if no class has two samples.
    """
    held_out = np.zeros(len(classes), dtype=bool)
    for each in np.unique(classes):
        members = generator.permutation(np.flatnonzero(classes == each))
        held_out[members[: min(max(1, round(fraction * len(members))), len(members) - 1)]] = True
    if not held_out.any():
        raise UsageError("classifier: no class has two samples, so none can be held out; use early_stopping=False")
    return held_out
