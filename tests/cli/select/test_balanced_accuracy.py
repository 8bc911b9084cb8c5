"""`run.py select --balance`: classes that are worth the same."""

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
def test_classes_that_are_worth_the_same(file, monkeypatch, capsys):
    """Balanced accuracy decides, is told to the selector, and comes out of the script again."""
    monkeypatch.setattr(rl2.RL2, "act_deterministically", proposing_only("logistic_regression", "knn"))
    rewards, observe = [], rl2.RL2.observe
    watched = lambda self, state, action, reward, *rest: (  # noqa: E731
        rewards.append(float(reward)) or observe(self, state, action, reward, *rest)
    )
    monkeypatch.setattr(rl2.RL2, "observe", watched)
    assert run_select(file, "--target", "y", "--tries", "2", "--balance") == 0
    told = capsys.readouterr().out
    about = json.loads(Path("select-data/best.json").read_text())
    assert about["decides"] == "balanced_accuracy"
    means = [each["balanced_accuracy"] for each in about["ranking"]]
    assert means == sorted(means, reverse=True)
    assert [each["gain"] for each in about["ranking"]] == pytest.approx([mean - 1 / 3 for mean in means])
    tried = sorted((each for each in about["ranking"] if each["try"]), key=lambda each: each["try"])
    assert np.cumsum(rewards) == pytest.approx(np.maximum.accumulate([each["gain"] for each in tried]), abs=1e-6)
    assert "balanced  ± s.e.  accuracy" in told
    assert "best of those proposed: logistic_regression, balanced accuracy" in told
    assert about["best_single"]["algorithm"] == "random_forest", "the best of those that can be told"
    assert "class_weight='balanced'" in Path("select-data/best.py").read_text()
    done = subprocess.run(
        [sys.executable, "-I", "select-data/best.py"], capture_output=True, text=True, check=False, cwd=file.parent
    )
    said = f"balanced accuracy in 5-fold cross-validation: {about['best']['balanced_accuracy']:.6f}"
    assert said in done.stdout, done.stderr


@pytest.mark.slow
def test_which_algorithms_can_be_told_that_classes_are_worth_the_same():
    assert [name for name in algorithms.ALGORITHMS if not algorithms.balances(name)] == ["knn", "mlp"]
    rng = np.random.default_rng(0)
    classes = (rng.random(400) < 0.1).astype(int)
    frame = pd.DataFrame(rng.normal(size=(400, 3)) + 0.8 * classes[:, None], columns=list("abc"))
    for name in algorithms.ALGORITHMS:
        plain = scoring.score(lambda name=name: algorithms.pipeline(name, frame), frame, classes)
        told = scoring.score(lambda name=name: algorithms.balance(algorithms.pipeline(name, frame), 2), frame, classes)
        assert not told.failure
        if name in ("knn", "mlp", "nearest_centroid"):  # the last one thinks so by itself
            np.testing.assert_array_equal(told.accuracy, plain.accuracy)
        elif name in ("logistic_regression", "lda", "qda", "gaussian_nb", "linear_svm", "rbf_svm"):
            assert told.balanced.mean() > plain.balanced.mean() + 0.1, name
        else:
            assert (told.accuracy != plain.accuracy).any(), name


def test_a_constant_gains_nothing_where_folds_lack_a_class():
    classes = np.array([1, 1] + 58 * [0])
    frame = pd.DataFrame({"a": np.zeros(60)})
    scored = scoring.score(lambda: algorithms.pipeline("decision_tree", frame), frame, classes)
    assert scored.balanced.mean() == pytest.approx(0.8) == scoring.any_class(classes).mean()
    np.testing.assert_allclose(scoring.any_class(np.arange(60) % 3), 1 / 3)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("share", "told"), [(0.7, False), (0.9, True)])
def test_classes_of_very_unequal_size_are_told(tmp_path, monkeypatch, capsys, share, told):
    monkeypatch.chdir(tmp_path)
    classes = np.arange(100) >= 100 * share
    pd.DataFrame({"a": np.random.default_rng(0).normal(size=100), "y": classes}).to_csv("x.csv", index=False)
    assert run_select("x.csv", "--target", "y", "--tries", "1", "--no-compare") == 0
    assert ("with --balance every class is worth the same" in capsys.readouterr().out) == told
