"""Bayes-optimal policy of the Bernoulli bandit: the largest expected return when the arms are unknown.

The policy is found by dynamic programming over posteriors under a uniform prior, which is the distribution of the tasks
(see `agents.references.shared.bernoulli`). Use `gittins` where there are too many posteriors.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.references.shared.bandit import BanditPolicy, Counts, posterior_mean
from agents.references.shared.bernoulli import MAX_BELIEFS, MAX_PULLS, n_beliefs, optimum, rank
from agents.references.shared.trial import TrialConfig
from qrl.common.errors import UsageError

FAMILIES = ("bandit",)


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of the Bayes-optimal policy."""


class Bayes(BanditPolicy):
    """Bayes-optimal policy of the Bernoulli bandit."""

    def __init__(self, config: TrialConfig, context: BuildContext) -> None:
        super().__init__(config, context)
        k, n = self.n_arms, self.n_pulls
        if (number := n_beliefs(k, n)) > MAX_BELIEFS:
            other = "gittins" if n <= MAX_PULLS else "thompson, ucb1 or greedy"
            raise UsageError(
                f"agent bayes: {k} arms and {n} pulls have {number:.1e} posteriors, more than the maximum of "
                f"{MAX_BELIEFS:.0e}; use agent {other}"
            )
        self.optimum = optimum(k, n)

    @property
    def expected_returns(self) -> list[float]:
        """Expected return of each episode of a trial, over all tasks."""
        by_pull, horizon = self.optimum.by_pull, self.n_pulls // self.trial_episodes
        return [sum(by_pull[first : first + horizon]) for first in range(0, self.n_pulls, horizon)]

    def index(self, counts: Counts, generator: torch.Generator) -> Tensor:
        """Return 1 for an optimal arm and 0 for the others; after the end of the trial, each arm's posterior mean."""
        flat = counts.flatten(0, 1).flatten(1).long().cpu().numpy()
        index = posterior_mean(counts).flatten(0, 1).cpu().numpy().copy()
        pulls = flat.sum(1)
        for t in set(pulls.tolist()):
            if t < self.n_pulls:
                lanes = pulls == t
                index[lanes] = self.optimum.best[t][rank(flat[lanes])]
        return torch.from_numpy(index).to(counts).unflatten(0, counts.shape[:2])


def build(config: Config, context: BuildContext) -> Bayes:
    """Return the policy."""
    return Bayes(config, context)
