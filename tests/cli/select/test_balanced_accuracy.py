"""`run.py select --metric balanced_accuracy`: equally weighted classes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agents import rl2
from envs.automl import algorithms, scoring
from tests.support.select_command import proposing_only, run_select


@pytest.mark.slow
def test_selection_by_balanced_accuracy(file, monkeypatch, capsys):
    """Algorithms are ranked by balanced accuracy, which the selector observes and the script reproduces."""
    monkeypatch.setattr(rl2.RL2, "act_deterministically", proposing_only("logistic_regression", "knn"))
    rewards, observe = [], rl2.RL2.observe
    watched = lambda self, state, action, reward, *rest: (  # noqa: E731
        rewards.append(float(reward)) or observe(self, state, action, reward, *rest)
    )
    monkeypatch.setattr(rl2.RL2, "observe", watched)
    assert run_select(file, "--target", "y", "--evaluations", "2", "--metric", "balanced_accuracy") == 0
    printed = capsys.readouterr().out
    about = json.loads(Path("select-data/best.json").read_text())
    assert about["ranked_by"] == "balanced_accuracy"
    means = [each["balanced_accuracy"] for each in about["ranking"]]
    assert means == sorted(means, reverse=True)
    assert [each["gain"] for each in about["ranking"]] == pytest.approx([mean - 1 / 3 for mean in means])
    proposed = sorted((each for each in about["ranking"] if each["evaluation"]), key=lambda each: each["evaluation"])
    assert np.cumsum(rewards) == pytest.approx(np.maximum.accumulate([each["gain"] for each in proposed]), abs=1e-6)
    assert "balanced_accuracy  ± s.e.  accuracy" in printed
    assert "best proposed algorithm: logistic_regression, balanced accuracy" in printed
    assert about["best_single"]["algorithm"] == "random_forest", "the best of those with class weights"
    assert "class_weight='balanced'" in Path("select-data/best.py").read_text()
    done = subprocess.run(
        [sys.executable, "-I", "select-data/best.py"], capture_output=True, text=True, check=False, cwd=file.parent
    )
    said = f"balanced accuracy in 5-fold cross-validation: {about['best']['balanced_accuracy']:.6f}"
    assert said in done.stdout, done.stderr


@pytest.mark.slow
def test_algorithms_that_support_class_weights():
    assert [name for name in algorithms.ALGORITHMS if not algorithms.supports_class_weights(name)] == ["knn", "mlp"]
    rng = np.random.default_rng(0)
    classes = (rng.random(400) < 0.1).astype(int)
    frame = pd.DataFrame(rng.normal(size=(400, 3)) + 0.8 * classes[:, None], columns=list("abc"))
    for name in algorithms.ALGORITHMS:
        plain = scoring.score(lambda name=name: algorithms.algorithm_pipeline(name, frame), frame, classes)
        with_weights = scoring.score(
            lambda name=name: algorithms.weight_classes_equally(algorithms.algorithm_pipeline(name, frame), 2),
            frame,
            classes,
        )
        assert not with_weights.failure
        if name in ("knn", "mlp", "nearest_centroid"):  # the last one balances classes by itself
            np.testing.assert_array_equal(with_weights.accuracy, plain.accuracy)
        elif name in ("logistic_regression", "lda", "qda", "gaussian_nb", "linear_svm", "rbf_svm"):
            assert with_weights.balanced.mean() > plain.balanced.mean() + 0.1, name
        else:
            assert (with_weights.accuracy != plain.accuracy).any(), name


def test_constant_classifier_gains_nothing_if_folds_lack_a_class():
    classes = np.array([1, 1] + 58 * [0])
    frame = pd.DataFrame({"a": np.zeros(60)})
    scored = scoring.score(lambda: algorithms.algorithm_pipeline("decision_tree", frame), frame, classes)
    assert scored.balanced.mean() == pytest.approx(0.8) == scoring.constant(classes).balanced.mean()
    np.testing.assert_allclose(scoring.constant(np.arange(60) % 3).balanced, 1 / 3)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("share", "noted"), [(0.7, False), (0.9, True)])
def test_imbalanced_classes_are_reported(tmp_path, monkeypatch, capsys, share, noted):
    monkeypatch.chdir(tmp_path)
    classes = np.arange(100) >= 100 * share
    pd.DataFrame({"a": np.random.default_rng(0).normal(size=100), "y": classes}).to_csv("x.csv", index=False)
    assert run_select("x.csv", "--target", "y", "--evaluations", "1", "--no-compare") == 0
    assert ("see --metric balanced_accuracy" in capsys.readouterr().out) == noted
