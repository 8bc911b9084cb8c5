"""Shard of the lanes of a pool of third-party environments, stepped one after another in one process."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector.utils import batch_space

from envs.wrapped.factories import EnvFactory, Task
from envs.wrapped.faults import Fault, explain
from envs.wrapped.guest import restore_default_type, working_folder
from envs.wrapped.task_wrapper import TaskWrapper, clipped, format_task
from envs.wrapped.time_limit import Marker, TimeExceeded, TimeLimit
from qrl.common.errors import UsageError

N_FLAGS = 3
"""Entries of a lane's row after its observation: reward, terminated, truncated."""

RESET = 0
"""Entry of a marker for a reset, in place of the number of a step."""


class LaneError(Exception):
    """Failure of an environment, as one line with the task."""


def place(step: int, task: Task) -> str:
    """Describe the call that an environment was in; steps count from 1."""
    return (
        f"{'reset' if step == RESET else f'step {step} of an episode'} on the task {format_task(task) or 'single_task'}"
    )


class Lanes(gym.Env[np.ndarray, np.ndarray]):
    """Shard of a pool's lanes as one environment: a row per lane, its observation, reward, terminated and truncated.

    A finished lane is frozen until its reset. The info reports an environment's failure as {"raised": text}.

    Args:
        factory: factory of the environments.
        task: the nominal task.
        horizon: longest episode [steps].
        first: number of the first lane.
        n: lanes in this shard.
        n_real: lanes in the whole pool; lanes beyond this number are padding, which makes all shards equal in size, and
            are never stepped.
        marker: two integers, kept up to date: the running lane of this shard, and its step or `RESET`. With a marker,
            another process enforces the time limit; without one, this process does.
    """

    def __init__(
        self,
        factory: EnvFactory,
        task: Task,
        horizon: int,
        *,
        first: int,
        n: int,
        n_real: int,
        marker: Marker | None = None,
    ) -> None:
        self._factory, self._first, self._n_real = factory, first, max(0, min(n, n_real - first))
        self._marker: Marker = [0, RESET] if marker is None else marker
        self._limit = TimeLimit(factory.step_timeout if marker is None else 0.0, self._marker)
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
        try:
            with self._factory.guest.running() as home, self._limit:
                if options["seeds"] is not None:  # else other lanes are in the middle of an episode
                    self._home = home
                for lane in range(self._n_real):
                    if options["mask"][self._first + lane]:
                        self._reset_lane(lane, options["tasks"], options["seeds"])
        except (LaneError, Fault) as error:
            return self._rows, {"raised": str(error)}
        return self._rows, {}

    def _reset_lane(self, lane: int, tasks: Sequence[Task] | None, seeds: Sequence[int] | None) -> None:
        self._marker[0], self._marker[1] = lane, RESET
        index, dtype = self._first + lane, torch.get_default_dtype()
        try:
            while lane >= len(self._envs):
                self._envs.append(self._new())
            env = self._envs[lane]
            if tasks is not None:
                env.set_task(tasks[index])
            observation, _ = env.reset(seed=None if seeds is None else seeds[index])
            if torch.get_default_dtype() is not dtype:
                raise Fault(restore_default_type(dtype))
        except BaseException as error:  # third-party code may raise anything
            raise self._lane_error(lane, RESET, error, None if tasks is None else tasks[index]) from error
        self._rows[lane, : self._width] = observation
        self._rows[lane, self._width :] = 0
        self._active[lane] = True

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Step the lanes that are not finished."""
        guest, complaint, gradients = self._factory.guest, "", torch.is_grad_enabled()
        home = guest.enter() if guest.differs else None
        try:
            with self._limit:
                self._step_lanes(action)
        except LaneError as error:
            complaint = str(error)
        is_moved = torch.empty(0).device != self._home.device or working_folder() != self._home.folder
        if complaint or home is not None or is_moved or not self._active.any():
            left = guest.leave(self._home if home is None else home)
            complaint = complaint or left
        torch.set_grad_enabled(gradients)  # an environment with a network may have disabled them
        return self._rows, 0.0, False, False, {"raised": complaint} if complaint else {}

    def _step_lanes(self, action: np.ndarray) -> None:
        rows, width, marker = self._rows, self._width, self._marker
        rows[:, width] = 0
        space, dtype = self._envs[0].action_space, torch.get_default_dtype()
        # Clipped together, in a tenth of the time. Integers stay NumPy's, as in Gymnasium's own loop and for Discrete.
        actions = list(clipped(action, space))
        observations, outcomes = [], []
        for lane in (lanes := self._active.nonzero()[0].tolist()):
            env = self._envs[lane]
            marker[0], marker[1] = lane, env.elapsed + 1
            try:
                observation, reward, terminated, truncated, _ = env.step_within_bounds(actions[lane])
                if torch.get_default_dtype() is not dtype:
                    raise Fault(restore_default_type(dtype))
            except BaseException as error:  # third-party code may raise anything
                raise self._lane_error(lane, marker[1], error) from error
            observations.append(observation)
            outcomes.append((reward, terminated, truncated))
        if lanes:  # written together, for the same reason
            stepped = slice(None) if len(lanes) == len(rows) else lanes
            rows[stepped, :width] = np.concatenate(observations).reshape(-1, width)
            rows[stepped, width:] = outcomes
            self._active[stepped] = ~rows[stepped, width + 1 :].any(axis=1)

    def _lane_error(self, lane: int, step: int, error: BaseException, task: Task | None = None) -> LaneError:
        """Return the failure of a lane in one line. Raise interrupts from outside again."""
        where = place(step, self._envs[min(lane, len(self._envs) - 1)].task if task is None else task)
        text = explain(error, self._factory.step_timeout)
        raised = "" if isinstance(error, UsageError | TimeExceeded) else "the environment raised "
        return LaneError(f"{raised}at {where}: {text}")

    def close(self) -> None:
        """Close the environments. Raise UsageError if one cannot be closed."""
        for env in self._envs:
            self._factory.close(env)
