"""Shard of the lanes of a pool of third-party environments, stepped one after another in one process."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector.utils import batch_space

from envs.wrapped.factories import EnvFactory, Task
from envs.wrapped.task_wrapper import TaskWrapper, clipped, format_task
from qrl.common.errors import describe

N_FLAGS = 3
"""Entries of a lane's row after its observation: reward, terminated, truncated."""


class _EnvironmentError(Exception):
    """Exception of an environment, as one line with the task."""

    def __init__(self, env: TaskWrapper, where: str, error: BaseException) -> None:
        when = f"step {env.elapsed + 1} of an episode" if where == "step" else where
        super().__init__(f"the environment raised at {when} on the task {format_task(env.task)}: {describe(error)}")


class Lanes(gym.Env[np.ndarray, np.ndarray]):
    """Shard of a pool's lanes as one environment: a row per lane, its observation, reward, terminated and truncated.

    A finished lane is frozen until its reset. The info reports an environment's exception as {"raised": text}.

    Args:
        factory: factory of the environments.
        task: the nominal task.
        horizon: longest episode [steps].
        first: number of the first lane.
        n: lanes in this shard.
        n_real: lanes in the whole pool; lanes beyond this number are padding, which makes all shards equal in size, and
            are never stepped.
    """

    def __init__(self, factory: EnvFactory, task: Task, horizon: int, *, first: int, n: int, n_real: int) -> None:
        self._first, self._n_real = first, max(0, min(n, n_real - first))
        self._new = partial(TaskWrapper, factory, task, horizon)
        self._envs = [self._new()]  # the others are made later: AsyncVectorEnv makes a shard only to read its spaces
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
            seed: ignored, as each lane has its own seed.
            options: `tasks`, one per lane of the pool, or None; `seeds`, one per lane, or None; `mask` [lane].
        """
        assert options is not None
        self._envs += [self._new() for _ in range(self._n_real - len(self._envs))]
        try:
            for lane in range(self._n_real):
                if options["mask"][self._first + lane]:
                    self._reset_lane(lane, options["tasks"], options["seeds"])
        except _EnvironmentError as error:
            return self._rows, {"raised": str(error)}
        return self._rows, {}

    def _reset_lane(self, lane: int, tasks: Sequence[Task] | None, seeds: Sequence[int] | None) -> None:
        env, index = self._envs[lane], self._first + lane
        try:
            if tasks is not None:
                env.set_task(tasks[index])
            observation, _ = env.reset(seed=None if seeds is None else seeds[index])
        except (Exception, SystemExit) as error:  # third-party code may raise anything
            raise _EnvironmentError(env, "reset", error) from error
        self._rows[lane, : self._width] = observation
        self._rows[lane, self._width :] = 0
        self._active[lane] = True

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Step the lanes that are not finished."""
        rows, width = self._rows, self._width
        rows[:, width] = 0
        space = self._envs[0].action_space
        # Clipped together, in a tenth of the time. Integers stay NumPy's, as in Gymnasium's own loop and for Discrete.
        actions = list(clipped(action, space))
        observations, outcomes = [], []
        for lane in (lanes := self._active.nonzero()[0].tolist()):
            env = self._envs[lane]
            try:
                observation, reward, terminated, truncated, _ = env.step_within_bounds(actions[lane])
            except (Exception, SystemExit) as error:  # third-party code may raise anything
                return rows, 0.0, False, False, {"raised": str(_EnvironmentError(env, "step", error))}
            observations.append(observation)
            outcomes.append((reward, terminated, truncated))
        if lanes:  # written together, for the same reason
            stepped = slice(None) if len(lanes) == len(rows) else lanes
            rows[stepped, :width] = np.concatenate(observations).reshape(-1, width)
            rows[stepped, width:] = outcomes
            self._active[stepped] = ~rows[stepped, width + 1 :].any(axis=1)
        return rows, 0.0, False, False, {}

    def close(self) -> None:
        """Close the environments."""
        for env in self._envs:
            env.close()


def in_worker(parent: int, lanes: Callable[..., Lanes], **options: int) -> Lanes:
    """Make a shard in its worker process, or in the parent, where AsyncVectorEnv reads its spaces."""
    if os.getpid() != parent:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent finishes its iteration first
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent ends the worker by this signal
        torch.set_num_threads(1)  # torch's own threads do not survive a fork
    return lanes(**options)
