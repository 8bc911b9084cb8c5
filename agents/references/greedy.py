"""Greedy play of the Bernoulli bandit: the arm with the largest posterior mean, whatever there is yet to find out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared.bandit import Counts, Player, posterior_mean
from agents.references.shared.trial import TrialConfig

FAMILIES = ("bandit",)


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of greedy play."""


class Greedy(Player):
    """The player."""

    def worth(self, counts: Counts, generator: torch.Generator) -> Tensor:
        """The posterior mean under a uniform prior."""
        return posterior_mean(counts)


def build(config: Config, context: BuildContext) -> Greedy:
    """The player."""
    return Greedy(config, context)
