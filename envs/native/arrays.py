"""Families with dynamics in torch as Gymnasium vector environments: NumPy in and out, all three autoreset modes."""

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from envs.core.tasks import Tasks
from envs.dynamics.drawing import Picture
from envs.native.single import RENDER_FPS, StatesHorizon
from envs.native.torch_tasks import TorchTasks
from envs.native.vector import TorchVectorEnv
from qrl.common.errors import UsageError, suggest


class ArrayVectorEnv(StatesHorizon, gym.vector.VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Vector environment of a family, for `gymnasium.make_vec`.

    Episodes end as Gymnasium documents for `autoreset_mode`. NEXT_STEP: the step after an episode's last step ignores
    the action, resets the lane, and has reward 0. SAME_STEP: the last step returns the next episode's first
    observation, and the info holds the last observation as `final_obs`. DISABLED: finished lanes have to be reset by
    `options={"reset_mask": mask}`.

    Args:
        distribution: the family.
        num_envs: number of lanes.
        task: values of some parameters, in every lane; the others are nominal.
        autoreset_mode: one of Gymnasium's modes.
        render_mode: "rgb_array" or None.

    Raises:
        UsageError: an invalid number, task or mode.
    """

    distribution: TorchTasks
    _horizon_is_option: ClassVar[bool] = True

    def __init__(
        self,
        distribution: TorchTasks,
        num_envs: int = 1,
        task: Mapping[str, Any] | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        modes = {mode.value: mode for mode in AutoresetMode}
        value = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else autoreset_mode
        if value not in modes:
            raise UsageError(f"{distribution.name}: unknown autoreset_mode {value!r}{suggest(str(value), modes)}")
        self._mode = modes[value]
        self.distribution = distribution
        self.spec = None
        self._lanes = TorchVectorEnv(distribution, num_envs, 1)
        if task is not None:
            self._lanes.set_tasks(self._as_tasks(task))
        self.num_envs = self._lanes.num_envs
        modes_of_pictures = list(distribution.render_modes)
        self.metadata = {"autoreset_mode": self._mode, "render_modes": modes_of_pictures, "render_fps": RENDER_FPS}
        distribution.check_render_mode(render_mode)
        self.render_mode = render_mode
        self.single_observation_space = self._lanes.single_observation_space
        self.single_action_space = self._lanes.single_action_space
        self.observation_space = self._lanes.observation_space
        self.action_space = self._lanes.action_space
        self._finished = torch.zeros(self.num_envs, dtype=torch.bool)

    def reset(  # type: ignore[override]
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: reseeds the generator that all lanes share; None keeps the generator's state.
            options: `task`, one task for all lanes, or `tasks`, one for each lane (`envs.Tasks`, or mappings), hold
                from here on; `reset_mask` [lane] starts new episodes in those lanes only.

        Raises:
            UsageError: an unknown or invalid option.
        """
        options = dict(options or {})
        if "task" in options:
            options["tasks"] = self._as_tasks(options.pop("task"))
        elif options.get("tasks") is not None and not isinstance(options["tasks"], Tasks):
            rows = [self.distribution.task(row).rows()[0] for row in options["tasks"]]
            options["tasks"] = Tasks.from_rows(rows)
        observation, info = self._lanes.reset(seed=seed, options=options)
        if seed is not None:
            super().reset(seed=seed)  # seeds np_random, which Gymnasium's wrappers may use
        mask = options.get("reset_mask")
        self._finished &= torch.zeros_like(self._finished) if mask is None else ~torch.as_tensor(mask)
        return observation.numpy(), info

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Make one step of every lane.

        Returns:
            observations [lane, obs], rewards [lane], terminated [lane], truncated [lane], info.

        Raises:
            UsageError: an invalid action; or, without autoreset, a finished lane that was not reset.
        """
        was_finished = self._finished
        if self._mode is AutoresetMode.DISABLED and bool(was_finished.any()):
            raise UsageError(
                f"{self.distribution.name}: finished lanes must be reset first, with options={{'reset_mask': mask}}"
            )
        observation, reward, terminated, truncated, info = self._lanes.step(actions)
        if self._mode is AutoresetMode.NEXT_STEP and bool(was_finished.any()):
            observation, _ = self._lanes.reset(options={"reset_mask": was_finished})
            terminated, truncated = terminated & ~was_finished, truncated & ~was_finished
        self._finished = ended = terminated | truncated
        if self._mode is AutoresetMode.SAME_STEP and bool(ended.any()):
            last = observation.numpy()
            for lane in ended.nonzero()[:, 0].tolist():
                info = self._add_info(info, {"final_obs": last[lane], "final_info": {}}, lane)
            observation, _ = self._lanes.reset(options={"reset_mask": ended})
        return observation.numpy(), reward.double().numpy(), terminated.numpy(), truncated.numpy(), info

    def render(self) -> tuple[Picture, ...] | None:
        """Return a picture of each lane; None without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        if self.render_mode is None:
            return None
        lanes = map(self._lanes.single_lane, range(self.num_envs))
        return tuple(self.distribution.render(lane.state, lane.tasks) for lane in lanes)

    def _as_tasks(self, task: Mapping[str, Any]) -> Tasks:
        return self.distribution.task(task).repeat_interleave(self._lanes.num_envs)
