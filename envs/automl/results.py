"""Cross-validated results of algorithms on a user's dataset."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.automl.metrics import Metric, sign
from envs.automl.scoring import PipelineScores


@dataclass(frozen=True)
class AlgorithmResult:
    """Cross-validated result of an algorithm."""

    name: str
    evaluation: int | None
    """Number of the evaluation in which the algorithm was proposed, from 1; None: evaluated for comparison only."""
    scores: PipelineScores
    metric: Metric
    """Metric of the ranking."""
    by_fold: NDArray[np.float64]
    """Metric of each fold [fold]; NaN in a fold in which it is undefined."""
    constant: PipelineScores
    """Scores of always predicting the most frequent class."""
    constant_by_fold: NDArray[np.float64]
    """Metric of the constant prediction [fold]."""

    @property
    def mean(self) -> float:
        """Mean of the metric over folds."""
        return float(np.nanmean(self.by_fold))

    @property
    def gain(self) -> float:
        """Improvement of the metric over a constant prediction; positive is better for every metric."""
        return sign(self.metric) * float(np.nanmean(self.by_fold) - np.nanmean(self.constant_by_fold))

    @property
    def observed_gain(self) -> float:
        """Gain that the selector observes.

        The selector was trained on gains in accuracy. It observes those in balanced accuracy where this is the metric,
        because class weights cost accuracy.
        """
        if self.metric == "balanced_accuracy":
            return self.gain
        return float(self.scores.accuracy.mean() - self.constant.accuracy.mean())

    @property
    def is_majority(self) -> bool:
        """Whether the algorithm predicts the most frequent class for every row."""
        return not self.scores.failure and np.array_equal(self.scores.predicted, self.constant.predicted)

    @property
    def n_rows(self) -> int:
        """Number of rows of all folds [rows]."""
        return len(self.constant.predicted)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean over folds, computed as if the folds were independent."""
        return standard_error(self.by_fold)

    def to_json(self) -> dict[str, object]:
        """Return the result as a JSON object."""
        folds = {"accuracy": self.scores.accuracy, "balanced_accuracy": self.scores.balanced, self.metric: self.by_fold}
        return {
            "algorithm": self.name,
            "evaluation": self.evaluation,
            "rows": self.n_rows,
            **{metric: float(np.nanmean(values)) for metric, values in folds.items()},
            "standard_error": self.standard_error,
            "gain": self.gain,
            "observed_gain": self.observed_gain,
            "seconds": self.scores.seconds,
            **{f"{metric}_by_fold": _defined(values) for metric, values in folds.items()},
            "only_predicts_majority": self.is_majority,
            "failure": self.scores.failure or None,
        }


def ranked(results: Iterable[AlgorithmResult]) -> list[AlgorithmResult]:
    """Sort results on the same rows from best to worst; algorithms that failed in a fold come last."""
    return sorted(results, key=lambda each: (bool(each.scores.failure), -each.gain))


def named(results: Sequence[AlgorithmResult], name: str) -> AlgorithmResult | None:
    """Return the result of an algorithm, if it was evaluated."""
    return next((each for each in results if each.name == name), None)


def standard_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of a mean over folds."""
    defined = values[~np.isnan(values)]
    return float(defined.std(ddof=1) / len(defined) ** 0.5) if len(defined) > 1 else 0.0


def difference(one: AlgorithmResult, other: AlgorithmResult) -> dict[str, float]:
    """Return the mean difference of the metric between two algorithms, paired by folds, with its standard error."""
    by_fold = one.by_fold - other.by_fold
    return {"mean": float(np.nanmean(by_fold)), "standard_error": standard_error(by_fold)}


def _defined(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
