"""Wrapper of a third-party environment on one task, with the observations, actions and time limit of its family."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np

from envs.wrapped import results
from envs.wrapped.actions import action_map
from envs.wrapped.factories import EnvFactory, Task
from envs.wrapped.masks import invalid_actions, with_flags
from envs.wrapped.observations import flattened, vector
from qrl.common.errors import UsageError

Action = np.ndarray | np.integer | int
AnyAction = TypeVar("AnyAction", np.ndarray, Action)


_FLOAT32 = np.dtype(np.float32)


class TaskWrapper(gym.Wrapper[np.ndarray, Action, Any, Any]):
    """Environment on one task: observations as float32 vectors, actions in the family's space, a time limit.

    Actions are clipped to their bounds, then converted (`envs.wrapped.actions`). If the environment says which actions
    can be taken now, a flag for each invalid action follows the observation.
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
        self._shape = (
            self._space.shape if isinstance(self._space, gym.spaces.Box) and len(self._space.shape) == 1 else None
        )
        actions = action_map(self.env.action_space)
        self.action_space, self._converted = actions.space, actions.to_environment
        self.observation_space = flattened(self._space)
        if factory.masked:
            self.observation_space = with_flags(self.observation_space, self.action_space)
        self.elapsed = 0

    def set_task(self, task: Task) -> None:
        """Change the task from the next reset on. Raise UsageError if a space changes."""
        if _equal(task, self.task):
            return
        observations, actions = self.env.observation_space, self.env.action_space
        self.env, self.task = self._factory.set_task(self.env, task), dict(task)
        changed = [(actions, self.env.action_space)] if actions != self.env.action_space else []
        if (
            flattened(observations).shape != flattened(self.env.observation_space).shape
        ):  # bounds may depend on the task
            changed.append((observations, self.env.observation_space))
        if changed:
            before, after = changed[0]
            raise UsageError(
                f"the spaces of the environment change on the task {format_task(task)}, from {_line(before)} to "
                f"{_line(after)}; all tasks of a family must have the same spaces: fill up the smaller ones"
            )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode. Raise Fault if the environment returns something else than an observation and a dict."""
        options = dict(options or {})
        if (task := options.pop("task", None)) is not None:
            self.set_task(self._complete(task))
        self.elapsed = 0
        observation, info = results.reset(self.env, seed, options or None)
        return self._vector(observation, info), dict(info)

    def step(self, action: Action) -> tuple[np.ndarray, float, bool, bool, Any]:
        """Make one step."""
        return self.step_within_bounds(clipped(action, self.action_space))

    def step_within_bounds(self, action: Action) -> tuple[np.ndarray, float, bool, bool, Any]:
        """Make one step with an action that is already within its bounds. Raise Fault for invalid results."""
        if self._converted is not None:
            action = self._converted(action)
        observation, reward, terminated, truncated, info = results.step(self.env, action)
        seen = self._vector(observation, info)
        self.elapsed += 1
        return seen, reward, terminated, truncated or self.elapsed >= self._horizon, info

    def render(self) -> Any:
        """Draw the environment. Raise UsageError if it has no method `render`."""
        if results.lacks(self.env, "render"):
            raise UsageError(f"{type(self.unwrapped).__name__} has no method render, which pictures need")
        return self.env.render()

    def _vector(self, observation: Any, info: Mapping[str, Any]) -> np.ndarray:
        if type(observation) is np.ndarray and observation.dtype is _FLOAT32 and observation.shape == self._shape:
            seen = observation  # the usual case, in a fifth of the time
        else:
            seen = vector(self._space, observation)
        if not self._factory.masked:
            return seen
        return np.append(seen, invalid_actions(self.env, observation, info))


def clipped(action: AnyAction, space: gym.Space[Any]) -> AnyAction:
    """Clip one action, or a row of them, to the bounds of a Box, in its dtype."""
    return np.clip(action, space.low, space.high, dtype=space.dtype) if isinstance(space, gym.spaces.Box) else action


def _line(space: gym.Space[Any]) -> str:
    return " ".join(str(space).split())


def _equal(one: Task, other: Task) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(value, other[name]) for name, value in one.items())


def format_task(task: Task) -> str:
    """Format a task for a message."""
    return ", ".join(f"{name}={_rounded(value)}" for name, value in task.items())


def _rounded(value: object) -> object:
    """Round the numbers of a parameter's value; a word or a boolean stays as it is."""
    array = np.asarray(value)
    return np.round(array, 6).tolist() if array.dtype.kind in "iuf" else value
