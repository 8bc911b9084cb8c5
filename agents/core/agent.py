"""What an agent is: the protocols that collecting, training and evaluating are written against.

`begin`, `act`, `adapt` and `observe` are pure functions of a state that is passed in and returned.
"""

from collections.abc import Mapping
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from agents.core.rollout import Rollout
from envs.core.tasks import Tasks

State = TypeVar("State")
"""What an agent carries from step to step."""

StateIn = TypeVar("StateIn", contravariant=True)


@runtime_checkable
class Agent(Protocol[State]):
    """All that collecting and evaluating need of an agent. A state is a value: passed in, returned, never kept."""

    def begin(self, n_tasks: int, n_envs: int) -> State:
        """Return the state before anything of the tasks was observed."""

    def act(
        self, state: State, observation: Float[Tensor, "task env obs"], generator: torch.Generator
    ) -> tuple[Tensor, State]:
        """Return actions [task, env, ...] in the agent's units, and the next state."""

    def to_environment(self, action: Tensor) -> Tensor:
        """Convert the agent's actions to the environment's units."""

    def adapt(self, state: State, rollout: Rollout) -> State:
        """Return the state after learning from a rollout of the same tasks."""


@runtime_checkable
class Learner(Agent[State], Protocol[State]):
    """An agent with an outer step, which training calls once per iteration."""

    n_tasks: int
    """Tasks per iteration."""
    n_envs: int
    """Environments per task that are stepped side by side."""
    n_rollouts: int
    """Rollouts of each task per iteration; between two of them the agent adapts."""

    def update(self, rollouts: list[Rollout], states: list[State], progress_remaining: float) -> dict[str, float]:
        """Take the outer step and return its metrics. `states[j]` collected `rollouts[j]`.

        `progress_remaining` falls linearly from 1 to 0 over training (Stable-Baselines3's word).
        """

    def state_dict(self) -> dict[str, Tensor]:
        """Return every tensor that training resumes from."""

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned. Raises UsageError for tensors of another model."""


@runtime_checkable
class InContextAgent(Agent[State], Protocol[State]):
    """An agent that learns while it acts, in a state that lasts over the episodes of a trial."""

    trial_episodes: int
    """Episodes of a trial."""

    def observe(
        self,
        state: State,
        action: Tensor,
        reward: Float[Tensor, "task env"],
        ended: Bool[Tensor, "task env"],
        observation: Float[Tensor, "task env obs"],
    ) -> State:
        """Return the state after a transition, the observation that followed included.

        `ended`: the transition was the last of an episode, and the next observation to act on is the first of another.
        Also called after the last step of a trial; rows of padding have a reward of 0.
        """


@runtime_checkable
class DeterministicInContextAgent(InContextAgent[State], Protocol[State]):
    """An in-context agent that has a most likely action."""

    def act_deterministically(self, state: State, observation: Float[Tensor, "task env obs"]) -> tuple[Tensor, State]:
        """Return the most likely actions [task, env, ...], and the next state."""


@runtime_checkable
class OracleAgent(Protocol[State]):
    """An agent that observes the task parameters: an upper bound, not a competitor."""

    def reveal_tasks(self, state: State, tasks: Tasks) -> State:
        """Return the state that knows the tasks [task]."""


@runtime_checkable
class OpenLoopAgent(Protocol[State]):
    """An agent that acts by the step of the episode, whatever it observes."""

    def on_episode_start(self, state: State) -> State:
        """Return the state at the start of an episode of every lane."""


@runtime_checkable
class DeterministicAgent(Protocol[StateIn]):
    """An agent that has a most likely action."""

    def mode(self, state: StateIn, observation: Float[Tensor, "task env obs"]) -> Tensor:
        """Return the most likely action of each lane [task, env, ...], in the agent's units."""


@runtime_checkable
class NetworkAgent(Protocol):
    """An agent with a policy network. Its parameters are those that training moves."""

    policy: nn.Module


@runtime_checkable
class MemoryBoundAgent(Protocol):
    """An agent whose adaptation keeps a graph that may not fit into memory."""

    def check_memory(self, episodes: int) -> None:
        """Raise UsageError if adapting to one task from this many episodes cannot fit."""


def missing_members(thing: object, protocol: type) -> list[str]:
    """Return the public names of a protocol that an object lacks."""
    names = [name for base in protocol.__mro__ for name in (*vars(base), *vars(base).get("__annotations__", ()))]
    return sorted({name for name in names if not name.startswith("_") and name not in dir(thing)})
