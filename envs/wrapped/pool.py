"""A pool of ordinary Gymnasium environments behind tensors: made once, on another task from reset to reset.

The environments are stepped one after another in this process, or in `workers` processes, each with a share of them.
Results do not depend on the number of processes: each environment is seeded for itself.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.utils import batch_space
from torch import Tensor

from envs.core.task_vector import ObsBatch, StepResult, TaskVectorEnv
from envs.wrapped.factories import Maker, Task
from qrl.common.errors import TrainingError, UsageError, describe

if TYPE_CHECKING:
    from envs.wrapped.gymnasium_tasks import GymnasiumTasks

_START = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
"""How processes start. A fork has what the parent has imported, such as an environment from a file of no package."""

N_FLAGS = 3
"""What a lane's row has after its observation: reward, terminated, truncated."""


class OneTask(gym.Wrapper[np.ndarray, Any, Any, Any]):
    """One environment on one task: observations as float32 vectors, actions clipped to their bounds, a time limit.

    Its `reset` takes the option `task`, a mapping, which holds from then on.

    Args:
        maker: makes environments.
        task: the first task.
        horizon: longest episode [steps].
        render_mode: as Gymnasium has it.
        completed: the task that a mapping given to `reset` stands for.
    """

    def __init__(
        self,
        maker: Maker,
        task: Task,
        horizon: int,
        render_mode: str | None = None,
        completed: Callable[[Any], Task] = dict,
    ) -> None:
        self._maker, self.task, self._horizon, self._completed = maker, dict(task), horizon, completed
        super().__init__(maker.make(task, render_mode))
        self._space = self.env.observation_space
        self._flat = isinstance(self._space, gym.spaces.Box) and len(self._space.shape) == 1
        self.observation_space = flattened(self._space)
        self._elapsed = 0

    def set_task(self, task: Task) -> None:
        """Take another task; it holds from the next reset. Raises UsageError if a space changes."""
        if _equal(task, self.task):
            return
        seen, acted = self.env.observation_space, self.env.action_space
        self.env, self.task = self._maker.retask(self.env, task), dict(task)
        # Bounds of observations may depend on the task.
        if flattened(seen).shape != flattened(self.env.observation_space).shape or acted != self.env.action_space:
            raise UsageError(
                f"the spaces of the environment are others on the task {shown_task(task)}: all tasks of a family have "
                f"the same ones"
            )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode."""
        options = dict(options or {})
        if (task := options.pop("task", None)) is not None:
            self.set_task(self._completed(task))
        self._elapsed = 0
        observation, info = self.env.reset(seed=seed, options=options or None)
        return self._vector(observation), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step."""
        return self.advance(clipped(action, self.env.action_space))

    def advance(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step, with an action within its bounds."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._elapsed += 1
        limit = self._elapsed >= self._horizon
        return self._vector(observation), float(reward), bool(terminated), bool(truncated) or limit, info

    def _vector(self, observation: Any) -> np.ndarray:
        flat = observation if self._flat else gym.spaces.flatten(self._space, observation)
        return np.asarray(flat, dtype=np.float32)


def clipped(action: Any, space: gym.Space[Any]) -> Any:
    """Actions within the bounds and in the dtype of a Box; one, or a row of them."""
    return np.clip(action, space.low, space.high, dtype=space.dtype) if isinstance(space, gym.spaces.Box) else action


def flattened(space: gym.Space[Any]) -> gym.spaces.Box:
    """The space of the vectors that observations become; one-hot for Discrete ones."""
    flat = gym.spaces.flatten_space(space)
    assert isinstance(flat, gym.spaces.Box)
    low, high = (np.asarray(end, dtype=np.float32) for end in (flat.low, flat.high))
    return gym.spaces.Box(low, high, dtype=np.float32)


def _equal(one: Task, other: Task) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(value, other[name]) for name, value in one.items())


class Lanes(gym.Env[np.ndarray, np.ndarray]):
    """Some lanes of a pool as one environment: a row per lane, its observation, reward, terminated and truncated.

    A finished lane holds still until it is reset. What an environment raises is told in the info, as {"raised": text}.

    Args:
        maker: makes environments.
        task: the nominal task.
        horizon: longest episode [steps].
        first: number of the first lane.
        n: lanes in this share.
        n_real: lanes in the whole pool; those beyond are never stepped, they make all shares equal in size.
    """

    def __init__(self, maker: Maker, task: Task, horizon: int, *, first: int, n: int, n_real: int) -> None:
        self._first, self._n_real = first, max(0, min(n, n_real - first))
        self._new = partial(OneTask, maker, task, horizon)
        self._envs = [self._new()]  # the others when they are needed: AsyncVectorEnv makes one share to know its spaces
        self._width = gym.spaces.flatdim(self._envs[0].observation_space)
        self._rows = np.zeros((n, self._width + N_FLAGS))
        self._active = np.zeros(n, dtype=bool)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, self._rows.shape, np.float64)
        self.action_space = batch_space(self._envs[0].action_space, n)

    def reset(  # type: ignore[override]
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset lanes.

        Args:
            seed: not used: each lane has its own.
            options: `tasks`, one per lane of the pool, or None; `seeds`, one per lane, or None; `mask` [lane].
        """
        assert options is not None
        self._envs += [self._new() for _ in range(self._n_real - len(self._envs))]
        try:
            for lane in range(self._n_real):
                if options["mask"][self._first + lane]:
                    self._reset_lane(lane, options["tasks"], options["seeds"])
        except _Raised as error:
            return self._rows, {"raised": str(error)}
        return self._rows, {}

    def _reset_lane(self, lane: int, tasks: Sequence[Task] | None, seeds: Sequence[int] | None) -> None:
        env, index = self._envs[lane], self._first + lane
        try:
            if tasks is not None:
                env.set_task(tasks[index])
            observation, _ = env.reset(seed=None if seeds is None else seeds[index])
        except (Exception, SystemExit) as error:  # an environment may be anybody's code
            raise _Raised(env, "reset", error) from error
        self._rows[lane, : self._width] = observation
        self._rows[lane, self._width :] = 0
        self._active[lane] = True

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Step the lanes that are not finished."""
        rows, width = self._rows, self._width
        rows[:, width] = 0
        space = self._envs[0].action_space
        # All at once: a tenth of the time. Integers as NumPy's, which Gymnasium's own loop gives and Discrete wants.
        actions = list(clipped(action, space))
        seen, came = [], []
        for lane in (lanes := self._active.nonzero()[0].tolist()):
            env = self._envs[lane]
            try:
                observation, reward, terminated, truncated, _ = env.advance(actions[lane])
            except (Exception, SystemExit) as error:  # an environment may be anybody's code
                return rows, 0.0, False, False, {"raised": str(_Raised(env, "step", error))}
            seen.append(observation)
            came.append((reward, terminated, truncated))
        if lanes:  # written at once, likewise
            stepped = slice(None) if len(lanes) == len(rows) else lanes
            rows[stepped, :width] = np.concatenate(seen).reshape(-1, width)
            rows[stepped, width:] = came
            self._active[stepped] = ~rows[stepped, width + 1 :].any(axis=1)
        return rows, 0.0, False, False, {}

    def close(self) -> None:
        """Close the environments."""
        for env in self._envs:
            env.close()


def _in_worker(parent: int, lanes: Callable[..., Lanes], **options: int) -> Lanes:
    """A share, in a process of its own unless AsyncVectorEnv, in the parent, asks for its spaces."""
    if os.getpid() != parent:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent finishes its iteration first
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # with which the parent ends it
        torch.set_num_threads(1)  # torch's own threads do not survive a fork
    return lanes(**options)


class _Raised(Exception):
    """What an environment raised, in one line."""

    def __init__(self, env: OneTask, where: str, error: BaseException) -> None:
        when = f"step {env._elapsed + 1} of an episode" if where == "step" else where
        super().__init__(f"the environment raised at {when} on the task {shown_task(env.task)}: {describe(error)}")


def shown_task(task: Task) -> str:
    """A task in a message."""
    return ", ".join(f"{name}={np.round(value, 6).tolist()}" for name, value in task.items())


class PoolVectorEnv(TaskVectorEnv):
    """The lanes of a `GymnasiumTasks` family; see `TaskVectorEnv`.

    Raises:
        TrainingError: an environment raised; the message has its task.
    """

    def __init__(
        self, distribution: "GymnasiumTasks", n_tasks: int, envs_per_task: int, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(distribution, n_tasks, envs_per_task, device)
        self.distribution = distribution
        self._seeds = np.random.default_rng()
        self._lane_seeds: list[int] = []
        lanes = partial(
            Lanes,
            distribution.maker,
            distribution.as_environments_take(distribution.nominal),
            distribution.horizon,
            n_real=self.num_envs,
        )
        workers = min(distribution.workers, self.num_envs)
        n = -(-self.num_envs // max(1, workers))
        self._shares: Lanes | AsyncVectorEnv
        if workers:
            shares = [partial(_in_worker, os.getpid(), lanes, first=share * n, n=n) for share in range(workers)]
            self._shares = AsyncVectorEnv(shares, copy=False, autoreset_mode=AutoresetMode.DISABLED, context=_START)
        else:
            self._shares = lanes(first=0, n=n)
        self._action_rows = (workers, n) if workers else (n,)

    def set_tasks(self, tasks: Any) -> None:
        """See `TaskVectorEnv`."""
        super().set_tasks(tasks)
        self._retasked = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsBatch, dict[str, Any]]:
        """Start new episodes; see `TorchVectorEnv.reset`. With a seed each lane is seeded from it."""
        mask = self._begin_reset(seed, options)
        if seed is not None:
            self._seeds = np.random.default_rng(seed)
        if mask is None:
            return self._reset_all(self._seeds.integers(2**31, size=self.num_envs).tolist()), {}
        self._require_start()
        return self._reset_lanes({"tasks": None, "seeds": None, "mask": mask.cpu().numpy()}), {}

    def alone(self, lane: int) -> "PoolVectorEnv":
        """See `TaskVectorEnv.alone`."""
        self._require_start()
        one = PoolVectorEnv(self.distribution, 1, 1, self.device)
        one.set_tasks(self.tasks[lane // self.envs_per_task])
        one._reset_all([self._lane_seeds[lane]])
        return one

    def _reset_all(self, seeds: list[int]) -> ObsBatch:
        self._lane_seeds = seeds
        rows = [self.distribution.as_environments_take(row) for row in self._tasks.rows()] if self._retasked else []
        tasks = [row for row in rows for _ in range(self.envs_per_task)] or None
        self._retasked = False
        return self._reset_lanes({"tasks": tasks, "seeds": seeds, "mask": np.ones(self.num_envs, dtype=bool)})

    def _reset_lanes(self, options: dict[str, Any]) -> ObsBatch:
        rows, _ = self._ask(lambda: self._shares.reset(options=options))
        return self._tensors(rows)[0]

    def step(self, action: Tensor | np.ndarray) -> StepResult:
        """One step of every lane that is not finished; see `TorchVectorEnv.step`."""
        self._require_start()
        numbers = self._as_action(action).cpu().numpy()
        missing = int(np.prod(self._action_rows)) - self.num_envs
        if missing:
            numbers = np.concatenate([numbers, np.repeat(numbers[:1], missing, axis=0)])
        numbers = numbers.reshape(*self._action_rows, *numbers.shape[1:])
        rows, *_ = self._ask(lambda: self._shares.step(numbers))
        observation, reward, terminated, truncated = self._tensors(rows)
        return observation, reward, terminated, truncated, {}

    def _require_start(self) -> None:
        if not self._lane_seeds:
            raise gym.error.ResetNeeded(f"{self._family.name}: call reset() for all lanes first")

    def _ask(self, action: Any) -> Any:
        try:
            results = action()
        except (EOFError, ConnectionError) as error:
            raise TrainingError(f"{self._family.name}: {self._obituary()}") from error
        raised = results[-1].get("raised")
        if raised is not None:
            text = raised if isinstance(raised, str) else next(each for each in raised if each)
            raise TrainingError(f"{self._family.name}: {text}")
        return results

    def _obituary(self) -> str:
        """Which process has ended, and what it had; the others are ended too."""
        assert isinstance(self._shares, AsyncVectorEnv)
        processes, n = self._shares.processes, self._action_rows[-1]
        gone = connection.wait([each.sentinel for each in processes], timeout=5)
        index = next((i for i, each in enumerate(processes) if each.sentinel in gone), 0)
        processes[index].join(timeout=5)
        code = processes[index].exitcode
        first, last = (lane // self.envs_per_task for lane in (index * n, min((index + 1) * n, self.num_envs) - 1))
        for each in processes:
            each.kill()
            each.join()
        self._shares.closed = True  # or it would speak to them once more when it is collected
        tasks = self._tasks.rows()
        return (
            f"a process of environments has ended with code {code}; it had tasks {first} to {last} of the batch, from "
            f"{shown_task(tasks[first])} to {shown_task(tasks[last])}"
        )

    def _tensors(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        table = torch.from_numpy(rows.reshape(-1, rows.shape[-1])[: self.num_envs]).to(self.device)
        width = table.shape[1] - N_FLAGS
        numbers = table.to(torch.float32)  # a copy: the rows are written anew at the next step
        return numbers[:, :width], numbers[:, width], table[:, width + 1] > 0, table[:, width + 2] > 0

    def close_extras(self, **kwargs: Any) -> None:
        """End the processes."""
        self._shares.close()
