"""Protocols of agents, as used by rollout collection, training and evaluation.

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
"""State that an agent carries from step to step."""

StateIn = TypeVar("StateIn", contravariant=True)


@runtime_checkable
class Agent(Protocol[State]):
    """Agent as rollout collection and evaluation use it. Its state is passed in and returned, never stored inside."""

    def begin(self, n_tasks: int, n_envs: int) -> State:
        """Return the state before any observation of the tasks."""

    def act(
        self, state: State, observation: Float[Tensor, "task env obs"], generator: torch.Generator
    ) -> tuple[Tensor, State]:
        """Return actions [task, env, ...] in the agent's units, and the next state."""

    def to_environment(self, action: Tensor) -> Tensor:
        """Convert the agent's actions to the environment's units."""

    def adapt(self, state: State, rollout: Rollout) -> State:
        """Return the state after adapting to the same tasks from a rollout."""


@runtime_checkable
class Learner(Agent[State], Protocol[State]):
    """Agent with an outer update, which training calls once per iteration."""

    n_tasks: int
    """Tasks per iteration."""
    n_envs: int
    """Environments per task that are stepped in parallel."""
    n_rollouts: int
    """Rollouts of each task per iteration; the agent adapts between two rollouts."""

    def update(self, rollouts: list[Rollout], states: list[State], progress_remaining: float) -> dict[str, float]:
        """Take the outer step and return its metrics. State `states[j]` collected `rollouts[j]`.

        `progress_remaining` falls linearly from 1 to 0 over training (Stable-Baselines3's word).
        """

    def state_dict(self) -> dict[str, Tensor]:
        """Return all tensors needed to resume training."""

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the tensors that `state_dict` returned. Raises UsageError for tensors of another model."""


@runtime_checkable
class ChecksTraining(Protocol):
    """Learner that training asks for more than evaluation does, such as second derivatives or a least length."""

    def check_training(self, iterations: int) -> None:
        """Raise UsageError if the learner cannot be trained for this many meta-iterations."""


@runtime_checkable
class InContextAgent(Agent[State], Protocol[State]):
    """Agent that adapts while it acts, in a state that persists over the episodes of a trial."""

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
        """Return the state after a transition; `observation` is the one that followed the action.

        `ended` marks the last transition of an episode; the next observation to act on is the first one of the next
        episode. The method is also called after the last step of a trial. Padding has a reward of 0.
        """


@runtime_checkable
class DeterministicInContextAgent(InContextAgent[State], Protocol[State]):
    """In-context agent with a most likely action."""

    def act_deterministically(self, state: State, observation: Float[Tensor, "task env obs"]) -> tuple[Tensor, State]:
        """Return the most likely actions [task, env, ...], and the next state."""


@runtime_checkable
class OracleAgent(Protocol[State]):
    """Agent that observes the task parameters; used as an upper bound."""

    def reveal_tasks(self, state: State, tasks: Tasks) -> State:
        """Return the state with the parameters of the tasks [task] revealed."""


@runtime_checkable
class OpenLoopAgent(Protocol[State]):
    """Agent whose actions depend on the step of the episode, not on observations."""

    def on_episode_start(self, state: State) -> State:
        """Return the state at the start of an episode in every lane."""


@runtime_checkable
class DeterministicAgent(Protocol[StateIn]):
    """Agent with a most likely action."""

    def mode(self, state: StateIn, observation: Float[Tensor, "task env obs"]) -> Tensor:
        """Return the most likely action of each lane [task, env, ...], in the agent's units."""


@runtime_checkable
class NetworkAgent(Protocol):
    """Agent with a policy network, whose parameters are trained."""

    policy: nn.Module


@runtime_checkable
class MemoryBoundAgent(Protocol):
    """Agent whose adaptation keeps a computation graph that may exceed the memory."""

    def check_memory(self, episodes: int) -> None:
        """Raise UsageError if adapting to one task from this many episodes is impossible or would exceed the memory."""


def missing_members(thing: object, protocol: type) -> list[str]:
    """Return the public names of a protocol that an object lacks."""
    names = [name for base in protocol.__mro__ for name in (*vars(base), *vars(base).get("__annotations__", ()))]
    return sorted({name for name in names if not name.startswith("_") and name not in dir(thing)})
