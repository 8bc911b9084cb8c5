"""Memory ablation of an in-context agent: clear the memory after every episode."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor

from agents.core.agent import InContextAgent, State
from agents.core.rollout import Rollout


@runtime_checkable
class ResettableAgent(InContextAgent[State], Protocol[State]):
    """In-context agent whose memory can be cleared lane by lane."""

    def reset_memory(self, state: State, lanes: Bool[Tensor, "task env"]) -> State:
        """Return the state with these lanes reset to the beginning of a trial."""


class MemoryAblation:
    """Memory ablation: acts in every episode as `agent` does in the first episode of a trial.

    If the agent's return rises over the episodes of a trial and the ablation's return does not, the memory causes the
    rise.
    """

    def __init__(self, agent: ResettableAgent[object]) -> None:
        self.agent, self.trial_episodes = agent, agent.trial_episodes

    def begin(self, n_tasks: int, n_envs: int) -> object:
        """Return the agent's initial state."""
        return self.agent.begin(n_tasks, n_envs)

    def act(self, state: object, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, object]:
        """Act as the agent does."""
        return self.agent.act(state, observation, generator)

    def to_environment(self, action: Tensor) -> Tensor:
        """Convert the agent's actions to the environment's units."""
        return self.agent.to_environment(action)

    def observe(self, state: object, action: Tensor, reward: Tensor, ended: Tensor, observation: Tensor) -> object:
        """Observe as the agent does; clear the memory where an episode ended."""
        return self.agent.reset_memory(self.agent.observe(state, action, reward, ended, observation), ended)

    def adapt(self, state: object, rollout: Rollout) -> object:
        """Adapt as the agent does."""
        return self.agent.adapt(state, rollout)
