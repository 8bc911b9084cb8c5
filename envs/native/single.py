"""Ordinary Gymnasium environment that runs one lane of a family with dynamics in torch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, cast

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvCreator, EnvSpec

from envs.core.task_vector import check_env_seed, check_options
from envs.core.tasks import Tasks
from envs.native.protocol import NativeFamily
from envs.native.vector import TorchVectorEnv

RENDER_FPS = 30
"""Frames per second of an animation of an episode."""


class StatesHorizon:
    """Mixin of an environment whose specification states the longest episode, which the family itself truncates.

    Gymnasium sets an environment's specification without it, and adds its own time limit only for a registered one.
    """

    distribution: NativeFamily
    _spec: EnvSpec | None
    _horizon_is_option: ClassVar[bool] = False
    """Whether `max_episode_steps` is an option of the entry point too, as it is for vector environments."""

    @property
    def spec(self) -> EnvSpec | None:
        """Gymnasium's specification; its `max_episode_steps` is the family's horizon."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None and spec.max_episode_steps is None:
            horizon = self.distribution.horizon
            options = {"max_episode_steps": horizon} if self._horizon_is_option else {}
            spec = replace(spec, max_episode_steps=horizon, kwargs=spec.kwargs | options)
        self._spec = spec


class SingleEnv(StatesHorizon, gym.Env[np.ndarray, object]):  # type: ignore[misc]  # spec is an attribute there
    """Environment of a family on one task, for other libraries: NumPy observations, Python numbers.

    The environment is one lane of `TorchVectorEnv`, so that the dynamics are the same code. Random numbers come from
    `np_random`, as Gymnasium requires.

    Args:
        distribution: the family.
        task: a mapping of some parameters (the others are nominal), Tasks of length 1, or None for the nominal task.
        render_mode: "rgb_array" where the family has pictures, or None.

    Raises:
        UsageError: an unknown parameter, a value that is not a finite number, more than one task, or a render mode
            that the family does not have.
    """

    def __init__(
        self,
        distribution: NativeFamily,
        task: Mapping[str, object] | Tasks | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.metadata = {"render_modes": list(distribution.render_modes), "render_fps": RENDER_FPS}
        distribution.check_render_mode(render_mode)
        self.render_mode = render_mode
        self.distribution = distribution
        self.observation_space = distribution.observation_space
        self.action_space = distribution.action_space
        self.vector = TorchVectorEnv(distribution, 1, 1)
        self._next_tasks: Tasks | None = distribution.as_single_task({} if task is None else task)
        # A spec lets wrappers and checkers rebuild the environment.
        kwargs = {"task": self._next_tasks.rows()[0], "render_mode": render_mode}
        self.spec = EnvSpec(id=distribution.name, entry_point=cast(EnvCreator, distribution.make), kwargs=kwargs)

    @property
    def task(self) -> dict[str, Any]:
        """Parameters of the current task."""
        return (self._next_tasks or self.vector.tasks).rows()[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: reseeds `np_random`; None keeps its state.
            options: `{"task": {...}}` changes the task from here on; parameters left out are nominal.

        Raises:
            UsageError: an unknown option or an invalid task.
        """
        check_env_seed(seed)
        options = check_options(options, ("task",))
        if options.get("task") is not None:
            self._next_tasks = self.distribution.as_single_task(options["task"])
        super().reset(seed=seed)
        if self._next_tasks is not None:
            self.vector.set_tasks(self._next_tasks)
            self._next_tasks = None
        observation = self.vector.start_from(self.distribution.reset_single(self.vector.tasks, self.np_random))
        return observation[0].numpy(), {}

    def step(self, action: object) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Make one step; after the end of an episode the environment is frozen until its reset.

        Raises:
            UsageError: an action that does not fit the action space in shape or kind, or is not finite.
        """
        batch = np.array(action)[None]  # a copy, as torch warns about read-only arrays
        self.vector.set_state(self.distribution.resample_noise_single(self.vector.state, self.np_random))
        observation, reward, terminated, truncated, info = self.vector.step(batch)
        return observation[0].numpy(), reward.item(), bool(terminated), bool(truncated), info

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """Return a picture [height, width, 3] of uint8; None without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        return None if self.render_mode is None else self.distribution.render(self.vector.state, self.vector.tasks)
