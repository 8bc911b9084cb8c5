"""Families with dynamics in torch as environments: many lanes at once, and one lane as an ordinary Gymnasium one."""

from collections.abc import Mapping
from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from jaxtyping import Bool, Float64
from torch import Tensor

from envs.core.task_vector import ObsBatch, StepResult, TaskVectorEnv, check_env_seed, check_options
from envs.core.tasks import Tasks
from envs.native.torch_tasks import TorchTasks
from qrl.common.errors import UsageError

RENDER_FPS = 30
"""Pictures of an episode in a second of an animation."""


class TorchVectorEnv(TaskVectorEnv):
    """The lanes of a `TorchTasks` family, stepped in one batch of torch operations; see `TaskVectorEnv`.

    States are float64. Randomness comes from `generator` only, which is public so that its state can be saved and
    restored. On an accelerator a bad action is told by the next `reset`, so that no step waits for the device.
    """

    def __init__(
        self, distribution: TorchTasks, n_tasks: int, envs_per_task: int, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(distribution, n_tasks, envs_per_task, device)
        self.distribution = distribution
        self.generator = torch.Generator(self.device)
        self.generator.seed()  # as in Gymnasium, an environment that was never seeded is unpredictable
        self._state: Float64[Tensor, "lane state"] | None = None
        self._episode = torch.zeros(self.num_envs, dtype=torch.int64, device=self.device)
        self._starts: dict[int, Float64[Tensor, "lane state"]] = {}
        self._elapsed = torch.zeros(self.num_envs, dtype=torch.int64, device=self.device)
        self._terminated = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self._finished = self._terminated
        """Those that are terminated or truncated."""
        # As tensors: to wrap a Python number takes as long as to compare some hundred lanes with it.
        self._one, self._limit = torch.tensor(1), torch.tensor(distribution.horizon)

    @property
    def state(self) -> Float64[Tensor, "lane state"]:
        """A copy of the full state of every lane, which the agent may not see."""
        return self._require_state().clone()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsBatch, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: reseeds `generator`; None goes on with it.
            options: `{"tasks": Tasks}`, n_tasks of them, changes the tasks of all lanes. `{"reset_mask": mask}`, a
                bool tensor or array [lane], starts new episodes in those lanes only. `{"own_luck": True}`, in a reset
                of all lanes: how a lane's later episodes begin will not depend on when those of other lanes end.

        Returns:
            the observations of all lanes, and an empty info.

        Raises:
            UsageError: an unknown option, tasks of another family or number, new tasks in the middle of episodes, or a
                bad mask. On an accelerator also a bad action since the last reset (see `step`).
        """
        mask = self._begin_reset(seed, options)
        if seed is not None:
            self.generator.manual_seed(int(seed))

        if mask is None:
            self._episode, self._starts = torch.zeros_like(self._episode), {0: self._drawn()}
            return self.start_from(self._starts[0]), {}
        fresh = self._next_starts(mask) if self._own_luck else self._drawn()
        # where rather than indexing: no wait for the device
        self._state = torch.where(mask[:, None], fresh, self._require_state())
        self._elapsed = self._elapsed.masked_fill(mask, 0)
        going_on = ~mask
        self._terminated, self._finished = self._terminated & going_on, self._finished & going_on
        return self._observe(self._state), {}

    def _drawn(self) -> Float64[Tensor, "lane state"]:
        return self.distribution.initial_state(self._lane_tasks, self.generator)

    def _next_starts(self, mask: Bool[Tensor, " lane"]) -> Float64[Tensor, "lane state"]:
        """How the next episodes of these lanes begin.

        The k-th ones of all lanes are drawn together when the first lane comes to it, in order of k.
        """
        self._episode = self._episode + mask
        first, last = (int(x) for x in torch.aminmax(self._episode))
        self._starts = {k: self._starts[k] if k in self._starts else self._drawn() for k in range(first, last + 1)}
        fresh = self._starts[first]
        for k in range(first + 1, last + 1):
            fresh = torch.where((self._episode == k)[:, None], self._starts[k], fresh)
        return fresh

    def start_from(self, state: Float64[Tensor, "lane state"]) -> ObsBatch:
        """Start new episodes in all lanes from these states; the observations."""
        self._state = state
        self._elapsed = torch.zeros_like(self._elapsed)
        self._terminated = self._finished = torch.zeros_like(self._terminated)
        return self._observe(state)

    def alone(self, lane: int) -> "TorchVectorEnv":
        """See `TaskVectorEnv.alone`."""
        one = TorchVectorEnv(self.distribution, 1, 1, self.device)
        one.set_tasks(self.tasks[lane // self.envs_per_task])
        one.start_from(self.state[lane : lane + 1])
        return one

    def set_state(self, state: Float64[Tensor, "lane state"]) -> None:
        """Go on from these states instead, in mid-episode."""
        self._state = state

    def step(self, action: Tensor | np.ndarray) -> StepResult:
        """One step of every lane that is not finished.

        Args:
            action: [lane, ...] of floats for a Box action space, [lane] of integers for a Discrete one.

        Returns:
            observation [lane, obs], reward [lane], terminated [lane], truncated [lane], info (empty).

        Raises:
            UsageError: an action of the wrong shape or dtype, not finite, or outside a Discrete space. On an
                accelerator the last two are raised by the next `reset`, so that no step waits for the device.
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        state = self._require_state()
        action = self._as_action(action)
        finished = self._finished

        next_state, reward, ended = self.distribution.transition(state, action, self._lane_tasks)
        self._check_transition(next_state, reward, ended)

        # New tensors throughout: those returned earlier are the caller's to keep.
        if self.device.type == "cpu" and not bool(finished.any()):  # an accelerator would have to be waited for
            self._state, self._terminated = next_state, ended
            self._elapsed = self._elapsed + self._one
        else:
            self._state = torch.where(finished[:, None], state, next_state)
            self._terminated = self._terminated | (ended & ~finished)
            self._elapsed = self._elapsed + ~finished
            reward = reward.masked_fill(finished, 0.0)
        truncated = self._elapsed >= self._limit
        self._finished = self._terminated | truncated
        return self._observe(self._state), reward.float(), self._terminated.clone(), truncated, {}

    def _check_transition(self, state: Tensor, reward: Tensor, ended: Tensor) -> None:
        """Raise UsageError for what would be broadcast over lanes, and so be wrong without a word."""
        lanes = (self.num_envs,)
        name = self.distribution.name
        for what, given, shape in (("state", state, self._require_state().shape), ("reward", reward, lanes)):
            if given.shape != shape:
                found = tuple(given.shape)
                raise UsageError(f"{name}: transition gave a {what} of shape {found}, not {tuple(shape)}")
        if ended.shape != lanes or ended.dtype != torch.bool:
            raise UsageError(
                f"{name}: transition must say where episodes ended by bools of shape {lanes}, not {ended.dtype} of "
                f"shape {tuple(ended.shape)}"
            )

    def _observe(self, state: Float64[Tensor, "lane state"]) -> ObsBatch:
        return self.distribution.observe(state, self._lane_tasks).float()

    def _require_state(self) -> Float64[Tensor, "lane state"]:
        if self._state is None:
            raise gym.error.ResetNeeded(f"{self.distribution.name}: call reset() for all lanes first")
        return self._state


class SingleEnv(gym.Env[np.ndarray, Any]):
    """One environment of a family on one task: NumPy observations, Python numbers, made for other libraries.

    It is one lane of `TorchVectorEnv`, so the dynamics are the same code; what is drawn comes from `np_random`, as
    Gymnasium wants it.

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
        distribution: TorchTasks,
        task: Mapping[str, Any] | Tasks | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.metadata = {"render_modes": list(distribution.render_modes), "render_fps": RENDER_FPS}
        if render_mode is not None and render_mode not in distribution.render_modes:
            known = ", ".join(distribution.render_modes) or "none"
            raise UsageError(f"{distribution.name}: no render_mode {render_mode!r}; there is {known}")
        self.render_mode = render_mode
        self.distribution = distribution
        self.observation_space = distribution.observation_space
        self.action_space = distribution.action_space
        self.vector = TorchVectorEnv(distribution, 1, 1)
        self._next_tasks: Tasks | None = self._as_tasks({} if task is None else task)
        # A spec lets wrappers and checkers build the environment again; no time limit in it, as horizon is our own.
        kwargs = {"task": self._next_tasks.rows()[0], "render_mode": render_mode}
        self.spec = EnvSpec(id=distribution.name, entry_point=cast(Any, distribution.make), kwargs=kwargs)

    @property
    def task(self) -> dict[str, Any]:
        """The parameters of the current task."""
        return (self._next_tasks or self.vector.tasks).rows()[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: reseeds `np_random`; None goes on with it.
            options: `{"task": {...}}` changes the task from here on; parameters left out are nominal.

        Raises:
            UsageError: an unknown option or a bad task.
        """
        check_env_seed(seed)
        options = check_options(options, ("task",))
        if options.get("task") is not None:
            self._next_tasks = self._as_tasks(options["task"])
        super().reset(seed=seed)
        if self._next_tasks is not None:
            self.vector.set_tasks(self._next_tasks)
            self._next_tasks = None
        observation = self.vector.start_from(self.distribution.start_alone(self.vector.tasks, self.np_random))
        return observation[0].numpy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step; after the end of an episode the environment holds still until it is reset.

        Raises:
            UsageError: an action that does not fit the action space in shape or kind, or is not finite.
        """
        batch = np.array(action)[None]  # a copy, as torch warns of read-only arrays
        self.vector.set_state(self.distribution.chance_alone(self.vector.state, self.np_random))
        observation, reward, terminated, truncated, info = self.vector.step(batch)
        return observation[0].numpy(), reward.item(), bool(terminated), bool(truncated), info

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """A picture [height, width, 3] of uint8; None without a render mode.

        Raises:
            gymnasium.error.ResetNeeded: before the first `reset`.
        """
        return None if self.render_mode is None else self.distribution.render(self.vector.state, self.vector.tasks)

    def _as_tasks(self, task: Any) -> Tasks:
        if isinstance(task, Tasks):
            self.distribution.check_tasks(task, 1)
            return task
        if not isinstance(task, Mapping):
            raise UsageError(f"{self.distribution.name}: a task is a mapping of parameters, not {type(task).__name__}")
        return self.distribution.task(task)
