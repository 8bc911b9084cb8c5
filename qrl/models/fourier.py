"""Trainable Fourier features, the classical counterpart of a re-uploading circuit; sized by a parameter budget.

A re-uploading circuit is a Fourier series whose frequencies are sums of its trainable input scales (Schuld, Sweke and
Meyer 2021). This model has the frequencies and phases themselves as parameters: phi_i(x) = cos(omega_i . x + b_i), as
in the random features of Rahimi and Recht 2007, but trained.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from qrl.common.checks import check_count
from qrl.common.errors import UsageError
from qrl.common.options import tunable
from qrl.policies.budget import Budget, canonical_budget, n_parameters_of
from qrl.policies.frame import MAX_BUDGET, Frame, check_size
from qrl.policies.task_axes import for_batch

LISTED_UNDER = "classical controls"


@dataclass(frozen=True)
class Config:
    """Options of the features."""

    budget: Budget = 100
    """Target size of the whole policy, if `n_features` is 0 [parameters], or like:NAME: that of the policy with this
    model, such as like:reuploading."""
    n_features: int = 0
    """Number of sinusoids [features]; 0: the number closest to the budget; ours."""
    bandwidth: float = field(default=1.0, metadata=tunable(0.1, 10, log=True))
    """Standard deviation of the initial frequencies [rad per unit of normalised input]; 1: ours."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "budget", canonical_budget(self.budget))  # frozen
        check_count("model fourier: n_features", self.n_features, least=0, most=MAX_BUDGET)
        if not 0 < self.bandwidth < math.inf:
            raise UsageError(f"model fourier: bandwidth must be positive and finite, not {self.bandwidth}")


class FourierFeatures(nn.Module):
    """Trainable Fourier features: [*tasks, batch, n_inputs] -> [*tasks, batch, n_features], each in [-1, 1]."""

    broadcasts: ClassVar[bool] = True
    groups: ClassVar[dict[str, str]] = {"frequencies": "scales", "phases": "angles"}

    def __init__(self, n_inputs: int, n_features: int, bandwidth: float, generator: Generator) -> None:
        super().__init__()
        check_size((n_inputs + 1) * n_features)
        self.n_features = n_features
        self.frequencies = nn.Parameter(bandwidth * torch.randn(n_features, n_inputs, generator=generator))
        self.phases = nn.Parameter(2 * math.pi * torch.rand(n_features, generator=generator))

    def bind(self) -> tuple[Tensor, Tensor]:
        """Return the frequencies and phases."""
        return self.frequencies, self.phases

    def run(
        self, bound: tuple[Tensor, Tensor], inputs: Float[Tensor, "*tasks batch input"]
    ) -> Float[Tensor, "*tasks batch feature"]:
        """Return the features for bound parameters."""
        frequencies, phases = bound
        return torch.cos(inputs @ frequencies.mT + for_batch(phases))

    def forward(self, inputs: Float[Tensor, "batch input"]) -> Float[Tensor, "batch feature"]:
        return self.run(self.bind(), inputs)


def build(config: Config, frame: Frame, generator: Generator) -> FourierFeatures:
    """Build the model; its features are sinusoids of the inputs."""
    n_features = config.n_features or frame.fit(
        n_parameters_of(config.budget, frame), lambda n: (n, n * (frame.n_inputs + 1))
    )
    return FourierFeatures(frame.n_inputs, n_features, config.bandwidth, generator)
