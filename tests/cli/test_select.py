"""`run.py select`: a CSV file in, a ranking, best.json and a script that does it again."""

import dataclasses
import gzip
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import agents
from agents import rl2
from agents.cli.main import main
from agents.core.spec import Spec
from agents.runs.folder import RunFolder
from agents.select import command as select_command
from agents.select import selector as shipped
from agents.select.report import Fitted, verdict
from agents.select.script import source_of
from envs.automl import algorithms, csv_file, scoring
from envs.automl.cleaning import idle, sample
from envs.automl.reading import read
from qrl.common.errors import UsageError
from tests.support.learners import trained


def rows(n_rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """Numbers, text and gaps; three classes, which the first two columns nearly say."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(3, n_rows, p=[0.6, 0.3, 0.1])
    size = rng.normal(size=n_rows) + 1.5 * classes
    size[::9] = np.nan
    colour = np.where(rng.random(n_rows) < 0.7, np.array(["red", "green", "blue"])[classes], "grey").astype(object)
    colour[::7] = None
    frame = {"id": np.arange(n_rows) + 1, "size": size.round(3), "colour": colour, "noise": rng.normal(size=n_rows)}
    label = np.array(["small", "middle", "large"])[classes]
    return pd.DataFrame({**frame, "nothing": None, "fixed": 3, "name": [f"n{i}" for i in range(n_rows)], "y": label})


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows().to_csv("data.csv", index=False)
    return Path("data.csv")


def here(*arguments: object) -> int:
    return main(["select", *map(str, arguments)])


@pytest.fixture
def scores(monkeypatch):
    """Every algorithm's mean accuracy, by name, in place of a fit; and the names that were asked for."""
    asked, known = [], {name: 0.5 + 0.01 * number for number, name in enumerate(algorithms.ALGORITHMS)}

    def score(make, frame, classes):
        name = make()
        asked.append(name)
        accuracy = known[name] + 0.01 * np.array([-1.0, 0, 0, 0, 1])
        return scoring.Scored(accuracy, accuracy - 0.1, 2.0)

    monkeypatch.setattr(select_command, "pipeline", lambda name, frame: name)
    monkeypatch.setattr(select_command, "script", lambda *_: "")
    monkeypatch.setattr(scoring, "score", score)
    return known, asked


def only(*names: str):
    """A policy to which no other algorithms occur."""
    return ruled_out([index for index, name in enumerate(algorithms.ALGORITHMS) if name not in names])


def ruled_out(which: list[int]):
    """A policy that takes these algorithms for tried."""
    mode, where = rl2.RL2.act_deterministically, select_command.selector_of(None).distribution.unavailable

    def act(self, state, observation):
        observation = observation.clone()
        observation[..., where][..., which] = 1.0
        return mode(self, state, observation)

    return act


@pytest.fixture
def quick(monkeypatch):
    """The selector proposes algorithms that take no time."""
    monkeypatch.setattr(rl2.RL2, "act_deterministically", only("gaussian_nb", "lda"))


# The whole of it.


@pytest.mark.usefixtures("quick")
def test_select_and_what_it_leaves_behind(file, capsys):
    assert here(file, "--target", "y", "--tries", "2", "--no-compare") == 0
    told = capsys.readouterr()
    assert "120 rows, 3 columns to learn from (2 of numbers, 1 of text), 3 classes of 'y'" in told.out
    assert "left out: id: counts the rows" in told.out and "left out: nothing: empty" in told.out
    assert "left out: name: text that hardly ever repeats" in told.out and "left out: fixed: constant" in told.out
    assert "try 1/2: " in told.err and "try 2/2: " in told.err
    assert {each.name for each in Path("select-data").iterdir()} == {"best.json", "best.py"}
    about = json.loads(Path("select-data/best.json").read_text())
    best = about["best"]
    assert best == about["ranking"][0] and best["accuracy"] == max(each["accuracy"] for each in about["ranking"])
    assert best["accuracy"] == pytest.approx(np.mean(best["accuracy_by_fold"]), abs=1e-12)
    assert about["data"]["numbers"] == ["size", "noise"] and about["data"]["text"] == ["colour"]
    assert len(about["selector"]["sha256"]) == 64 and about["packages"]["scikit-learn"]
    # The script knows nothing of this library.
    command = [sys.executable, "-I", "select-data/best.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=file.parent)
    assert done.returncode == 0, done.stderr
    assert f"accuracy in 5-fold cross-validation: {best['accuracy']:.6f}" in done.stdout
    assert "fitted on 120 rows" in done.stdout
    Path("other.csv").write_text("a,b\n1,2\n")
    bad = {"nowhere.csv": "No such file", "other.csv": "has not the columns", "select-data/best.json": "tokenizing"}
    for given, message in bad.items():
        done = subprocess.run([*command, given], capture_output=True, text=True, check=False, cwd=file.parent)
        assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1
    assert here(file, "--target", "y") == 2
    assert "select-data exists: give another --out" in capsys.readouterr().err


@pytest.mark.slow
def test_classes_that_are_worth_the_same(file, monkeypatch, capsys):
    """Balanced accuracy decides, is told to the selector, and comes out of the script again."""
    monkeypatch.setattr(rl2.RL2, "act_deterministically", only("logistic_regression", "knn"))
    rewards, observe = [], rl2.RL2.observe
    watched = lambda self, state, action, reward, *rest: (  # noqa: E731
        rewards.append(float(reward)) or observe(self, state, action, reward, *rest)
    )
    monkeypatch.setattr(rl2.RL2, "observe", watched)
    assert here(file, "--target", "y", "--tries", "2", "--balance") == 0
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


@pytest.mark.usefixtures("here_only")
@pytest.mark.parametrize("cell", ["12.345,67", "$1,234.00", "50.1%", "0.5 kg"])
def test_numbers_written_another_way_are_told(cell):
    lines = [f'"{cell.replace("5", str(i % 10))}",{i % 7},{i % 2}' for i in range(60)]
    notes = read(write("\n".join(["a,b,y", *lines])), "y", rows=1000).notes
    assert any(
        note.startswith("column 'a' is text, though 60 of 60 cells are numbers or look like them") for note in notes
    )


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("share", "told"), [(0.7, False), (0.9, True)])
def test_classes_of_very_unequal_size_are_told(tmp_path, monkeypatch, capsys, share, told):
    monkeypatch.chdir(tmp_path)
    classes = np.arange(100) >= 100 * share
    pd.DataFrame({"a": np.random.default_rng(0).normal(size=100), "y": classes}).to_csv("x.csv", index=False)
    assert here("x.csv", "--target", "y", "--tries", "1", "--no-compare") == 0
    assert ("with --balance every class is worth the same" in capsys.readouterr().out) == told


# What is tried.


@pytest.mark.usefixtures("file")
def test_a_ranking_of_what_was_tried(scores, capsys):
    known, asked = scores
    assert here("data.csv", "--target", "y", "--tries", "14", "--out", "mine") == 0
    assert sorted(asked) == sorted(algorithms.ALGORITHMS), "each of them once"
    about = json.loads(Path("mine/best.json").read_text())
    assert [each["algorithm"] for each in about["ranking"]] == list(algorithms.ALGORITHMS)[::-1]
    assert [each["algorithm"] for each in sorted(about["ranking"], key=lambda each: each["try"])] == asked
    best = about["best"]
    share = (rows()["y"] == "small").mean()
    assert best["accuracy"] == pytest.approx(0.63) and best["balanced_accuracy"] == pytest.approx(0.53)
    assert best["gain"] == pytest.approx(0.63 - share, abs=0.01)
    # Folds at -0.01, 0, 0, 0, +0.01: variance 0.0002 / 4, over 5 folds.
    assert best["standard_error"] == pytest.approx(math.sqrt(0.0002 / 4 / 5))


@pytest.mark.usefixtures("file")
def test_the_best_single_algorithm_is_fitted_to_compare(scores, capsys, monkeypatch):
    known, asked = scores
    family = select_command.selector_of(None).distribution.table
    single = family.candidates[int(np.argmax([family.improvement[: family.n_train][:, a].mean() for a in range(14)]))]
    monkeypatch.setattr(rl2.RL2, "act_deterministically", only(*set(family.candidates) - {single}))
    assert here("data.csv", "--target", "y", "--tries", "1", "--out", "a") == 0
    first = asked[0]
    assert asked == [first, single] and first != single
    out, difference = capsys.readouterr().out, known[first] - known[single]
    assert f"best of those proposed: {first}, accuracy {known[first]:.4f}" in out
    beside = f"accuracy {known[single]:.4f}; difference {difference:+.4f} ± 0.0000"
    assert f"best single algorithm in the datasets trained on: {single}, {beside}" in out
    about = json.loads(Path("a/best.json").read_text())
    assert about["best"]["accuracy"] == pytest.approx(max(known[first], known[single]))
    assert about["best_proposed"]["algorithm"] == first and about["best_single"]["algorithm"] == single
    apart = about["best_single"]["best_proposed_minus_this"]
    assert apart == {"mean": pytest.approx(difference), "standard_error": pytest.approx(0.0, abs=1e-12)}
    asked.clear()
    assert here("data.csv", "--target", "y", "--tries", "1", "--no-compare", "--out", "b") == 0
    assert asked == [first]


@pytest.mark.parametrize(("gain", "told"), [(0.01, False), (0.0, True), (-0.2, True)])
def test_it_is_told_if_nothing_beats_the_most_frequent_class(gain, told):
    fitted = Fitted("lda", 1, scoring.Scored(np.full(5, 0.5), np.full(5, 0.5), 1.0), "accuracy", 0.5 - gain)
    said = list(verdict(fitted, "mlp", None))
    assert ("none of those proposed is better than naming the most frequent class" in said) == told


def test_the_most_probable_algorithm_that_was_not_tried(monkeypatch):
    run_ = select_command.selector_of(None)
    agent = run_.agent
    assert isinstance(agent, rl2.RL2)
    observation = torch.zeros(1, 1, *run_.distribution.observation_space.shape)
    state = agent.begin(1, 1)
    inputs = agent.policy.inputs(observation, state.transition)
    mask = agent.policy.action_mask(observation.flatten(0, 1))
    distribution, _ = agent.policy.act(state.bound, inputs.flatten(0, 1), state.hidden.flatten(0, 1), mask)
    order = distribution["log_probs"][0].argsort(descending=True).tolist()
    assert int(agent.act_deterministically(state, observation)[0]) == order[0]
    for n_tried in range(3):
        observation[..., run_.distribution.unavailable][..., order[:n_tried]] = 1.0
        action, after = agent.act_deterministically(state, observation)
        assert int(action) not in order[:n_tried]
        torch.testing.assert_close(after.hidden, agent.act(state, observation, torch.Generator())[1].hidden)


@pytest.mark.usefixtures("file")
def test_the_selector_sees_what_it_saw_in_training(scores, monkeypatch):
    """A dataset of the table as a file's: what is observed is what the family shows of that row."""
    run_ = select_command.selector_of(None)
    family = run_.distribution
    row, tries = len(family.table.names) - 1, family.horizon
    monkeypatch.setattr(select_command, "meta_features", lambda frame, classes: family.table.features[row])
    base = 0.25
    monkeypatch.setattr(scoring, "majority", lambda classes: np.full(5, base))
    known, asked = scores
    known |= {name: base + float(family.table.improvement[row, a]) for a, name in enumerate(family.table.candidates)}
    seen = []
    mode = rl2.RL2.act_deterministically

    def watched(self, state, observation):
        action, after = mode(self, state, observation)
        seen.append((observation.clone(), state.transition.clone(), int(action)))
        return action, after

    monkeypatch.setattr(rl2.RL2, "act_deterministically", watched)
    own = read(Path("data.csv"), "y", rows=1000)
    fitted = [each for each in select_command.fits(run_, own, tries, None, "accuracy") if not isinstance(each, str)]
    assert [each.name for each in fitted] == asked and len(set(asked)) == tries
    lanes, state = family.vectorise(1, 1), run_.agent.begin(1, 1)
    observation, _ = lanes.reset(seed=0, options={"tasks": family.task({family.parameter: row})})
    for observed, told, action in seen:
        torch.testing.assert_close(observed[0], observation, atol=1e-6, rtol=0)
        torch.testing.assert_close(told, state.transition, atol=1e-6, rtol=0)
        chosen = torch.tensor([[action]])
        _, state = run_.agent.act(state, observation[None], torch.Generator())
        observation, reward, terminated, truncated, _ = lanes.step(chosen[0])
        state = run_.agent.observe(state, chosen, reward[None], (terminated | truncated)[None], observation[None])
    assert bool(truncated), "the trial is as long as in training"


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Runs of other agents than the shipped one."""
    folder = tmp_path_factory.mktemp("runs")
    named = {name: ("algorithm_selection", name) for name in ("portfolio", "best_single", "oracle", "random")}
    for name, (env, agent) in {**named, "bandit": ("bandit", "greedy")}.items():
        RunFolder.create(folder / name, {"spec": Spec.default(env=env, agent=agent).to_json()})
    return folder


@pytest.mark.usefixtures("file")
def test_another_selector(scores, others, capsys):
    _, asked = scores
    assert here("data.csv", "--target", "y", "--tries", "3", "--selector", others / "portfolio", "--no-compare") == 0
    known = select_command.selector_of(None).distribution.table
    best = np.zeros(known.n_train)
    for name in asked:
        added = np.maximum(known.improvement[: known.n_train], best[:, None]).mean(0)
        assert known.candidates[int(added.argmax())] == name
        best = np.maximum(best, known.improvement[: known.n_train][:, known.candidates.index(name)])
    assert len(asked) == 3 and json.loads(Path("select-data/best.json").read_text())["selector"]["agent"] == "portfolio"
    asked.clear()
    assert here("data.csv", "--target", "y", "--tries", "3", "--selector", others / "best_single", "--out", "one") == 0
    assert len(asked) == 1, "what is proposed again is not fitted again"


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("oracle", "agent oracle has to be told the scores beforehand"),
        ("random", "agent random does not learn from try to try"),
        ("bandit", "a run of algorithm_selection is needed, not of bandit"),
        ("nowhere", "there is no such run folder"),
    ],
)
def test_no_selector(others, name, message, capsys):
    assert here("data.csv", "--target", "y", "--selector", others / name) == 2
    assert message in capsys.readouterr().err and not Path("select-data").exists()


@pytest.mark.usefixtures("file")
def test_what_fails_comes_last(scores, monkeypatch, capsys):
    known, asked = scores
    score, failing = scoring.score, {"mlp"}

    def fails(make, frame, classes):
        scored = score(make, frame, classes)
        return dataclasses.replace(scored, failure="ValueError: no" * (make() in failing))

    monkeypatch.setattr(scoring, "score", fails)
    assert here("data.csv", "--target", "y", "--tries", "14") == 0
    about = json.loads(Path("select-data/best.json").read_text())
    assert known["mlp"] == max(known.values()) and about["best"]["algorithm"] == "ada_boost"
    assert about["ranking"][-1]["failure"] == "ValueError: no" and "failed: ValueError: no" in capsys.readouterr().out
    failing |= set(known)
    assert here("data.csv", "--target", "y", "--tries", "2", "--out", "none") == 2
    assert "every algorithm failed" in capsys.readouterr().err and not Path("none").exists()


# The selector that ships.


def test_shipping(tmp_path):
    for number in ("00000000", "99999999"):  # what shipped before
        (tmp_path / "copy" / "checkpoint" / number).mkdir(parents=True)
    shipped.ship(shipped.FOLDER, tmp_path / "copy")
    assert len(list((tmp_path / "copy" / "checkpoint").iterdir())) == 1
    mine, ours = agents.load(tmp_path / "copy"), agents.load(shipped.FOLDER)
    assert mine.iteration == ours.iteration == ours.spec.iterations and mine.spec == ours.spec
    torch.testing.assert_close(trained(mine.agent), trained(ours.agent))
    assert sum(each.stat().st_size for each in shipped.FOLDER.rglob("*.*")) < 500_000
    assert "run.py" in ours.folder.config["command"][0]


def test_the_selector_that_ships_is_of_the_table_that_ships():
    assert shipped.trained_on_this_table(), "train another and put it there: python -m agents.select.selector RUN"


def test_what_cannot_ship(others, tmp_path):
    with pytest.raises(UsageError, match="a run of algorithm_selection is needed, not of bandit"):
        shipped.ship(others / "bandit", tmp_path / "x")
    with pytest.raises(UsageError, match="no checkpoint"):
        shipped.ship(others / "portfolio", tmp_path / "x")
    assert not (tmp_path / "x").exists()


# The script.


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_source_makes_the_same_pipeline(name):
    imports: dict[str, set[str]] = {}
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    made = algorithms.pipeline(name, frame)
    source = source_of(made, imports)
    names: dict = {}
    exec("\n".join(f"from {module} import {', '.join(each)}" for module, each in imports.items()), names)
    assert "_" not in {part[0] for module in imports for part in module.split(".")}
    again = eval(source, names)
    assert {k: repr(v) for k, v in again.get_params().items()} == {k: repr(v) for k, v in made.get_params().items()}


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ((), {"sep": ";", "decimal": ",", "encoding": "latin-1"}),
        (("--rows", "100"), {"sep": "\t"}),
        (("--bins", "3"), {}),
    ],
)
@pytest.mark.usefixtures("quick")
def test_the_script_reads_what_was_read(tmp_path, monkeypatch, options, change):
    """Another layout, a sample of rows, classes cut out of numbers: the same accuracy, to rounding."""
    monkeypatch.chdir(tmp_path)
    frame = rows(151).rename(columns={"colour": 'cö"l{0}'})
    frame.loc[3, "y"] = None
    if options == ("--bins", "3"):
        frame["y"] = frame["size"].fillna(0) + 0.1 * frame["noise"]
    frame.to_csv("a b.csv", index=False, **change)
    assert here("a b.csv", "--target", "y", "--tries", "1", "--no-compare", "--out", "o", *options) == 0
    best = json.loads(Path("o/best.json").read_text())["best"]
    names: dict = {"__name__": "best"}
    exec(compile(Path("o/best.py").read_text(), "best.py", "exec"), names)
    assert names["score"](*names["dataset"]()) == pytest.approx(best["accuracy"], abs=1e-9)
    model = names["fit"]()
    assert model.predict(names["columns"]("a b.csv")).shape == (151,)
    assert len(names["dataset"]()[1]) == 150 + (options == ("--bins", "3"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("columns", [["size", "noise", "y"], ["colour", "y"]])
def test_the_script_of_one_kind_of_columns(tmp_path, monkeypatch, columns):
    monkeypatch.chdir(tmp_path)
    rows()[columns].to_csv("x.csv", index=False)
    assert here("x.csv", "--target", "y", "--tries", "1", "--no-compare", "--out", "o") == 0
    names: dict = {"__name__": "best"}
    exec(compile(Path("o/best.py").read_text(), "best.py", "exec"), names)
    best = json.loads(Path("o/best.json").read_text())["best"]
    assert names["score"](*names["dataset"]()) == pytest.approx(best["accuracy"], abs=1e-9)


@pytest.mark.usefixtures("quick")
def test_blanks_around_words_are_none(file, capsys):
    """As a file without them."""
    scores = []
    for before, after in (("", ""), (" ", "  ")):
        frame = rows()
        for name in ("colour", "y"):
            frame.loc[::3, name] = before + frame[name] + after
        frame.loc[[1, 4], "colour"] = " "
        frame.to_csv(file, index=False, quoting=2)
        assert here(file, "--target", "y", "--tries", "1", "--no-compare", "--out", f"out{len(after)}") == 0
        assert "3 classes of 'y'" in capsys.readouterr().out
        names: dict = {"__name__": "best"}
        exec(compile(Path(f"out{len(after)}/best.py").read_text(), "best.py", "exec"), names)
        best = json.loads(Path(f"out{len(after)}/best.json").read_text())["best"]
        assert names["score"](*names["dataset"]()) == pytest.approx(best["accuracy"], abs=1e-9)
        scores.append(best["accuracy"])
    assert scores[0] == scores[1]


@pytest.mark.usefixtures("here_only")
def test_what_looks_like_numbers_is_told():
    lines = [f"{'broken' if i == 6 else i * 0.5},{i % 7},{'1.0' if i % 4 == 1 else i % 2}" for i in range(60)]
    notes = read(write("\n".join(["a,b,y", *lines])), "y", rows=1000).notes
    assert (
        "column 'a' is text, though 59 of 60 cells are numbers or look like them: 'broken' is none that can be read"
        in notes
    )
    assert "classes '1' and '1.0' are the same number, but two classes" in notes


@pytest.mark.usefixtures("quick")
def test_numbers_too_large_to_reckon_with_are_missing(file, capsys):
    frame = rows()
    frame["size"] = frame["size"].astype(object)
    frame.loc[frame.index[::5], "size"] = "1e308"
    frame.loc[frame.index[1::10], "size"] = "-inf"
    frame.to_csv(file, index=False)
    assert here(file, "--target", "y", "--tries", "1", "--no-compare") == 0
    assert "note: column 'size': 36 numbers beyond 1e+30 count as missing" in capsys.readouterr().out
    names: dict = {"__name__": "best"}
    exec(compile(Path("select-data/best.py").read_text(), "best.py", "exec"), names)
    best = json.loads(Path("select-data/best.json").read_text())["best"]
    assert names["score"](*names["dataset"]()) == pytest.approx(best["accuracy"], abs=1e-9)


# Reading.


def write(text: str | bytes, name: str = "x.csv") -> Path:
    path = Path(name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def here_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("here_only")
@pytest.mark.parametrize(("separator", "end"), [(",", "\n"), (";", "\r\n"), ("\t", "\r")])
def test_layouts(separator, end):
    lines = [f"{i % 3},{i * 0.5},{'ab'[i % 2]}" for i in range(40)]
    text = "\n".join(["y,number,te xt", *lines]).replace(",", separator)
    own = read(write(text.replace("\n", end)), "y", rows=1000)
    assert own.layout.separator == separator and own.layout.encoding == "utf-8-sig"
    assert own.names == ("0", "1", "2") and own.classes.tolist() == [i % 3 for i in range(40)]
    np.testing.assert_array_equal(own.frame["number"], np.arange(40) * 0.5)
    assert own.frame["te xt"].tolist() == ["a", "b"] * 20


@pytest.mark.usefixtures("here_only")
def test_a_byte_order_mark_and_latin_1():
    body = "".join(f"{i % 2},{i % 7},{'é' if i % 3 else 'à'}\n" for i in range(40))
    for data, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"", "latin-1")):
        own = read(write(data + f"y,a,b\n{body}".encode(encoding.removesuffix("-sig"))), "y", rows=100)
        assert own.layout.encoding == encoding and own.layout.columns == ("y", "a", "b")
        assert set(own.frame["b"]) == {"é", "à"}


@pytest.mark.usefixtures("here_only")
def test_a_sample_keeps_the_shares_of_classes_whatever_the_pieces(monkeypatch):
    """3 rows of 100 of class b: 1 of 40 drawn in the same way, piece by piece or at once."""
    rng = np.random.default_rng(0)
    lines = [f"{'b' if i % 25 == 7 else 'a'},{rng.normal():.4f},{i % 5}" for i in range(1000)]
    path = write("y,u,v\n" + "\n".join(lines))
    whole = read(path, "y", rows=250)
    assert np.bincount(whole.classes).tolist() == [240, 10] and whole.n_rows == whole.n_usable == 1000
    assert "algorithms are compared on 250 of 1000 rows, drawn by class (--rows)" in whole.notes
    monkeypatch.setattr(csv_file, "_PIECE", 100)
    pieces = read(path, "y", rows=250)
    assert pieces.layout.chunk < 20
    pd.testing.assert_frame_equal(pieces.frame, whole.frame)
    table = pd.read_csv(path)
    kept = sample(table["y"].to_numpy(dtype=str), 250)
    np.testing.assert_array_equal(whole.frame["u"], table["u"].iloc[kept])
    assert np.bincount(read(path, "y", rows=999).classes).sum() == 998, "of each class a row is left behind"


def test_numbers_of_rows_are_found_in_a_part_of_them():
    rng = np.random.default_rng(0)
    count = pd.Series(rng.permutation(1000)[:200] + 17.0)
    assert idle(count, 1000) == "counts the rows" and idle(count) == ""
    assert idle(pd.Series(rng.integers(0, 1000, 200).astype(float)), 1000) == "", "some of them twice"
    assert idle(count / 2, 1000) == ""


@pytest.mark.usefixtures("here_only")
def test_rows_and_classes_that_are_too_few():
    labels = ["a"] * 20 + ["b"] * 20 + ["c"] * 3 + ["d", "", "?"]
    own = read(write("y,u,v\n" + "".join(f"{each},{i % 7},{i % 4}\n" for i, each in enumerate(labels))), "y", rows=100)
    assert own.n_rows == 46 and own.n_usable == 43 and own.names == ("a", "b", "c")
    assert own.notes == (
        "rows without a target (as NA, None, null and ? are), left out: 2",
        "rows that are the only one of their class, left out: 1",
        "class 'c' has 3 rows, fewer than the 5 folds: its accuracy is chance",
    )


@pytest.mark.usefixtures("here_only")
def test_columns_that_say_the_class_are_told():
    body = "".join(f"{i % 2},{i % 2 + 0.1},{i % 7}\n" for i in range(60))
    path = write(f"y,copy,other\n{body}")
    (note,) = read(path, "y", rows=100).notes
    assert "column 'copy' alone says the class nearly always" in note and "--ignore copy" in note
    own = read(path, "y", rows=100, ignore=["copy"])
    assert own.notes == () and list(own.frame) == ["other"] and own.dropped == {"copy": "ignored"}


@pytest.mark.usefixtures("here_only")
def test_bins_are_between_quantiles():
    """0 to 99 in four: edges at the quartiles, 24.75, 49.5 and 74.25."""
    own = read(write("y,u\n" + "".join(f"{i},{i % 9}\n" for i in range(100))), "y", rows=1000, bins=4)
    assert own.edges == (24.75, 49.5, 74.25) and np.bincount(own.classes).tolist() == [25] * 4
    assert own.labels[1] == "02 from 24.75 to below 49.5" and own.names == own.labels
    # Half of them 0: the median, too, so that two of the edges are the least value, and no edge.
    own = read(write("y,u\n" + "".join(f"{max(0, i - 60)},{i % 9}\n" for i in range(100))), "y", rows=1000, bins=4)
    assert len(own.edges) == 1 and np.bincount(own.classes).tolist() == [75, 25]


# Input that cannot be used.

BODY = "".join(f"{i % 2},{i % 7},{i % 3}\n" for i in range(60))


@pytest.mark.usefixtures("here_only")
@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (f"y,a,b\n{BODY}", ("--target", "Y1"), "no column 'Y1'; did you mean 'y'?"),
        (f"y,a,b\n{BODY}", ("--target", "y", "--ignore", "c"), "no column 'c'"),
        (f"y,a,b\n{BODY}", ("--target", "y", "--ignore", "y"), "--ignore y: the target"),
        (f"y,a,b\n{BODY}", (), "select needs a column to predict"),
        (f"y,a,b\n{BODY}", ("--target", "y", "--tries", "15"), "--tries must be at most 14"),
        (f"y,a,b\n{BODY}", ("--target", "y", "--tries", "0"), "--tries must be at least 1"),
        (f"y,a,b\n{BODY}", ("--target", "y", "--bins", "1"), "--bins must be at least 2"),
        (f"y,a,b\n{BODY}".replace("\n1", "\n0"), ("--target", "y"), "column 'y' has one class only, '0'"),
        (f"y,a,b\n{BODY[:60]}", ("--target", "y"), "10 rows with a target; at least 30 are needed"),
        ("y,a\n" + ",1\n" * 60, ("--target", "y"), "column 'y' has only missing values"),
        ("y,a,b\n" + "0,,7\n1,,7\n" * 60, ("--target", "y"), "no column is left to learn from (a: empty; b: constant"),
        ("y\n" + "0\n1\n" * 60, ("--target", "y"), "there is no column besides the target"),
        (
            "y,a\n" + "".join(f"{i / 7},{i % 3}\n" for i in range(60)),
            ("--target", "y"),
            "different numbers: that is regr",
        ),
        (
            "y,a\n" + "".join(f"c{i},{i % 3}\n" for i in range(150)),
            ("--target", "y"),
            "150 different texts: at most 100",
        ),
        ("y,a\n" + "".join(f"c{i},{i % 3}\n" for i in range(60)), ("--target", "y"), "two rows or more"),
        (
            "y,a\n" + "x,1\n2,2\n" * 60,
            ("--target", "y", "--bins", "3"),
            "--bins is for a column of numbers, 'y' has text",
        ),
        (f"1,2,3\n{BODY}", ("--target", "1"), "a header with the columns' names is expected"),
        (f"y,a,a\n{BODY}", ("--target", "y"), "two columns are called 'a'"),
        (f"y,a\n{BODY}", ("--target", "y"), "the header names 2 columns, the line after it has 3"),
        (f"y,a,b\n{BODY}1,2,3,4\n", ("--target", "y"), "not a table: Expected 3 fields in line 62, saw 4"),
        (f'y,a,b\n{BODY}1,"2,3\n', ("--target", "y"), "not a table: EOF inside string"),
        ("", ("--target", "y"), "is empty"),
        ("y,a,b\n", ("--target", "y"), "0 rows with a target"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\r" + bytes(range(256)), ("--target", "y"), "is not a text file"),
        (f"y,a\n{BODY}".encode("utf-16"), ("--target", "y"), "is in UTF-16: save it in UTF-8"),
        (gzip.compress(f"y,a\n{BODY}".encode()), ("--target", "y"), "is compressed by gzip: unpack it first"),
        (b"PK\x03\x04" + bytes(range(256)), ("--target", "y"), "is a ZIP archive or a workbook"),
        (f"y,a\n{BODY}", ("--targt", "y"), "unknown option --targt; did you mean --target?"),
        (f"y,a\n{BODY}", (), "select needs a column to predict"),
    ],
)
def test_input_that_cannot_be_used(content, options, message, capsys):
    assert here(write(content), *options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("run.py: error: ")
    assert [each.name for each in Path().iterdir()] == ["x.csv"]


@pytest.mark.usefixtures("here_only")
def test_files_that_are_none(capsys):
    Path("folder").mkdir()
    for name, message in (("folder", "is not a regular file"), ("nowhere.csv", "No such file or directory")):
        assert here(name, "--target", "y") == 2
        assert message in capsys.readouterr().err
    assert here("--target", "y") == 2
    assert "select needs a file: usage is run.py select FILE.csv --target COLUMN" in capsys.readouterr().err


@pytest.mark.usefixtures("here_only")
def test_large_files_are_never_held(capsys, monkeypatch):
    """2 GB of nothing are refused at the first of it; a line without an end is, too; columns are counted first."""
    with Path("large.csv").open("wb") as file:
        file.write(b"y,a\n")
        file.truncate(2 << 30)
    assert here("large.csv", "--target", "y") == 2
    assert "is not a text file" in capsys.readouterr().err
    assert here(write("y," + "a" * (5 << 20)), "--target", "y") == 2
    assert "a line is longer than 4 MiB" in capsys.readouterr().err
    wide = ",".join(f"c{i}" for i in range(2500))
    assert here(write(f"y,{wide}\n"), "--target", "y") == 2
    assert "2500 columns; at most 2000 can be learned from" in capsys.readouterr().err
    # Pieces of a target's column are joined; those of the others are dropped as they come.
    held = []
    pieces = csv_file.Layout.pieces
    monkeypatch.setattr(csv_file, "_PIECE", 2000)
    monkeypatch.setattr(csv_file.Layout, "pieces", lambda *a: (held.append(len(each)) or each for each in pieces(*a)))
    read(write(f"y,a,b\n{BODY * 200}"), "y", rows=100)
    assert max(held) < 500 and sum(held) == 2 * 12000 + held[0]


@pytest.mark.usefixtures("file")
def test_a_folder_that_cannot_be_made_is_told_before_anything_is_read(capsys):
    assert here("nowhere.csv", "--target", "y", "--out", "/proc/nope") == 2
    assert capsys.readouterr().err.startswith("run.py: error: /proc/nope: ")
