"""Policies of the Bernoulli bandit that count outcomes and choose an arm by an index of the counts."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.references.shared.trial import TrialConfig, known_family
from envs.bandit import Bandit

Counts = Float[Tensor, "task env arm outcome"]
"""Of each arm, how often it paid (outcome 0) and how often it did not (1)."""


class BanditPolicy(ABC):
    """Adapts by counting; see `agents.core.agent.InContextAgent`. The state is `Counts`.

    Raises UsageError for another family than the bandit.
    """

    def __init__(self, config: TrialConfig, context: BuildContext) -> None:
        family = known_family(type(self).__module__.rpartition(".")[2], context, Bandit)
        self.config, self.device, self.n_arms = config, context.device, family.n_arms
        self.trial_episodes = config.episodes
        self.n_pulls = config.episodes * context.horizon
        """Of a trial."""

    def begin(self, n_tasks: int, n_envs: int) -> Counts:
        """Return counts of zero."""
        return torch.zeros(n_tasks, n_envs, self.n_arms, 2, dtype=torch.float64, device=self.device)

    @abstractmethod
    def index(self, counts: Counts, generator: torch.Generator) -> Float[Tensor, "task env arm"]:
        """Return the index of each arm; the arm with the largest is pulled."""

    def act(
        self, state: Counts, observation: Tensor, generator: torch.Generator
    ) -> tuple[Int[Tensor, "task env"], Counts]:
        """Return the arm with the largest index; ties are broken at random."""
        index = self.index(state, generator)
        chance = torch.rand(index.shape, generator=generator, device=index.device, dtype=index.dtype)
        # Worths are equal where counts are: computed alike, to the last bit.
        return torch.where(index == index.amax(-1, keepdim=True), chance, -1.0).argmax(-1), state

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
        """Return the state unchanged: everything was observed."""
        return state


def posterior_mean(counts: Counts) -> Float[Tensor, "task env arm"]:
    """(1 + paid) / (2 + pulls), under a uniform prior."""
    return (1 + counts[..., 0]) / (2 + counts.sum(-1))
