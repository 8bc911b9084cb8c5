"""Metrics by which classifiers are ranked, from predictions on held-out rows.

With more than two classes, ROC AUC and average precision are means over the classes, each against the rest; a class
without held-out rows is not counted.
"""

import inspect
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

Metric = Literal["accuracy", "balanced_accuracy", "roc_auc", "average_precision", "log_loss"]
METRICS: tuple[Metric, ...] = get_args(Metric)
NEED_OUTPUTS: frozenset[Metric] = frozenset({"roc_auc", "average_precision", "log_loss"})
"""Metrics of an output per class: a probability, or, for ROC AUC and average precision, a decision value."""

_SCORER = """{functions}
def scorer(model, rows, classes):
    truth = np.searchsorted(model.classes_, classes)
    return metric_of_outputs({metric!r}, truth, class_outputs(model, rows), {one_vs_rest!r})


"""


CONSTANT: dict[Metric, str] = {
    "accuracy": "always predicting the most frequent class",
    "balanced_accuracy": "always predicting one class",
    "roc_auc": "equal outputs for all rows",
    "average_precision": "equal outputs for all rows",
    "log_loss": "predicting the frequencies of the classes",
}
"""Constant prediction to which gains are relative."""


def sign(metric: Metric) -> float:
    """Return 1 if larger values are better, else -1."""
    return -1.0 if metric == "log_loss" else 1.0


def one_vs_rest_classes(metric: Metric, counts: NDArray[np.int64]) -> list[int]:
    """Return the classes over which ROC AUC and average precision are averaged.

    Args:
        metric: the metric.
        counts: rows of each class [class]. Of two classes, average precision is that of the rarer one, the class that
            one usually searches for; ROC AUC is the same for both.
    """
    if len(counts) > 2:
        return list(range(len(counts)))
    return [int(counts[1] <= counts[0])] if metric == "average_precision" else [1]


def class_outputs(model: "ClassifierMixin", rows: object) -> NDArray[np.float64]:
    """Return the probabilities of a fitted classifier, or else its decision values [row, class].

    Raises:
        ValueError: an output is not finite.
    """
    predict = getattr(model, "predict_proba", None) or model.decision_function
    outputs = np.asarray(predict(rows), dtype=float)
    if not np.isfinite(outputs).all():
        raise ValueError("an output for a class is not finite")
    return np.column_stack([-outputs, outputs]) if outputs.ndim == 1 else outputs


def metric_of_outputs(
    metric: "Metric", truth: NDArray[np.int64], outputs: NDArray[np.float64], one_vs_rest: list[int]
) -> float:
    """Return ROC AUC, average precision or the log loss [nat].

    Args:
        metric: one of `NEED_OUTPUTS`.
        truth: class of each row, numbered from 0 [row].
        outputs: output for each class [row, class].
        one_vs_rest: classes over which ROC AUC and average precision are averaged.
    """
    from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

    if metric == "log_loss":
        return float(log_loss(truth, outputs, labels=np.arange(outputs.shape[1])))
    area = roc_auc_score if metric == "roc_auc" else average_precision_score
    present = [each for each in one_vs_rest if 0 < np.sum(truth == each) < len(truth)]
    return float(np.mean([area(truth == each, outputs[:, each]) for each in present])) if present else float("nan")


def scorer_source(metric: Metric, counts: NDArray[np.int64]) -> str:
    """Return the source of `scorer(model, rows, classes)`, which needs NumPy as `np` and scikit-learn only.

    Args:
        metric: one of `NEED_OUTPUTS`.
        counts: rows of each class [class].
    """
    functions = f"{inspect.getsource(class_outputs)}\n\n{inspect.getsource(metric_of_outputs)}\n"
    functions = functions.replace("NDArray[np.float64]", "np.ndarray").replace("NDArray[np.int64]", "np.ndarray")
    one_vs_rest = one_vs_rest_classes(metric, counts)
    return _SCORER.format(functions=functions, metric=metric, one_vs_rest=one_vs_rest)
