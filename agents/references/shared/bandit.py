"""Index policies for the Bernoulli bandit: count successes and failures, then pull the arm with the largest index."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.references.shared.trial import TrialConfig, require_family
from envs.bandit import Bandit

Counts = Float[Tensor, "task env arm outcome"]
"""Number of successes (outcome 0) and failures (outcome 1) of each arm."""


class BanditPolicy(ABC):
    """Index policy, an `agents.core.agent.InContextAgent`. The state is `Counts`.

    Raises UsageError for any family other than the bandit.
    """

    def __init__(self, config: TrialConfig, context: BuildContext) -> None:
        family = require_family(type(self).__module__.rpartition(".")[2], context, Bandit)
        self.config, self.device, self.n_arms = config, context.device, family.n_arms
        self.trial_episodes = config.episodes
        self.n_pulls = config.episodes * context.horizon
        """Pulls in a trial."""

    def begin(self, n_tasks: int, n_envs: int) -> Counts:
        """Return counts of zero."""
        return torch.zeros(n_tasks, n_envs, self.n_arms, 2, dtype=torch.float64, device=self.device)

    @abstractmethod
    def index(self, counts: Counts, generator: torch.Generator) -> Float[Tensor, "task env arm"]:
        """Return the index of each arm; `act` pulls the arm with the largest index."""

    def act(
        self, state: Counts, observation: Tensor, generator: torch.Generator
    ) -> tuple[Int[Tensor, "task env"], Counts]:
        """Return the arm with the largest index; break ties at random."""
        index = self.index(state, generator)
        tie_breaker = torch.rand(index.shape, generator=generator, device=index.device, dtype=index.dtype)
        # Exact comparison is safe: equal counts give bitwise equal indices.
        return torch.where(index == index.amax(-1, keepdim=True), tie_breaker, -1.0).argmax(-1), state

    def to_environment(self, action: Tensor) -> Tensor:
        """Return the actions, which are already in the environment's units."""
        return action

    def observe(
        self, state: Counts, action: Tensor, reward: Tensor, ended: Bool[Tensor, "task env"], observation: Tensor
    ) -> Counts:
        """Add the observed outcome to the counts."""
        outcome = torch.stack([reward, 1 - reward], dim=-1).to(state.dtype)
        index = action[..., None, None].expand(*action.shape, 1, 2)
        return state.scatter_add(2, index, outcome[..., None, :])

    def adapt(self, state: Counts, rollout: Rollout) -> Counts:
        """Return the state unchanged: `observe` has already counted every outcome."""
        return state


def posterior_mean(counts: Counts) -> Float[Tensor, "task env arm"]:
    """Posterior mean of each arm under a uniform prior: (1 + successes) / (2 + pulls)."""
    return (1 + counts[..., 0]) / (2 + counts.sum(-1))
