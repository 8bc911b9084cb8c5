"""Cross-validated accuracy of the algorithms of `envs/automl`."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning

from envs.automl import algorithms, frames, scoring
from tests.support.frames import mixed


def test_score_of_the_majority_class():
    classes = np.array([0] * 30 + [1] * 20)
    assert scoring.majority(classes).tolist() == [0.6] * 5


def test_scores_are_on_held_out_rows():
    """A tree that memorises its rows is wrong on all others if every row is a different word."""
    classes = np.arange(50) % 2
    noise = frames.plain(pd.DataFrame({"x": np.random.default_rng(1).normal(size=50)}))
    scored = scoring.score(lambda: algorithms.algorithm_pipeline("decision_tree", noise), noise, classes)
    assert 0.2 < scored.accuracy.mean() < 0.8
    exact = frames.plain(pd.DataFrame({"x": classes + 0.0}))
    scored = scoring.score(lambda: algorithms.algorithm_pipeline("decision_tree", exact), exact, classes)
    assert scored.accuracy.tolist() == [1.0] * 5 and scored.balanced.tolist() == [1.0] * 5 and scored.failure == ""


def test_balanced_accuracy_is_the_mean_over_classes():
    """The majority classifier is right on all rows of its class and none of the other."""
    classes = np.array([0] * 40 + [1] * 10)
    frame = frames.plain(pd.DataFrame({"x": np.zeros(50), "y": np.zeros(50)}))
    scored = scoring.score(lambda: algorithms.algorithm_pipeline("decision_tree", frame), frame, classes)
    assert scored.accuracy.tolist() == [0.8] * 5 and scored.balanced.tolist() == [0.5] * 5


def test_failures_score_as_the_majority_and_report_the_reason():
    classes = np.array([0] * 30 + [1] * 20)
    frame = frames.plain(pd.DataFrame({"x": np.arange(50.0), "y": np.arange(50.0)}))

    def broken():
        return algorithms.algorithm_pipeline("knn", frame).set_params(classifier__n_neighbors=-1)

    good, bad = scoring.score_all([lambda: algorithms.algorithm_pipeline("knn", frame), broken], frame, classes)
    assert bad.accuracy.tolist() == [0.6] * 5 and bad.balanced.tolist() == [0.5] * 5
    assert "n_neighbors" in bad.failure and good.failure == "" and good.accuracy.mean() > 0.9


def test_shared_preprocessing_does_not_change_scores():
    frame, classes = mixed()
    plain = frames.plain(frame)
    names = ("decision_tree", "lda", "rbf_svm", "gradient_boosting")
    makers = [lambda name=name: algorithms.algorithm_pipeline(name, plain) for name in names]
    together = scoring.score_all(makers, plain, classes)
    train, held = scoring.folds(classes)[0]
    for make, scored in zip(makers, together, strict=True):
        direct = make().fit(plain.iloc[train], classes[train]).score(plain.iloc[held], classes[held])
        assert scored.accuracy[0] == direct


def test_scoring_suppresses_warnings_of_algorithms():
    """`score` suppresses them to keep the user's terminal readable."""
    frame, classes = mixed()
    plain = frames.plain(frame)
    with pytest.warns(ConvergenceWarning):
        algorithms.algorithm_pipeline("mlp", plain).fit(plain, classes)
    scoring.score(lambda: algorithms.algorithm_pipeline("mlp", plain), plain, classes)
