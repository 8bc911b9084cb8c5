"""`run.py select`: metrics of the ranking, all rows, the time budget, replacing a selection."""

import dataclasses
import json
import signal
import time
import typing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agents import rl2
from agents.select import search
from agents.select.options import SelectOptions
from envs.automl import scoring
from envs.automl.evaluation import Evaluator
from envs.automl.metrics import METRICS
from envs.automl.reading import read_dataset
from tests.support.select_command import proposing_only, rows, run_select


def best_py(folder: str = "select-data") -> dict:
    names: dict = {"__name__": "best"}
    exec(compile(Path(folder, "best.py").read_text(), "best.py", "exec"), names)
    return names


def about(folder: str = "select-data") -> dict:
    return json.loads(Path(folder, "best.json").read_text())


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "log_loss"])
def test_ranking_by_other_metrics(file, monkeypatch, capsys, metric, n_classes):
    """The ranking is by the metric, the selector observes gains in accuracy, and best.py has the same score."""
    frame = rows(200)
    if n_classes == 2:
        frame["y"] = np.where(frame["y"] == "small", "usual", "rare")
    frame.to_csv(file, index=False)
    monkeypatch.setattr(rl2.RL2, "act_deterministically", proposing_only("linear_svm", "gaussian_nb"))
    rewards, observe = [], rl2.RL2.observe
    watched = lambda self, state, action, reward, *rest: (  # noqa: E731
        rewards.append(float(reward)) or observe(self, state, action, reward, *rest)
    )
    monkeypatch.setattr(rl2.RL2, "observe", watched)
    assert run_select(file, "--target", "y", "--evaluations", "2", "--metric", metric, "--no-compare") == 0
    found, printed = about(), capsys.readouterr().out
    assert found["ranked_by"] == metric
    better = -1 if metric == "log_loss" else 1
    values = [better * each[metric] for each in found["ranking"]]
    assert values == sorted(values, reverse=True) and all(each["gain"] > 0 for each in found["ranking"])
    proposed = sorted(found["ranking"], key=lambda each: each["evaluation"])
    share = scoring.constant(np.unique(frame["y"], return_inverse=True)[1]).accuracy.mean()
    gains = [each["accuracy"] - share for each in proposed]
    assert np.cumsum(rewards) == pytest.approx(np.maximum.accumulate([max(0, each) for each in gains]), abs=1e-6)
    names = best_py()
    assert names["score"](*names["dataset"]()) == pytest.approx(found["best"][metric], abs=1e-9)
    low, high = (found["expected_on_new_rows"][end] for end in ("low", "high"))
    assert low < found["best"][metric] < high
    rare = "note: average precision is that of the rarer class, 'rare'"
    assert (rare in printed) == (metric == "average_precision" and n_classes == 2)


@pytest.mark.usefixtures("file")
def test_algorithms_without_probabilities_are_calibrated(monkeypatch):
    monkeypatch.setattr(rl2.RL2, "act_deterministically", proposing_only("linear_svm"))
    options = ("--target", "y", "--evaluations", "1", "--metric", "log_loss", "--no-compare")
    assert run_select("data.csv", *options) == 0
    source = Path("select-data/best.py").read_text()
    assert "CalibratedClassifierCV(cv=3, ensemble=False, estimator=LinearSVC(random_state=0))" in source
    names = best_py()
    model = names["fit"]()
    probabilities = model.predict_proba(names["columns"]("data.csv"))
    np.testing.assert_allclose(probabilities.sum(1), 1)


def test_every_metric_is_an_option():
    assert typing.get_args(typing.get_type_hints(SelectOptions)["metric"]) == METRICS


@pytest.mark.usefixtures("in_empty_folder")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--balance",), "unknown option --balance; use --metric balanced_accuracy"),
        (("--metric", "roc_aux"), "--metric"),
        (("--time-budget", "0"), "--time-budget must be positive"),
        (("--time-budget", "nan"), "--time-budget is nan: a finite number is needed"),
    ],
)
def test_unusable_options(options, message, capsys):
    assert run_select("x.csv", "--target", "y", *options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    if options[0] == "--metric":
        assert "roc_auc" in error


def test_best_of_the_sample_are_compared_on_all_rows(scores, tmp_path, monkeypatch, capsys):
    """On the sample mlp is the best and gradient_boosting the third; on all rows gradient_boosting is the best."""
    monkeypatch.chdir(tmp_path)
    known, asked = scores
    rows(400).to_csv("data.csv", index=False)
    score, sizes = scoring.score, []

    def on_all_rows(make, frame, classes, **options):
        scored = score(make, frame, classes, **options)
        sizes.append(len(frame))
        return dataclasses.replace(scored, accuracy=scored.accuracy + (0.2 if make() == "gradient_boosting" else 0.1))

    monkeypatch.setattr(scoring, "score", lambda *a, **k: (on_all_rows if len(a[1]) == 400 else score)(*a, **k))
    assert run_select("data.csv", "--target", "y", "--evaluations", "14", "--rows", "100") == 0
    assert asked[14:] == ["mlp", "gradient_boosting", "ada_boost"] and sizes == [400] * 3
    found, printed = about(), capsys.readouterr().out
    assert [each["algorithm"] for each in found["ranking"]] == ["gradient_boosting", "mlp", "ada_boost"]
    assert {each["rows"] for each in found["ranking"]} == {400} and found["best"]["rows"] == 400
    assert len(found["screening"]) == 14 and {each["rows"] for each in found["screening"]} == {100}
    assert found["screening"][0]["algorithm"] == "mlp" == found["best_proposed"]["algorithm"]
    assert found["expected_on_new_rows"]["n_candidates"] == 3
    assert "screening, on a sample of 100 rows:" in printed and "on all 400 rows:" in printed
    accuracy = known["gradient_boosting"] + 0.2
    assert f"recommended: gradient_boosting, accuracy {accuracy:.4f} in cross-validation on 400 rows" in printed


@pytest.mark.usefixtures("quick")
def test_script_measures_on_all_rows_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows(300).to_csv("data.csv", index=False)
    assert run_select("data.csv", "--target", "y", "--evaluations", "2", "--rows", "150", "--no-compare") == 0
    names, best = best_py(), about()["best"]
    assert best["rows"] == 300
    assert names["score"](*names["dataset"]()) == pytest.approx(best["accuracy"], abs=1e-9)


def test_recommends_the_comparison_if_it_is_the_best(scores, file, monkeypatch, capsys):
    """With proposals below gradient_boosting, that is recommended, and best.py fits it."""
    known, _ = scores
    monkeypatch.setattr(rl2.RL2, "act_deterministically", proposing_only("gaussian_nb"))
    known |= {"gradient_boosting": 0.9, "mlp": 0.8}
    assert run_select(file, "--target", "y", "--evaluations", "1") == 0
    printed, found = capsys.readouterr().out, about()
    assert found["best"]["algorithm"] == "gradient_boosting" and found["best_proposed"]["algorithm"] == "gaussian_nb"
    assert "recommended: gradient_boosting, accuracy 0.9000" in printed and "to fit gradient_boosting" in printed


def test_prediction_of_the_majority_class_is_called_that(tmp_path, monkeypatch, capsys):
    """Nothing can be learned from random numbers if 95 of 100 rows are of one class."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rl2.RL2, "act_deterministically", proposing_only("rbf_svm"))
    numbers = np.random.default_rng(0).normal(size=100)
    pd.DataFrame({"a": numbers, "y": np.arange(100) % 20 == 7}).to_csv("data.csv", index=False)
    assert run_select("data.csv", "--target", "y", "--evaluations", "1", "--no-compare") == 0
    printed = capsys.readouterr().out
    assert printed.count("only predicts the most frequent class") == 2 and about()["best"]["only_predicts_majority"]


@pytest.mark.usefixtures("quick")
def test_time_budget(file, monkeypatch, capsys):
    """The first evaluation is finished in any case; what would take longer than the budget is left out, and named."""
    assert run_select(file, "--target", "y", "--evaluations", "2", "--time-budget", "0.001") == 0
    found, printed = about(), capsys.readouterr().out
    assert len(found["ranking"]) == 1 and found["time_budget"] == 0.001
    assert len(found["left_out"]) == 3 and all(
        "on 120 rows, which would take about" in each and each.endswith(" s; 0.0 s were left")
        for each in found["left_out"]
    )
    assert printed.count("left out by --time-budget: ") == 3


def test_running_evaluation_is_ended_at_the_budget(file, monkeypatch, capsys):
    monkeypatch.setattr(rl2.RL2, "act_deterministically", proposing_only("gaussian_nb", "lda"))
    monkeypatch.setattr(Evaluator, "expected_seconds", lambda *_: 0.0)
    score, started = scoring.score, []

    def slow_from_the_second(*arguments, **options):
        if started:
            signal.setitimer(signal.ITIMER_REAL, 0.2, 1.0)  # in place of the rest of a minute
            time.sleep(30)
        started.append(True)
        return score(*arguments, **options)

    monkeypatch.setattr(scoring, "score", slow_from_the_second)
    began = time.monotonic()
    assert run_select(file, "--target", "y", "--evaluations", "2", "--no-compare", "--time-budget", "60") == 0
    assert time.monotonic() - began < 25
    assert len(about()["ranking"]) == 1 and "which was not finished" in about()["left_out"][0]


@pytest.mark.usefixtures("quick")
def test_screening_leaves_time_for_all_rows(tmp_path, monkeypatch):
    """Half of the budget is kept: an evaluation that takes more than that is left out on the sample only."""
    monkeypatch.chdir(tmp_path)
    rows(300).to_csv("data.csv", index=False)
    monkeypatch.setattr(Evaluator, "expected_seconds", lambda self, name, n_rows: 60.0 if n_rows == 150 else 1.0)
    options = ("--evaluations", "2", "--rows", "150", "--no-compare", "--time-budget", "100")
    assert run_select("data.csv", "--target", "y", *options) == 0
    found = about()
    assert [each["rows"] for each in found["ranking"]] == [300] and len(found["screening"]) == 1
    assert len(found["left_out"]) == 1 and "on 150 rows" in found["left_out"][0]


@pytest.mark.usefixtures("quick")
def test_screening_takes_all_the_time_if_all_rows_take_too_long(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows(300).to_csv("data.csv", index=False)
    monkeypatch.setattr(Evaluator, "expected_seconds", lambda self, name, n_rows: 60.0 if n_rows == 150 else 1000.0)
    options = ("--evaluations", "2", "--rows", "150", "--no-compare", "--time-budget", "100")
    assert run_select("data.csv", "--target", "y", *options) == 0
    found = about()
    assert [each["rows"] for each in found["ranking"]] == [150, 150] and found["screening"] is None
    assert len(found["left_out"]) == 2 and all("on 300 rows" in each for each in found["left_out"])


def test_the_next_best_takes_the_place_of_one_for_which_there_is_no_time(tmp_path, monkeypatch):
    """The two best of the sample that the budget allows are scored on all rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rl2.RL2, "act_deterministically", proposing_only("lda", "gaussian_nb", "knn", "decision_tree"))
    rows(300).to_csv("data.csv", index=False)
    options = ("--target", "y", "--evaluations", "4", "--rows", "150", "--no-compare", "--time-budget", "100")
    assert run_select("data.csv", *options) == 0
    first, second, *_ = [each["algorithm"] for each in about()["screening"]]
    assert {each["algorithm"] for each in about()["ranking"]} == {first, second}
    monkeypatch.setattr(Evaluator, "expected_seconds", lambda self, name, n: 1000.0 * (n == 300 and name == first))
    monkeypatch.setattr(search, "_surpassed", lambda *_: False)  # the next test
    assert run_select("data.csv", *options, "--overwrite") == 0
    third = about()["screening"][2]["algorithm"]
    assert {each["algorithm"] for each in about()["ranking"]} == {second, third}
    assert [each.partition(" on ")[0] for each in about()["left_out"]] == [first]


def test_the_best_of_the_sample_is_recommended_if_there_is_no_time_to_show_that_it_is_not_surpassed(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rl2.RL2, "act_deterministically", proposing_only("gaussian_nb", "decision_tree"))
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300))
    pd.DataFrame({"a": a, "b": b, "y": a * b > 0}).to_csv("data.csv", index=False)  # bayes knows nothing of this
    seconds = lambda self, name, n_rows: 1000.0 * (n_rows == 300 and name == "decision_tree")  # noqa: E731
    monkeypatch.setattr(Evaluator, "expected_seconds", seconds)
    options = ("--evaluations", "2", "--rows", "150", "--no-compare", "--time-budget", "100")
    assert run_select("data.csv", "--target", "y", *options) == 0
    found, printed = about(), capsys.readouterr().out
    assert found["best"]["algorithm"] == "decision_tree" and found["screening"] is None
    assert "left out by --time-budget: the comparison on 300 rows: gaussian_nb has" in printed
    assert "recommended: decision_tree" in printed and "cross-validation on 150 rows" in printed


def test_expected_seconds(file):
    """In proportion to algorithms measured on these rows, and to the number of rows, or its square."""
    own = object.__new__(Evaluator)
    own.dataset = dataclasses.replace(read_dataset(file, "y", rows=1000), sample=np.arange(100))
    own._relative, own._seconds = {"lda": 1.0, "mlp": 6.0, "rbf_svm": 2.0}, {}
    assert own.expected_seconds("mlp", 100) == 0.0
    own._seconds = {"lda": 0.5}
    assert own.expected_seconds("mlp", 100) == 3.0 and own.expected_seconds("mlp", 400) == 12.0
    assert own.expected_seconds("rbf_svm", 400) == 16.0
    own._seconds["rbf_svm"] = 4.0
    assert own.expected_seconds("rbf_svm", 200) == 16.0


@pytest.mark.usefixtures("quick")
def test_overwrite(file, capsys):
    """Only a folder with nothing but a selection is replaced."""
    once = (file, "--target", "y", "--evaluations", "1", "--no-compare")
    assert run_select(*once) == 0
    Path("select-data/__pycache__").mkdir()
    before = about()
    assert run_select(*once) == 2
    assert "select-data already exists; choose another --out, or --overwrite to replace" in capsys.readouterr().err
    assert run_select(*once, "--metric", "balanced_accuracy", "--overwrite") == 0
    assert about()["ranked_by"] == "balanced_accuracy" != before["ranked_by"]
    assert sorted(each.name for each in Path("select-data").iterdir()) == ["best.json", "best.py"]
    assert not [each.name for each in Path().iterdir() if each.name.startswith(".")]
    Path("select-data/notes.txt").write_text("mine")
    assert run_select(*once, "--overwrite") == 2
    assert "select-data holds 'notes.txt', not part of a selection" in capsys.readouterr().err
    Path("mine").mkdir()
    assert run_select(*once, "--overwrite", "--out", "mine") == 2
    assert "mine is not the folder of a selection" in capsys.readouterr().err
    assert run_select(*once, "--overwrite", "--out", "new") == 0
