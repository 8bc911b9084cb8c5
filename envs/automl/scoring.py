"""Scores of pipelines on a dataset: stratified 5-fold cross-validation, the same for the table and a user's data."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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


def any_class(classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the balanced accuracy [fold] of always predicting one class of the held-out rows."""
    return np.array([1 / len(np.unique(classes[held])) for _, held in folds(classes)])


def score(make: "Callable[[], Pipeline]", frame: "pd.DataFrame", classes: NDArray[np.int64]) -> PipelineScores:
    """Fit a fresh pipeline in every fold and score the pipeline on the held-out rows; see `score_all`."""
    return score_all([make], frame, classes)[0]


def score_all(
    factories: "Sequence[Callable[[], Pipeline]]", frame: "pd.DataFrame", classes: NDArray[np.int64]
) -> list[PipelineScores]:
    """Score several pipelines; shared preprocessing is fitted once per fold and counted in the time of each pipeline.

    A fold that raises scores as the majority class, the user's fallback. Warnings (no convergence within the allowed
    steps, collinear columns) are ignored as a property of the algorithm's settings.

    Args:
        factories: functions that return unfitted pipelines of `algorithms`: preprocessing, then a classifier.
        frame: a `plain` table [row, column].
        classes: classes [row], numbered from 0.
    """
    accuracy, balanced = np.zeros((2, len(factories), N_FOLDS))
    seconds, failures = np.zeros(len(factories)), [""] * len(factories)
    fallback = majority(classes)
    for fold, (train, held) in enumerate(folds(classes)):
        truth = classes[held]
        present = np.unique(truth)
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
                    correct = np.asarray(classifier.predict(held_inputs)) == truth
            except Exception as error:  # an algorithm may fail on some data with any exception
                failures[index] = failures[index] or describe(error)
                accuracy[index, fold], balanced[index, fold] = fallback[fold], 1 / len(present)
                continue
            accuracy[index, fold] = correct.mean()
            balanced[index, fold] = np.mean([correct[truth == each].mean() for each in present])
    return [PipelineScores(*parts) for parts in zip(accuracy, balanced, map(float, seconds), failures, strict=True)]
