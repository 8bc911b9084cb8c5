"""GP-UCB search: Gaussian prior over improvements from the training tasks, conditioned on evaluated candidates.

    g ~ N(m, C)     m and C: mean and covariance of the improvements over the training tasks
    a = argmax  E[g_a | tried] + kappa * sd[g_a | tried]

The covariance carries information between candidates that improve on the same tasks (Srinivas et al. 2010, GP-UCB; in
algorithm selection Fusi et al. 2018). The covariance is shrunk towards its diagonal, because there are few tasks.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared import search
from agents.references.shared.search import Observation, SearchConfig, SearchPolicy

FAMILIES = search.FAMILIES


@dataclass(frozen=True)
class Config(SearchConfig):
    """Options of UCB with a Gaussian prior."""

    kappa: float = 1.0
    """Exploration weight kappa of the upper confidence bound [standard deviations]."""
    shrinkage: float = 0.1
    """Shrinkage of the covariance towards its diagonal, from 0 (none) to 1 (diagonal)."""
    noise: float = 0.01
    """Standard deviation of a score over draws of the cross-validation folds [improvement]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("kappa", "noise"), lambda value: 0 <= value < math.inf, "finite and not negative")
        self.require(("shrinkage",), lambda value: 0 <= value <= 1, "in [0, 1]")


class GaussianUCB(SearchPolicy):
    """Search policy that maximises the upper confidence bound of the improvement."""

    def __init__(self, config: Config, context: BuildContext) -> None:
        super().__init__(config, context)
        gains = torch.from_numpy(self.train_improvement).to(self.device)
        self._mean, covariance = gains.mean(0), gains.mT.cov()
        diagonal = covariance.diag().diag()
        self._covariance = covariance + config.shrinkage * (diagonal - covariance)
        self._kappa, self._noise = config.kappa, max(config.noise, 1e-6)

    def acquisition(self, observed: Observation, generator: torch.Generator) -> Tensor:
        """Return the upper confidence bound of each candidate's improvement."""
        tried, gains = observed.tried.flatten(0, -2), observed.gains.flatten(0, -2)
        # An untried candidate enters as a unit-variance observation uncorrelated with all others, so it has no effect.
        both = tried.unsqueeze(-1) * tried.unsqueeze(-2)
        readings = self._covariance * both + torch.diag_embed(torch.where(tried > 0, self._noise**2, 1.0))
        known = self._covariance * tried.unsqueeze(-2)
        weights = torch.linalg.solve(readings, known.mT).mT
        mean = self._mean + (weights @ (tried * (gains - self._mean)).unsqueeze(-1)).squeeze(-1)
        variance = self._covariance.diag() - (weights * known).sum(-1)
        return (mean + self._kappa * variance.clamp_min(0).sqrt()).unflatten(0, observed.tried.shape[:-1])


def build(config: Config, context: BuildContext) -> GaussianUCB:
    """Return the policy."""
    return GaussianUCB(config, context)
