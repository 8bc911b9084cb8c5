"""Metrics of the ranking, from out-of-fold predictions."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics
from sklearn.model_selection import StratifiedKFold, cross_val_score

from envs.automl import algorithms, frames, metrics, scoring
from tests.support.frames import mixed

SCORERS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "roc_auc": "roc_auc_ovr",
    "average_precision": "average_precision",
    "log_loss": "neg_log_loss",
}


def dataset(n_classes):
    rng = np.random.default_rng(0)
    classes = np.sort(rng.permutation(np.arange(150) % n_classes))
    classes = np.where(rng.random(150) < 0.3, 0, classes)  # class 0 is the most frequent
    frame = pd.DataFrame(rng.normal(size=(150, 3)) + 0.7 * classes[:, None], columns=list("abc"))
    return frames.plain(frame), classes


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("metric", metrics.METRICS)
def test_metrics_equal_scikit_learns_cross_validation(metric, n_classes):
    frame, classes = dataset(n_classes)

    def make():
        return algorithms.algorithm_pipeline("gaussian_nb", frame)

    found = scoring.score(make, frame, classes, outputs=True).by_fold(metric, classes)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    expected = cross_val_score(make(), frame, classes, cv=folds, scoring=SCORERS[metric])
    np.testing.assert_allclose(found, metrics.sign(metric) * expected, rtol=1e-9)


def test_average_precision_is_that_of_the_rarer_class():
    assert metrics.one_vs_rest_classes("average_precision", np.array([30, 70])) == [0]
    assert metrics.one_vs_rest_classes("average_precision", np.array([70, 30])) == [1]
    assert metrics.one_vs_rest_classes("average_precision", np.array([5, 5])) == [1]
    assert metrics.one_vs_rest_classes("roc_auc", np.array([30, 70])) == [1]
    assert metrics.one_vs_rest_classes("roc_auc", np.array([3, 7, 5])) == [0, 1, 2]


def test_constant_prediction():
    """Of 60 and 40 rows: accuracy 0.6, AUC and balanced accuracy 1/2, precision 0.4, the entropy of (0.6, 0.4)."""
    classes = np.repeat([0, 1], [60, 40])
    constant = scoring.constant(classes)
    entropy = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4))
    for metric, value in zip(metrics.METRICS, (0.6, 0.5, 0.5, 0.4, entropy), strict=True):
        np.testing.assert_allclose(constant.by_fold(metric, classes), value, err_msg=metric)


def test_folds_without_a_class():
    """A class of two rows is in two of five folds. In the others it does not count, for two classes nothing is left."""
    outputs = np.tile([0.9, 0.1], (60, 1))
    scores = scoring.PipelineScores(np.zeros(5), np.zeros(5), 0.0, outputs=outputs)
    values = scores.by_fold("roc_auc", np.array([1, 1] + 58 * [0]))
    assert np.isnan(values).sum() == 3 and np.nanmean(values) == 0.5
    three = scoring.PipelineScores(np.zeros(5), np.zeros(5), 0.0, outputs=np.full((62, 3), 1 / 3))
    classes = np.array([2, 2] + 30 * [0, 1])
    assert three.by_fold("roc_auc", classes).tolist() == [0.5] * 5
    assert three.by_fold("log_loss", classes) == pytest.approx(np.log(3))


@pytest.mark.slow
@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_every_algorithm_has_outputs_and_probabilities(name):
    frame, classes = mixed()
    plain = frames.plain(frame)

    def ranked_by(metric, make):
        scores = scoring.score(make, plain, classes, outputs=True)
        assert not scores.failure
        return float(scores.by_fold(metric, classes).mean())

    constant = scoring.constant(classes)
    assert ranked_by("roc_auc", lambda: algorithms.algorithm_pipeline(name, plain)) > 0.6

    def with_probabilities():
        return algorithms.with_probabilities(algorithms.algorithm_pipeline(name, plain))

    outputs = scoring.score(with_probabilities, plain, classes, outputs=True).outputs
    np.testing.assert_allclose(outputs.sum(1), 1)
    assert (outputs >= 0).all()
    if name in ("linear_svm", "rbf_svm", "logistic_regression"):  # calibrated, or fitted by the log loss
        assert ranked_by("log_loss", with_probabilities) < constant.by_fold("log_loss", classes).mean()


def test_outputs_that_are_not_finite_are_a_failure():
    class Broken:
        classes_ = np.arange(2)

        def decision_function(self, rows):
            return np.full(len(rows), np.nan)

    with pytest.raises(ValueError, match="not finite"):
        metrics.class_outputs(Broken(), np.zeros((3, 1)))


def test_decision_values_of_two_classes():
    class Decides:
        def decision_function(self, rows):
            return np.asarray(rows, dtype=float)

    truth = np.array([0, 1, 1, 0])
    outputs = metrics.class_outputs(Decides(), [-2.0, 3.0, 0.5, 1.0])
    assert metrics.metric_of_outputs("roc_auc", truth, outputs, [1]) == 0.75
    assert metrics.metric_of_outputs("average_precision", truth, outputs, [0]) == pytest.approx(
        sklearn_metrics.average_precision_score(truth == 0, [2.0, -3.0, -0.5, -1.0])
    )
