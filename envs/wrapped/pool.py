"""Pool of ordinary Gymnasium environments as a vector environment of tensors, reused for new tasks at each reset.

The environments are stepped one after another in the main process, or in `workers` processes, each with a shard of the
environments. Results do not depend on the number of processes: each environment has its own seed.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from envs.core.task_vector import Family, ObsBatch, StepResult, TaskVectorEnv
from envs.wrapped.factories import EnvFactory
from envs.wrapped.faults import late
from envs.wrapped.lanes import N_FLAGS, Lanes, place
from envs.wrapped.task_wrapper import format_task
from envs.wrapped.workers import WorkerEnded, Workers
from qrl.common.errors import TrainingError


@runtime_checkable
class WrappedFamily(Family, Protocol):
    """Task distribution over third-party environments."""

    factory: EnvFactory
    workers: int
    nominal: dict[str, Any]

    def to_environment(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Convert a task to the types that its environments take."""


class PoolVectorEnv(TaskVectorEnv):
    """Vector environment of a `GymnasiumTasks` family; see `TaskVectorEnv`.

    Raises:
        TrainingError: an environment raised; the message contains the task.
    """

    def __init__(
        self, distribution: WrappedFamily, n_tasks: int, envs_per_task: int, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(distribution, n_tasks, envs_per_task, device)
        self.distribution = distribution
        self._seeds = np.random.default_rng()
        self._lane_seeds: list[int] = []
        lanes = partial(
            Lanes,
            distribution.factory,
            distribution.to_environment(distribution.nominal),
            distribution.horizon,
            n_real=self.num_envs,
        )
        workers = min(distribution.workers, self.num_envs)
        n = -(-self.num_envs // max(1, workers))
        self._shards: Lanes | Workers
        if workers:
            self._shards = Workers(lanes, workers, n, distribution.factory.step_timeout)
        else:
            self._shards = lanes(first=0, n=n)
        self._action_rows = (workers, n) if workers else (n,)

    def set_tasks(self, tasks: object) -> None:
        """See `TaskVectorEnv`."""
        super().set_tasks(tasks)
        self._tasks_changed = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsBatch, dict[str, Any]]:
        """Start new episodes; see `TorchVectorEnv.reset`. A seed determines the seeds of all lanes."""
        mask = self._begin_reset(seed, options)
        if seed is not None:
            self._seeds = np.random.default_rng(seed)
        if mask is None:
            return self._reset_all(self._seeds.integers(2**31, size=self.num_envs).tolist()), {}
        self._require_reset()
        return self._reset_lanes({"tasks": None, "seeds": None, "mask": mask.cpu().numpy()}), {}

    def single_lane(self, lane: int) -> "PoolVectorEnv":
        """See `TaskVectorEnv.single_lane`."""
        self._require_reset()
        one = PoolVectorEnv(self.distribution, 1, 1, self.device)
        one.set_tasks(self.tasks[lane // self.envs_per_task])
        one._reset_all([self._lane_seeds[lane]])
        return one

    def _reset_all(self, seeds: list[int]) -> ObsBatch:
        self._lane_seeds = seeds
        rows = [self.distribution.to_environment(row) for row in self._tasks.rows()] if self._tasks_changed else []
        tasks = [row for row in rows for _ in range(self.envs_per_task)] or None
        self._tasks_changed = False
        return self._reset_lanes({"tasks": tasks, "seeds": seeds, "mask": np.ones(self.num_envs, dtype=bool)})

    def _reset_lanes(self, options: dict[str, Any]) -> ObsBatch:
        rows, _ = self._ask(lambda: self._shards.reset(options=options))
        return self._tensors(rows)[0]

    def step(self, action: Tensor | np.ndarray) -> StepResult:
        """Make one step of every lane that is not finished; see `TorchVectorEnv.step`."""
        self._require_reset()
        numbers = self._as_action(action).cpu().numpy()
        missing = int(np.prod(self._action_rows)) - self.num_envs
        if missing:
            numbers = np.concatenate([numbers, np.repeat(numbers[:1], missing, axis=0)])
        numbers = numbers.reshape(*self._action_rows, *numbers.shape[1:])
        rows, *_ = self._ask(lambda: self._shards.step(numbers))
        observation, reward, terminated, truncated = self._tensors(rows)
        return observation, reward, terminated, truncated, {}

    def _require_reset(self) -> None:
        if not self._lane_seeds:
            raise gym.error.ResetNeeded(f"{self._family.name}: call reset() for all lanes first")

    def _ask(self, request: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Return the answer of the shards. Raise TrainingError if an environment failed, or a process has ended."""
        try:
            results = request()
        except WorkerEnded as ended:
            raise TrainingError(f"{self._family.name}: {self._describe(ended)}") from ended.__cause__
        raised = results[-1].get("raised")
        if raised is not None:
            text = raised if isinstance(raised, str) else next(each for each in raised if each)
            raise TrainingError(f"{self._family.name}: {text}")
        return results

    def _describe(self, ended: WorkerEnded) -> str:
        """Return a message with the task, or tasks, of a failed process."""
        n, tasks = self._action_rows[-1], [self.distribution.to_environment(row) for row in self._tasks.rows()]
        if ended.exit_code is None:
            task = tasks[(ended.index * n + ended.lane) // self.envs_per_task]
            return f"at {place(ended.step, task)}: {late(self.distribution.factory.step_timeout)}"
        first, last = (
            lane // self.envs_per_task for lane in (ended.index * n, min((ended.index + 1) * n, self.num_envs) - 1)
        )
        return (
            f"a worker process of environments ended with exit code {ended.exit_code}; it ran tasks {first} to {last}, "
            f"from {format_task(tasks[first])} to {format_task(tasks[last])}"
        )

    def _tensors(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        table = torch.from_numpy(rows.reshape(-1, rows.shape[-1])[: self.num_envs]).to(self.device)
        width = table.shape[1] - N_FLAGS
        numbers = table.to(torch.float32)  # a copy: the next step overwrites the rows
        return numbers[:, :width], numbers[:, width], table[:, width + 1] > 0, table[:, width + 2] > 0

    def close_extras(self, **kwargs: object) -> None:
        """Close the environments and end the processes. Raise UsageError or TrainingError if that fails."""
        self._shards.close()
