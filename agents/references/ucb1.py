"""UCB1 for the Bernoulli bandit: the arm with the largest upper confidence bound of its mean.

Auer, Cesa-Bianchi and Fischer 2002: the largest m + c sqrt(2 log t / n), with the arm's mean reward m and its pulls n,
of t in all; c = 1 there, Duan et al. 2016 take the best one. Every arm begins with one pull that paid and one that did
not, the uniform prior of the other players; else the first pulls would be one of each arm, whatever they pay.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared.bandit import BanditPolicy, Counts, posterior_mean
from agents.references.shared.trial import TrialConfig
from qrl.common.errors import UsageError

FAMILIES = ("bandit",)


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of UCB1."""

    width: float = 0.2
    """c, the bound's width (ours, best of 0.05 to 1 on train tasks of 5 arms and 100 pulls; of 10 pulls 0.1 is)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.width < math.inf:
            raise UsageError(f"agent ucb1: width must be finite and not negative, not {self.width}")


class UCB1(BanditPolicy):
    """Upper confidence bounds of the means."""

    config: Config

    def index(self, counts: Counts, generator: torch.Generator) -> Tensor:
        """The bound."""
        pulls = 2 + counts.sum(-1)
        log_all: Tensor = pulls.sum(-1, keepdim=True).log()
        return posterior_mean(counts) + self.config.width * (2 * log_all / pulls).sqrt()


def build(config: Config, context: BuildContext) -> UCB1:
    """Return the policy."""
    return UCB1(config, context)
