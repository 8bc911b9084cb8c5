"""An agent whose memory is cleared after every episode: the control for one that learns within a trial."""

from typing import Any

from torch import Tensor

from agents.core.rollout import Rollout


class MemoryAblation:
    """Plays as `agent` does, which has `forget(state, lanes)`, in the first episode of every trial.

    A `InContextAgent` itself. If the return of the agent rises over episodes and that of this one does not, the rise is
    what was remembered.
    """

    def __init__(self, agent: Any) -> None:
        self.agent, self.trial_episodes = agent, agent.trial_episodes
        self.begin, self.act, self.to_environment = agent.begin, agent.act, agent.to_environment

    def observe(self, state: Any, action: Tensor, reward: Tensor, ended: Tensor, observation: Tensor) -> Any:
        """As the agent does; where an episode ended, all is forgotten."""
        return self.agent.forget(self.agent.observe(state, action, reward, ended, observation), ended)

    def adapt(self, state: Any, rollout: Rollout) -> Any:
        """As the agent does."""
        return self.agent.adapt(state, rollout)
