"""Finite-horizon Gittins index policy for the Bernoulli bandit: near-optimal for any number of arms.

Gittins 1979; for a finite number of pulls Niño-Mora 2011 (Computing a classic index for finite-horizon bandits). See
`agents.references.shared.bernoulli`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared.bandit import BanditPolicy, Counts, posterior_mean
from agents.references.shared.bernoulli import MAX_PULLS, indices
from agents.references.shared.trial import TrialConfig
from qrl.common.errors import UsageError

FAMILIES = ("bandit",)


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of the Gittins index policy."""


class Gittins(BanditPolicy):
    """Gittins index policy. Raises UsageError for trials of more than MAX_PULLS pulls."""

    def __init__(self, config: TrialConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        if self.n_pulls > MAX_PULLS:
            raise UsageError(
                f"agent gittins: indices are computed for trials of up to {MAX_PULLS} pulls, not {self.n_pulls}; "
                "use agent thompson, ucb1 or greedy"
            )
        self.indices = torch.from_numpy(indices(self.n_pulls)).to(self.device)

    def index(self, counts: Counts, generator: torch.Generator) -> Tensor:
        """Return each arm's index for the remaining pulls; after the end of the trial, its posterior mean."""
        remaining = (self.n_pulls - counts.long().sum((-1, -2))).clamp_min(0)[..., None]
        observed = counts.long().clamp_max(self.n_pulls)
        index = self.indices[remaining, observed[..., 0], observed[..., 1]]
        return torch.where(remaining > 0, index, posterior_mean(counts).to(index.dtype))


def build(config: Config, context: BuildContext) -> Gittins:
    """Return the policy."""
    return Gittins(config, context)
