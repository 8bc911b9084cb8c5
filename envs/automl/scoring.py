"""Scores of pipelines on a dataset: stratified 5-fold cross-validation, the same for the table and a user's data."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.automl.metrics import NEED_OUTPUTS, Metric, class_outputs, metric_of_outputs, one_vs_rest_classes
from qrl.common.errors import describe

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

N_FOLDS = 5
FOLD_SEED = 0


@dataclass(frozen=True)
class PipelineScores:
    """Scores of one pipeline on one dataset."""

    accuracy: NDArray[np.float64]
    """Accuracy on the held-out rows [fold]; that of the majority class where the pipeline failed."""
    balanced: NDArray[np.float64]
    """Balanced accuracy on the held-out rows [fold]: mean over classes of the recall; 1 / classes where it failed."""
    seconds: float
    """Time to fit in all folds, including preprocessing [s]."""
    failure: str = ""
    """One line about the first fold that failed; empty if none did."""
    predicted: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Class that is predicted for each row while the row is held out [row]."""
    outputs: NDArray[np.float64] | None = None
    """Output for each class, while the row is held out [row, class]: see `metrics.class_outputs`; None: not asked."""

    def by_fold(self, metric: Metric, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the metric on the held-out rows [fold]; `classes` are the true classes [row]."""
        if metric not in NEED_OUTPUTS:
            return self.accuracy if metric == "accuracy" else self.balanced
        assert self.outputs is not None
        one_vs_rest = one_vs_rest_classes(metric, np.bincount(classes))
        held_out = (held for _, held in folds(classes))
        return np.array([metric_of_outputs(metric, classes[h], self.outputs[h], one_vs_rest) for h in held_out])


def folds(classes: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the training rows and the held-out rows of each stratified fold.

    Raises:
        ValueError: every class has fewer rows than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold

    splitter = StratifiedKFold(N_FOLDS, shuffle=True, random_state=FOLD_SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer rows than folds is missing in some folds; scores are valid
        return list(splitter.split(np.zeros((len(classes), 1)), classes))


def majority(classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the accuracy [fold] of always predicting the most frequent class of the training rows."""
    return np.array([np.mean(classes[held] == np.bincount(classes[train]).argmax()) for train, held in folds(classes)])


def constant(classes: NDArray[np.int64]) -> PipelineScores:
    """Return the scores of always predicting the most frequent class, with the classes' frequencies as outputs."""
    n_classes = int(classes.max()) + 1
    predicted, outputs = np.zeros(len(classes), dtype=np.int64), np.zeros((len(classes), n_classes))
    for train, held in folds(classes):
        counts = np.bincount(classes[train], minlength=n_classes)
        predicted[held], outputs[held] = counts.argmax(), counts / len(train)
    return _scores(classes, predicted, outputs, 0.0, "")


def score(
    make: "Callable[[], Pipeline]", frame: "pd.DataFrame", classes: NDArray[np.int64], *, outputs: bool = False
) -> PipelineScores:
    """Fit a fresh pipeline in every fold and score the pipeline on the held-out rows; see `score_all`."""
    return score_all([make], frame, classes, outputs=outputs)[0]


def score_all(
    factories: "Sequence[Callable[[], Pipeline]]",
    frame: "pd.DataFrame",
    classes: NDArray[np.int64],
    *,
    outputs: bool = False,
) -> list[PipelineScores]:
    """Score several pipelines; shared preprocessing is fitted once per fold and counted in the time of each pipeline.

    A fold that raises scores as the majority class, the user's fallback. Warnings (no convergence within the allowed
    steps, collinear columns) are ignored as a property of the algorithm's settings.

    Args:
        factories: functions that return unfitted pipelines of `algorithms`: preprocessing, then a classifier.
        frame: a `plain` table [row, column].
        classes: classes [row], numbered from 0.
        outputs: whether to keep the outputs for each class.
    """
    fallback = constant(classes)
    assert fallback.outputs is not None
    predicted = [fallback.predicted.copy() for _ in factories]
    kept = [fallback.outputs.copy() if outputs else None for _ in factories]
    seconds, failures = np.zeros(len(factories)), [""] * len(factories)
    for train, held in folds(classes):
        cache: dict[str, tuple[Any, Any, float]] = {}
        for index, make in enumerate(factories):
            started = time.perf_counter()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    before, classifier = (step for _, step in make().steps)
                    if (key := repr(before)) not in cache:
                        train_inputs = before.fit_transform(frame.iloc[train])
                        cache[key] = train_inputs, before.transform(frame.iloc[held]), time.perf_counter() - started
                    train_inputs, held_inputs, shared = cache[key]
                    started = time.perf_counter()
                    classifier.fit(train_inputs, classes[train])
                    seconds[index] += shared + time.perf_counter() - started
                    labels = np.asarray(classifier.predict(held_inputs))
                    if (out := kept[index]) is not None:
                        out[held] = class_outputs(classifier, held_inputs)
                    predicted[index][held] = labels
            except Exception as error:  # an algorithm may fail on some data with any exception
                failures[index] = failures[index] or describe(error)
    parts = zip(predicted, kept, map(float, seconds), failures, strict=True)
    return [_scores(classes, *each) for each in parts]


def _scores(
    classes: NDArray[np.int64],
    predicted: NDArray[np.int64],
    outputs: NDArray[np.float64] | None,
    seconds: float,
    failure: str,
) -> PipelineScores:
    """Compute accuracy and balanced accuracy of each fold from the predictions for held-out rows."""
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    parts = [(classes[held], predicted[held]) for _, held in folds(classes)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is predicted in a fold without rows of this class
        balanced = np.array([balanced_accuracy_score(*each) for each in parts])
    accuracy = np.array([accuracy_score(*each) for each in parts])
    return PipelineScores(accuracy, balanced, seconds, failure, predicted, outputs)
