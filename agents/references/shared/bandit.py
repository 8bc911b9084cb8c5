"""What players of the Bernoulli bandit share: they count, and choose an arm by the counts."""

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


class Player(ABC):
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
        """Nothing counted."""
        return torch.zeros(n_tasks, n_envs, self.n_arms, 2, dtype=torch.float64, device=self.device)

    @abstractmethod
    def worth(self, counts: Counts, generator: torch.Generator) -> Float[Tensor, "task env arm"]:
        """What each arm is worth; the one that is worth most is pulled."""

    def act(
        self, state: Counts, observation: Tensor, generator: torch.Generator
    ) -> tuple[Int[Tensor, "task env"], Counts]:
        """The arm that is worth most; one of them at random where several are worth the same."""
        worth = self.worth(state, generator)
        chance = torch.rand(worth.shape, generator=generator, device=worth.device, dtype=worth.dtype)
        # Worths are equal where counts are: computed alike, to the last bit.
        return torch.where(worth == worth.amax(-1, keepdim=True), chance, -1.0).argmax(-1), state

    def to_environment(self, action: Tensor) -> Tensor:
        """As they are."""
        return action

    def observe(
        self, state: Counts, action: Tensor, reward: Tensor, ended: Bool[Tensor, "task env"], observation: Tensor
    ) -> Counts:
        """One more of what came out."""
        outcome = torch.stack([reward, 1 - reward], dim=-1).to(state.dtype)
        index = action[..., None, None].expand(*action.shape, 1, 2)
        return state.scatter_add(2, index, outcome[..., None, :])

    def adapt(self, state: Counts, rollout: Rollout) -> Counts:
        """Nothing beyond what was received."""
        return state


def posterior_mean(counts: Counts) -> Float[Tensor, "task env arm"]:
    """(1 + paid) / (2 + pulls), under a uniform prior."""
    return (1 + counts[..., 0]) / (2 + counts.sum(-1))
