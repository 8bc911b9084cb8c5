"""Families of tasks in which every step is a try: of one of some candidates, whose score on the task is in a table.

A task is a row of the table, such as a dataset; which rows are held out is part of the table. An episode is a few
tries, and what it earns is the best of them:

    r_t = max(b_t, g_a) - b_t        b_t+1 = max(b_t, g_a)        b_0 = 0

g_a is what candidate a scores above doing nothing (for a classifier: above naming the most frequent class), so that the
return is what the best try has gained. A candidate that is tried again gains nothing; policies are told not to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float64
from numpy.typing import NDArray
from torch import Tensor

from envs.core.distribution import Integer, Tasks
from envs.native.torch_tasks import TorchTasks
from qrl.common.errors import UsageError

LARGEST_FEATURE = 3.0
"""Standardised meta-features are cut off here: held-out tasks may be unlike all others."""


@dataclass(frozen=True)
class Known:
    """What is known of the tasks of a family. Raises UsageError for parts that do not fit together."""

    names: tuple[str, ...]
    """Of each task, those of training first."""
    candidates: tuple[str, ...]
    """What may be tried."""
    gains: NDArray[np.float64]
    """[task, candidate]"""
    features: NDArray[np.float64]
    """[task, feature], known of a task before anything is tried; in whatever units."""
    n_train: int
    """Tasks of training [tasks]; the others are held out."""
    configurations: tuple[Mapping[str, Any], ...] = ()
    """Options of each candidate, where candidates are configurations of one algorithm."""

    def __post_init__(self) -> None:
        n_tasks, n_candidates = len(self.names), len(self.candidates)
        for name in ("gains", "features"):
            if not isinstance(value := getattr(self, name), np.ndarray) or value.dtype.kind not in "fiu":
                raise UsageError(f"Known: {name} must be a NumPy array of numbers, not {type(value).__name__}")
        if not isinstance(self.n_train, int):
            raise UsageError(f"Known: n_train must be a whole number, not {self.n_train!r}")
        if self.gains.shape != (n_tasks, n_candidates):
            raise UsageError(
                f"Known: gains of {n_tasks} names and {n_candidates} candidates must have shape "
                f"{(n_tasks, n_candidates)}, not {self.gains.shape}"
            )
        if self.features.ndim != 2 or len(self.features) != n_tasks:
            raise UsageError(f"Known: features must be [{n_tasks} tasks, feature], not of shape {self.features.shape}")
        for name in ("gains", "features"):
            if not np.isfinite(getattr(self, name)).all():
                raise UsageError(f"Known: {name} must be finite")
        if not 2 <= self.n_train <= n_tasks - 2:
            raise UsageError(
                f"Known: n_train must be from 2 to {n_tasks - 2}, so that two tasks are held out, not {self.n_train}"
            )
        for name in ("names", "candidates"):
            values = getattr(self, name)
            if twice := [value for value in values if values.count(value) > 1]:
                raise UsageError(f"Known: {name} has {twice[0]!r} more than once")
        if self.configurations and len(self.configurations) != n_candidates:
            raise UsageError(
                f"Known: configurations must be as many as candidates, {n_candidates}, not {len(self.configurations)}"
            )


class Tries(TorchTasks):
    """A family of tries.

    State: what the best try so far has gained, tries so far, for each candidate 1 if it was tried, the noise on the
    features. Observation: the task's features, standardised by those of training, with normal noise of deviation
    `jitter`, drawn for each episode, in tasks of training alone; for each candidate whether it was tried, and its gain
    if so; the best gain; the share of tries that are left.
    """

    tries = True

    def __init__(self, name: str, parameter: str, horizon: int, known: Known, jitter: float = 0.0) -> None:
        n_candidates = len(known.candidates)
        if horizon > n_candidates:
            raise UsageError(
                f"{name}: horizon [tries] must be at most {n_candidates}, all there is to try, not {horizon}"
            )
        if not 0 <= jitter < np.inf:
            raise UsageError(f"{name}: jitter must be finite and not negative, not {jitter}")
        self.known, self.parameter, self.jitter = known, parameter, jitter
        ours = known.features[: known.n_train]
        self._centre, self._spread = ours.mean(0), np.maximum(ours.std(0), 1e-9)
        self._gains = torch.from_numpy(known.gains)
        self._features = torch.from_numpy(self.standardised(known.features))
        sizes = {"features": known.features.shape[1], "tried": n_candidates, "gains": n_candidates, "rest": 2}
        self._parts = (1, 1, n_candidates, sizes["features"])
        self.unavailable = slice(sizes["features"], sizes["features"] + n_candidates)
        most = max(1.0, float(np.abs(known.gains).max()))
        low = [-LARGEST_FEATURE] * sizes["features"] + [0.0] * n_candidates + [-most] * n_candidates + [0.0] * 2
        high = [LARGEST_FEATURE] * sizes["features"] + [1.0] * n_candidates + [most] * (n_candidates + 1) + [1.0]
        super().__init__(
            name=name,
            horizon=horizon,
            observation_space=gym.spaces.Box(np.array(low, np.float32), np.array(high, np.float32)),
            action_space=gym.spaces.Discrete(n_candidates),
            observation_scale=[1.0] * sum(sizes.values()),
            parameters={parameter: Integer(0, known.n_train - 1)},
            test={parameter: Integer(known.n_train, len(known.names) - 1)},
            nominal={parameter: 0},
        )

    def with_another(self, name: str, features: NDArray[np.float64], horizon: int) -> "Tries":
        """The family with one more task, of which nothing was measured: the last of those held out. See `measured`.

        Args:
            name: of the task, another than theirs.
            features: [feature], in the units of `Known.features`.
            horizon: of the new family [tries].
        """
        known = self.known
        nothing = np.zeros((1, len(known.candidates)))
        more = replace(
            known,
            names=(*known.names, name),
            gains=np.concatenate([known.gains, nothing]),
            features=np.concatenate([known.features, features[None]]),
        )
        return Tries(self.name, self.parameter, horizon, more, self.jitter)

    def measured(self, row: int, candidate: int, gain: float) -> None:
        """Enter what a candidate gains in a task `with_another`; it is to be known before the candidate is tried."""
        self._gains[row, candidate] = gain

    def standardised(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Features [..., feature] as the agent sees them."""
        return np.clip((features - self._centre) / self._spread, -LARGEST_FEATURE, LARGEST_FEATURE)

    def check_tasks(self, tasks: object, n_tasks: int) -> None:
        """Also refuses numbers that are no row of the table."""
        super().check_tasks(tasks, n_tasks)
        assert isinstance(tasks, Tasks)
        rows = torch.arange(len(self.known.names), dtype=torch.float64, device=tasks[self.parameter].device)
        if not bool(torch.isin(tasks[self.parameter], rows).all()):
            raise UsageError(f"{self.name}: {self.parameter} must be an integer from 0 to {len(rows) - 1}")

    def gains_of(self, tasks: Tasks) -> Float64[Tensor, "lane act"]:
        """What there is to be gained in each task."""
        rows = tasks[self.parameter].long()
        return self._gains.to(rows.device)[rows]

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Nothing tried, nothing gained."""
        zeros = torch.zeros(len(tasks), 2 + len(self.known.candidates), dtype=torch.float64, device=generator.device)
        shape = (len(tasks), self._features.shape[1])
        noise = torch.randn(shape, dtype=torch.float64, device=generator.device, generator=generator)
        trained_on = (tasks[self.parameter] < self.known.n_train).to(noise)
        return torch.cat([zeros, self.jitter * trained_on[:, None] * noise], dim=1)

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """What is known of the task, and of the tries so far."""
        best, step, tried, noise = state.split(self._parts, dim=1)
        features = self._features.to(state.device)[tasks[self.parameter].long()] + noise
        features = features.clamp(-LARGEST_FEATURE, LARGEST_FEATURE)
        return torch.cat([features, tried, tried * self.gains_of(tasks), best, 1 - step / self.horizon], dim=1)

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """One try."""
        best, step, tried, noise = state.split(self._parts, dim=1)
        found = torch.maximum(best, self.gains_of(tasks).gather(1, action[:, None]))
        state = torch.cat([found, step + 1, tried.scatter(1, action[:, None], 1.0), noise], dim=1)
        return state, (found - best)[:, 0], torch.zeros(len(state), dtype=torch.bool, device=state.device)
