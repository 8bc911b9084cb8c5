"""UCB1 for the Bernoulli bandit: pull the arm with the largest upper confidence bound on its mean.

Auer, Cesa-Bianchi and Fischer 2002: maximise m + c sqrt(2 log t / n) over arms, where m is the arm's mean reward, n its
number of pulls, and t the total number of pulls. The paper sets c = 1; Duan et al. 2016 tune c. Every arm starts with
one success and one failure, the uniform prior of the other bandit policies. Without this prior, UCB1 would first pull
each arm once, whatever the rewards.
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
    """Width c of the confidence bound (ours: the best of 0.05 to 1 on train tasks with 5 arms and 100 pulls; with 10
    pulls, 0.1 is the best)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.width < math.inf:
            raise UsageError(f"agent ucb1: width must be finite and not negative, not {self.width}")


class UCB1(BanditPolicy):
    """UCB1 policy."""

    config: Config

    def index(self, counts: Counts, generator: torch.Generator) -> Tensor:
        """Return the upper confidence bound on each arm's mean."""
        pulls = 2 + counts.sum(-1)
        log_all: Tensor = pulls.sum(-1, keepdim=True).log()
        return posterior_mean(counts) + self.config.width * (2 * log_all / pulls).sqrt()


def build(config: Config, context: BuildContext) -> UCB1:
    """Return the policy."""
    return UCB1(config, context)
