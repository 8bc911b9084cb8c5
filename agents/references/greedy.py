"""Greedy policy for the Bernoulli bandit: pull the arm with the largest posterior mean; no exploration."""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared.bandit import BanditPolicy, Counts, posterior_mean
from agents.references.shared.trial import TrialConfig

FAMILIES = ("bandit",)


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of the greedy policy."""


class Greedy(BanditPolicy):
    """Greedy policy: pull the arm with the largest posterior mean."""

    def index(self, counts: Counts, generator: torch.Generator) -> Tensor:
        """Return each arm's posterior mean under a uniform prior."""
        return posterior_mean(counts)


def build(config: Config, context: BuildContext) -> Greedy:
    """Return the policy."""
    return Greedy(config, context)
