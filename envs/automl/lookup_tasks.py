"""Search tasks: every step evaluates one candidate, whose score on the task is looked up in a table.

A task is a row of the table, such as a dataset; the table also defines the held-out rows. An episode is a budget of
a few evaluations, and its return is the best improvement:

    r_t = max(b_t, g_a) - b_t        b_t+1 = max(b_t, g_a)        b_0 = 0

g_a is the improvement of candidate a over a baseline (for a classifier: predicting the most frequent class), so that
the return is the largest improvement found. Evaluating a candidate again adds nothing; policies mask such actions.
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

from envs.core.ranges import Integer
from envs.core.tasks import Tasks, check_indices
from envs.native.torch_tasks import TorchTasks
from qrl.common.checks import check_count
from qrl.common.errors import UsageError

MAX_FEATURE = 3.0
"""Clipping bound of standardised meta-features, for held-out tasks unlike all training tasks [standard deviations]."""


@dataclass(frozen=True)
class ScoreTable:
    """Scores of all candidates on all tasks of a family.

    Raises:
        UsageError: the fields are inconsistent.
    """

    names: tuple[str, ...]
    """Name of each task: training tasks first, then validation tasks, then test tasks."""
    candidates: tuple[str, ...]
    """Name of each candidate."""
    improvement: NDArray[np.float64]
    """Score minus the baseline's score [task, candidate]."""
    features: NDArray[np.float64]
    """Meta-features [task, feature], known before any evaluation; in any units."""
    n_train: int
    """Number of training tasks [tasks]; the other tasks are held out."""
    configurations: tuple[Mapping[str, Any], ...] = ()
    """Options of each candidate, if candidates are configurations of one algorithm."""
    n_validation: int = 0
    """Number of validation tasks, which are held out of training and test [tasks]; 0: validation has train tasks."""

    def __post_init__(self) -> None:
        n_tasks, n_candidates = len(self.names), len(self.candidates)
        check_count("ScoreTable: n_train", self.n_train, least=0)
        arrays = {"improvement": self.improvement, "features": self.features}
        for name, value in arrays.items():
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
                raise UsageError(f"ScoreTable: {name} must be a NumPy array of numbers, not {type(value).__name__}")
        if self.improvement.shape != (n_tasks, n_candidates):
            raise UsageError(
                f"ScoreTable: improvement for {n_tasks} names and {n_candidates} candidates must have shape "
                f"{(n_tasks, n_candidates)}, not {self.improvement.shape}"
            )
        if self.features.ndim != 2 or len(self.features) != n_tasks:
            raise UsageError(
                f"ScoreTable: features must be [{n_tasks} tasks, feature], not of shape {self.features.shape}"
            )
        for name, value in arrays.items():
            if not np.isfinite(value).all():
                raise UsageError(f"ScoreTable: {name} must be finite")
        check_count("ScoreTable: n_validation", self.n_validation, least=0)
        if self.n_validation == 1:
            raise UsageError("ScoreTable: n_validation must be 0, or at least 2 for an interval over tasks, not 1")
        most = n_tasks - self.n_validation - 2
        if not 2 <= self.n_train <= most:
            raise UsageError(f"ScoreTable: n_train must be from 2 to {most}, to hold out two tasks, not {self.n_train}")
        for name, values in (("names", self.names), ("candidates", self.candidates)):
            if twice := [value for value in values if values.count(value) > 1]:
                raise UsageError(f"ScoreTable: {name} has {twice[0]!r} more than once")
        if self.configurations and len(self.configurations) != n_candidates:
            raise UsageError(
                f"ScoreTable: {n_candidates} candidates need as many configurations, not {len(self.configurations)}"
            )


class LookupTasks(TorchTasks):
    """Family of search tasks.

    State: the largest improvement so far, evaluations so far, for each candidate 1 if it was evaluated, the noise on
    the features. Observation: the task's features, standardised by the training tasks' mean and deviation; for each
    candidate 1 if it was evaluated; for each evaluated candidate its improvement, else 0; the largest improvement; the
    remaining fraction of the budget. In training tasks only, the features have normal noise of standard deviation
    `jitter`, drawn for each episode.
    """

    steps_are_evaluations = True

    def __init__(self, name: str, parameter: str, horizon: int, table: ScoreTable, jitter: float = 0.0) -> None:
        n_candidates = len(table.candidates)
        if horizon > n_candidates:
            raise UsageError(
                f"{name}: horizon [evaluations] must be at most {n_candidates}, the number of candidates, not {horizon}"
            )
        if not 0 <= jitter < np.inf:
            raise UsageError(f"{name}: jitter must be finite and not negative, not {jitter}")
        self.table, self.parameter, self.jitter = table, parameter, jitter
        train_features = table.features[: table.n_train]
        self._centre, self._spread = train_features.mean(0), np.maximum(train_features.std(0), 1e-9)
        self._improvement = torch.from_numpy(table.improvement)
        self._features = torch.from_numpy(self.standardised(table.features))
        n_features = table.features.shape[1]
        self._parts = (1, 1, n_candidates, n_features)
        self.invalid_action_slice = slice(n_features, n_features + n_candidates)
        first_test = table.n_train + table.n_validation
        largest = max(1.0, float(np.abs(table.improvement).max()))
        low = [-MAX_FEATURE] * n_features + [0.0] * n_candidates + [-largest] * n_candidates + [0.0] * 2
        high = [MAX_FEATURE] * n_features + [1.0] * n_candidates + [largest] * (n_candidates + 1) + [1.0]
        super().__init__(
            name=name,
            horizon=horizon,
            observation_space=gym.spaces.Box(np.array(low, np.float32), np.array(high, np.float32)),
            action_space=gym.spaces.Discrete(n_candidates),
            observation_scale=[1.0] * len(low),
            parameters={parameter: Integer(0, table.n_train - 1)},
            validation={parameter: Integer(table.n_train, first_test - 1)} if table.n_validation else {},
            test={parameter: Integer(first_test, len(table.names) - 1)},
            nominal={parameter: 0},
        )

    def with_new_task(self, name: str, features: NDArray[np.float64], horizon: int) -> "LookupTasks":
        """Return the family with one more held-out task, the last one, without scores; see `record_score`.

        Args:
            name: name of the task, different from the others.
            features: meta-features [feature], in the units of `ScoreTable.features`.
            horizon: budget per episode of the new family [evaluations].
        """
        table = self.table
        extended = replace(
            table,
            names=(*table.names, name),
            improvement=np.concatenate([table.improvement, np.zeros((1, len(table.candidates)))]),
            features=np.concatenate([table.features, features[None]]),
        )
        return LookupTasks(self.name, self.parameter, horizon, extended, self.jitter)

    def record_score(self, row: int, candidate: int, improvement: float) -> None:
        """Record the improvement of a candidate on a new task; call it before the step that evaluates the candidate."""
        self._improvement[row, candidate] = improvement

    def standardised(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return features [..., feature] as the agent observes them."""
        return np.clip((features - self._centre) / self._spread, -MAX_FEATURE, MAX_FEATURE)

    def check_tasks(self, tasks: object, n_tasks: int) -> Tasks:
        """Check tasks as the base class does; also raise UsageError for numbers that are not rows of the table."""
        tasks = super().check_tasks(tasks, n_tasks)
        check_indices(f"{self.name}: {self.parameter}", tasks[self.parameter], len(self.table.names))
        return tasks

    def improvement_of(self, tasks: Tasks) -> Float64[Tensor, "lane act"]:
        """Return the improvement of each candidate on each task."""
        rows = tasks[self.parameter].long()
        return self._improvement.to(rows.device)[rows]

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Return the state before any evaluation."""
        zeros = torch.zeros(len(tasks), 2 + len(self.table.candidates), dtype=torch.float64, device=generator.device)
        shape = (len(tasks), self._features.shape[1])
        noise = torch.randn(shape, dtype=torch.float64, device=generator.device, generator=generator)
        is_training = (tasks[self.parameter] < self.table.n_train).to(noise)
        return torch.cat([zeros, self.jitter * is_training[:, None] * noise], dim=1)

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return the features of the task and the evaluations so far."""
        best, step, evaluated, noise = state.split(self._parts, dim=1)
        features = self._features.to(state.device)[tasks[self.parameter].long()] + noise
        features = features.clamp(-MAX_FEATURE, MAX_FEATURE)
        return torch.cat(
            [features, evaluated, evaluated * self.improvement_of(tasks), best, 1 - step / self.horizon], dim=1
        )

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Evaluate one candidate."""
        best, step, evaluated, noise = state.split(self._parts, dim=1)
        found = torch.maximum(best, self.improvement_of(tasks).gather(1, action[:, None]))
        state = torch.cat([found, step + 1, evaluated.scatter(1, action[:, None], 1.0), noise], dim=1)
        return state, (found - best)[:, 0], torch.zeros(len(state), dtype=torch.bool, device=state.device)
