"""Vector environment of a family with dynamics in torch: all lanes are stepped together."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from envs.core.task_vector import ObsBatch, StepResult, TaskVectorEnv
from envs.native.protocol import NativeFamily
from qrl.common.errors import UsageError


class TorchVectorEnv(TaskVectorEnv):
    """Vector environment of a `TorchTasks` family, stepped in one batch of torch operations; see `TaskVectorEnv`.

    States are float64. All randomness comes from `generator`, which is public so that its state can be saved and
    restored. On an accelerator an invalid action raises in the next `reset`, so that no step waits for the device.
    """

    def __init__(
        self, distribution: NativeFamily, n_tasks: int, envs_per_task: int, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(distribution, n_tasks, envs_per_task, device)
        self.distribution = distribution
        self.generator = torch.Generator(self.device)
        self.generator.seed()  # as in Gymnasium, an unseeded environment is not reproducible
        self._state: Float64[Tensor, "lane state"] | None = None
        self._episode = torch.zeros(self.num_envs, dtype=torch.int64, device=self.device)
        self._starts: dict[int, Float64[Tensor, "lane state"]] = {}
        self._elapsed = torch.zeros(self.num_envs, dtype=torch.int64, device=self.device)
        self._terminated = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self._finished = self._terminated
        """Lanes that are terminated or truncated."""
        # As tensors: wrapping a Python number takes as long as comparing several hundred lanes with it.
        self._one, self._limit = torch.tensor(1), torch.tensor(distribution.horizon)

    @property
    def state(self) -> Float64[Tensor, "lane state"]:
        """Copy of the full state of every lane, including the part hidden from the agent."""
        return self._require_state().clone()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsBatch, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: reseeds `generator`; None keeps its state.
            options: `{"tasks": Tasks}`, n_tasks of them, changes the tasks of all lanes. `{"reset_mask": mask}`, a
                bool tensor or array [lane], starts new episodes in those lanes only. With `{"per_lane_rng": True}`, in
                a reset of all lanes, the initial states of a lane's later episodes do not depend on when the episodes
                of other lanes end.

        Returns:
            the observations of all lanes, and an empty info.

        Raises:
            UsageError: an unknown option, tasks of another family or number, new tasks in the middle of episodes, or an
                invalid mask. On an accelerator also an invalid action since the last reset (see `step`).
        """
        mask = self._begin_reset(seed, options)
        if seed is not None:
            self.generator.manual_seed(int(seed))

        if mask is None:
            self._episode, self._starts = torch.zeros_like(self._episode), {0: self._draw_initial_states()}
            return self.start_from(self._starts[0]), {}
        fresh = self._next_starts(mask) if self._per_lane_rng else self._draw_initial_states()
        # torch.where, as indexing would wait for the device
        self._state = torch.where(mask[:, None], fresh, self._require_state())
        self._elapsed = self._elapsed.masked_fill(mask, 0)
        running = ~mask
        self._terminated, self._finished = self._terminated & running, self._finished & running
        return self._observe(self._state), {}

    def _draw_initial_states(self) -> Float64[Tensor, "lane state"]:
        return self.distribution.initial_state(self._lane_tasks, self.generator)

    def _next_starts(self, mask: Bool[Tensor, " lane"]) -> Float64[Tensor, "lane state"]:
        """Return the initial states of the next episodes of these lanes.

        The initial states of all lanes' k-th episodes are drawn together, in order of k, when the first lane starts its
        k-th episode.
        """
        self._episode = self._episode + mask
        first, last = (int(x) for x in torch.aminmax(self._episode))
        self._starts = {
            k: self._starts[k] if k in self._starts else self._draw_initial_states() for k in range(first, last + 1)
        }
        fresh = self._starts[first]
        for k in range(first + 1, last + 1):
            fresh = torch.where((self._episode == k)[:, None], self._starts[k], fresh)
        return fresh

    def start_from(self, state: Float64[Tensor, "lane state"]) -> ObsBatch:
        """Start new episodes in all lanes from these states, and return the observations."""
        self._state = state
        self._elapsed = torch.zeros_like(self._elapsed)
        self._terminated = self._finished = torch.zeros_like(self._terminated)
        return self._observe(state)

    def single_lane(self, lane: int) -> "TorchVectorEnv":
        """See `TaskVectorEnv.single_lane`."""
        one = TorchVectorEnv(self.distribution, 1, 1, self.device)
        one.set_tasks(self.tasks[lane // self.envs_per_task])
        one.start_from(self.state[lane : lane + 1])
        return one

    def set_state(self, state: Float64[Tensor, "lane state"]) -> None:
        """Replace the states in mid-episode."""
        self._state = state

    def step(self, action: Tensor | np.ndarray) -> StepResult:
        """Make one step of every lane that is not finished.

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

        # New tensors throughout: callers may keep the tensors returned earlier.
        if self.device.type == "cpu" and not bool(finished.any()):  # on an accelerator this test would wait for it
            self._state, self._terminated = next_state, ended
            self._elapsed = self._elapsed + self._one
        else:
            self._state = torch.where(finished[:, None], state, next_state)
            self._terminated = self._terminated | (ended & ~finished)
            self._elapsed = self._elapsed + ~finished
            reward = reward.masked_fill(finished, 0.0)
        at_limit = self._elapsed >= self._limit
        if self.distribution.ends_at_horizon:
            self._terminated, truncated = self._terminated | at_limit, torch.zeros_like(at_limit)
        else:
            truncated = at_limit
        self._finished = self._terminated | truncated
        return self._observe(self._state), reward.float(), self._terminated.clone(), truncated, {}

    def _check_transition(self, state: Tensor, reward: Tensor, ended: Tensor) -> None:
        """Raise UsageError for shapes that torch would silently broadcast over lanes."""
        lanes = (self.num_envs,)
        name = self.distribution.name
        for what, given, shape in (("state", state, self._require_state().shape), ("reward", reward, lanes)):
            if given.shape != shape:
                found = tuple(given.shape)
                raise UsageError(f"{name}: transition must return a {what} of shape {tuple(shape)}, not {found}")
        if ended.shape != lanes or ended.dtype != torch.bool:
            raise UsageError(
                f"{name}: transition must return bools of shape {lanes} for terminated, not {ended.dtype} of "
                f"shape {tuple(ended.shape)}"
            )

    def _observe(self, state: Float64[Tensor, "lane state"]) -> ObsBatch:
        return self.distribution.observe(state, self._lane_tasks).float()

    def _require_state(self) -> Float64[Tensor, "lane state"]:
        if self._state is None:
            raise gym.error.ResetNeeded(f"{self.distribution.name}: call reset() for all lanes first")
        return self._state
