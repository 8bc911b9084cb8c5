"""Wrapper of a third-party environment on one task, with the observations, actions and time limit of its family."""

from collections.abc import Callable
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np

from envs.wrapped.factories import EnvFactory, Task
from qrl.common.errors import UsageError

Action = np.ndarray | np.integer | int
AnyAction = TypeVar("AnyAction", np.ndarray, Action)


class TaskWrapper(gym.Wrapper[np.ndarray, Action, Any, Any]):
    """Environment on one task: observations as float32 vectors, actions clipped to their bounds, a time limit.

    The method `reset` takes the option `task`, a mapping, which holds from then on.

    Args:
        factory: factory of the environments.
        task: the first task.
        horizon: longest episode [steps].
        render_mode: one of Gymnasium's render modes.
        complete: function that returns the complete task for a mapping given to `reset`.
    """

    def __init__(
        self,
        factory: EnvFactory,
        task: Task,
        horizon: int,
        render_mode: str | None = None,
        complete: Callable[[Task], Task] = dict,
    ) -> None:
        self._factory, self.task, self._horizon, self._complete = factory, dict(task), horizon, complete
        super().__init__(factory.make(task, render_mode))
        self._space = self.env.observation_space
        self._flat = isinstance(self._space, gym.spaces.Box) and len(self._space.shape) == 1
        self.observation_space = flattened(self._space)
        self.elapsed = 0

    def set_task(self, task: Task) -> None:
        """Change the task from the next reset on. Raise UsageError if a space changes."""
        if _equal(task, self.task):
            return
        observations, actions = self.env.observation_space, self.env.action_space
        self.env, self.task = self._factory.set_task(self.env, task), dict(task)
        # Bounds of observations may depend on the task.
        if (
            flattened(observations).shape != flattened(self.env.observation_space).shape
            or actions != self.env.action_space
        ):
            raise UsageError(
                f"the spaces of the environment change on the task {format_task(task)}; all tasks of a family must "
                "have the same spaces"
            )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode."""
        options = dict(options or {})
        if (task := options.pop("task", None)) is not None:
            self.set_task(self._complete(task))
        self.elapsed = 0
        observation, info = self.env.reset(seed=seed, options=options or None)
        return self._vector(observation), info

    def step(self, action: Action) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Make one step."""
        return self.step_within_bounds(clipped(action, self.env.action_space))

    def step_within_bounds(self, action: Action) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Make one step with an action that is already within its bounds."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.elapsed += 1
        limit = self.elapsed >= self._horizon
        return self._vector(observation), float(reward), bool(terminated), bool(truncated) or limit, info

    def _vector(self, observation: object) -> np.ndarray:
        flat = observation if self._flat else gym.spaces.flatten(self._space, observation)
        return np.asarray(flat, dtype=np.float32)


def clipped(action: AnyAction, space: gym.Space[Any]) -> AnyAction:
    """Clip one action, or a row of them, to the bounds of a Box, in its dtype."""
    return np.clip(action, space.low, space.high, dtype=space.dtype) if isinstance(space, gym.spaces.Box) else action


def flattened(space: gym.Space[Any]) -> gym.spaces.Box:
    """Return the observation space flattened to vectors; one-hot for Discrete spaces."""
    flat = gym.spaces.flatten_space(space)
    assert isinstance(flat, gym.spaces.Box)
    low, high = (np.asarray(end, dtype=np.float32) for end in (flat.low, flat.high))
    return gym.spaces.Box(low, high, dtype=np.float32)


def _equal(one: Task, other: Task) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(value, other[name]) for name, value in one.items())


def format_task(task: Task) -> str:
    """Format a task for a message."""
    return ", ".join(f"{name}={np.round(value, 6).tolist()}" for name, value in task.items())
