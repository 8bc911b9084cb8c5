"""Cross-validation of algorithms on a user's dataset, by one metric and within one time budget."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from envs.automl import scoring
from envs.automl.algorithms import algorithm_pipeline, weight_classes_equally, with_probabilities
from envs.automl.family import shipped_table
from envs.automl.metrics import NEED_OUTPUTS, Metric
from envs.automl.reading import UserDataset
from envs.automl.results import AlgorithmResult
from envs.automl.time_limit import OutOfTime, TimeBudget, relative_durations

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_QUADRATIC = frozenset({"knn", "rbf_svm"})
"""Algorithms whose time grows with the square of the number of rows."""


@dataclass(frozen=True)
class Started:
    """Event: the evaluation of an algorithm starts."""

    name: str
    n_rows: int
    seconds: float
    """Expected duration [s]; 0: unknown."""


Event = Started | AlgorithmResult


class Evaluator:
    """Evaluations of algorithms on one dataset."""

    def __init__(self, dataset: UserDataset, metric: Metric, budget: TimeBudget) -> None:
        self.dataset, self.metric, self.budget = dataset, metric, budget
        self.left_out: list[str] = []
        """Evaluations that were left out or ended because of the budget, as phrases."""
        self._seconds: dict[str, float] = {}
        known = shipped_table().algorithms
        self._relative = dict(zip(known.choices, relative_durations(known.seconds), strict=True))

    def pipeline(self, name: str) -> "Pipeline":
        """Build the unfitted pipeline of an algorithm, as the metric needs it."""
        unfitted = algorithm_pipeline(name, self.dataset.frame)
        if self.metric == "balanced_accuracy":
            return weight_classes_equally(unfitted, len(self.dataset.names))
        return with_probabilities(unfitted) if self.metric == "log_loss" else unfitted

    def expected_seconds(self, name: str, n_rows: int) -> float:
        """Predict the time of an evaluation [s]: from its time on the sample, or else from that of other algorithms."""
        if not self._seconds:
            return 0.0
        speed = float(np.median([seconds / self._relative[each] for each, seconds in self._seconds.items()]))
        ratio = n_rows / len(self.dataset.sample)
        seconds = self._seconds.get(name, speed * self._relative[name])
        return float(seconds * ratio ** (2 if name in _QUADRATIC else 1))

    def _has_time(self, seconds: float, share: float) -> bool:
        """Return whether an evaluation may start; beyond the share only if no algorithm can be scored on all rows."""
        if self.budget.allows(seconds, share):
            return True
        of_all = (self.expected_seconds(name, len(self.dataset.classes)) for name in self._seconds)
        return self.budget.allows(seconds) and not any(map(self.budget.allows, of_all))

    def evaluate(
        self, rows: NDArray[np.int64], candidates: Sequence[tuple[str, int | None]], share: float = 1.0
    ) -> Iterator[Event]:
        """Yield the start and the result of each algorithm that the budget allows.

        Args:
            rows: rows on which the algorithms are cross-validated.
            candidates: names, and numbers of the evaluations.
            share: share of the budget within which an evaluation must end to be started.
        """
        classes = self.dataset.classes[rows]
        frame = self.dataset.frame if len(rows) == len(self.dataset.frame) else self.dataset.frame.iloc[rows]
        constant, outputs = scoring.constant(classes), self.metric in NEED_OUTPUTS
        where = f"on {len(rows)} rows"
        for name, evaluation in candidates:
            first, seconds = not self._seconds, self.expected_seconds(name, len(rows))
            if not first and not self._has_time(seconds, share):
                left = max(0.0, self.budget.left(share))
                about = f"which would take about {seconds:.1f} s; {left:.1f} s were left"
                self.left_out.append(f"{name} {where}, {about}")
                continue
            yield Started(name, len(rows), seconds)
            try:
                with (TimeBudget(None) if first else self.budget).enforced():
                    scores = scoring.score(partial(self.pipeline, name), frame, classes, outputs=outputs)
            except OutOfTime:
                self.left_out.append(f"{name} {where}, which was not finished")
                continue
            if len(rows) == len(self.dataset.sample):
                self._seconds[name] = scores.seconds
            by_fold, of_constant = (each.by_fold(self.metric, classes) for each in (scores, constant))
            yield AlgorithmResult(name, evaluation, scores, self.metric, by_fold, constant, of_constant)
