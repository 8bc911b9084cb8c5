"""`run.py select`: best.py saves its model and predicts new files, whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io

from agents.select import script
from envs.automl import algorithms
from tests.support.select_command import proposing_only, rows, run_script, run_select


def best_py(*arguments):
    return run_script("o/best.py", *arguments)


def in_a_process(*arguments):
    """Run best.py in a process of its own, without this library."""
    command = [sys.executable, "-I", "o/best.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def selected(file, quick):
    assert run_select(file, "--target", "y", "--evaluations", "1", "--no-compare", "--out", "o") == 0
    return file


def test_new_files_are_predicted_by_the_saved_model(selected):
    """Columns in another order, without the target and those left out, with an unknown one and an unreadable cell."""
    new = rows(50, seed=1)[["noise", "size", "colour"]].assign(more=1)
    new["size"] = new["size"].astype(object)
    new.loc[3, "size"] = "big"
    new.to_csv("new.csv", index=False)
    done = best_py("predict", "new.csv")
    assert done.returncode == 2 and "there is no best.skops yet: python best.py fits" in done.stderr
    done = in_a_process()
    assert done.returncode == 0 and f"saved {Path('o/best.skops').resolve()}\n" in done.stdout, done.stderr
    done = in_a_process("predict", "new.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "wrote 50 predictions to predictions.csv\n"
    assert done.stderr.splitlines() == [
        "note: columns that are not used: 'more'",
        "note: column 'size': 1 of 44 cells are no numbers and count as missing, such as 'big'",
    ]
    names: dict = {"__name__": "best"}
    exec(compile(Path("o/best.py").read_text(), "best.py", "exec"), names)
    model, made = names["fit"](), pd.read_csv("predictions.csv")
    inputs = names["columns"]("new.csv")
    assert list(made["y"]) == list(model.predict(inputs)) and set(made["y"]) <= set(rows()["y"])
    assert list(made)[1:] == ["probability of large", "probability of middle", "probability of small"]
    np.testing.assert_allclose(made.iloc[:, 1:], model.predict_proba(inputs), atol=1e-12)
    # --overwrite replaces a folder with a model.
    assert run_select(selected, "--target", "y", "--evaluations", "1", "--out", "o", "--overwrite", "--no-compare") == 0
    assert not Path("o/best.skops").exists()


def test_errors_are_one_line_and_write_nothing(selected, monkeypatch):
    assert best_py().returncode == 0
    rows(9).rename(columns={"colour": "color"}).to_csv("other.csv", index=False)
    rows(0).to_csv("empty.csv", index=False)
    Path("wide.csv").write_text("size,colour,noise\n1,2,3,4\n")
    Path("taken.csv").write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    for words, message in {
        ("predict", "nowhere.csv"): "No such file or directory: 'nowhere.csv'",
        ("predict", "other.csv"): "missing column 'colour'; is 'color' meant to be 'colour'?",
        ("predict", "empty.csv"): "empty.csv has no rows",
        ("predict", "wide.csv"): "Length of header or names does not match length of data",
        ("predict", "data.csv", "--out", "taken.csv"): "taken.csv already exists; choose another --out",
        ("predict", "data.csv", "--out", "no/p.csv"): "no/p.csv: folder no does not exist",
        ("predict",): "the following arguments are required: new",
        ("predict", "data.csv", "--ot", "x"): "unrecognized arguments: --ot",
        ("data.csv", "more"): "unrecognized arguments: more",
        ("o/best.json",): "tokenizing",
    }.items():
        done = best_py(*words)
        assert done.returncode == 2 and message in done.stderr, (words, done.stderr)
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("best.py: ")
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before
    with monkeypatch.context() as patch:
        for module in ("skops", "skops.io"):
            patch.setitem(sys.modules, module, None)
        done = best_py("predict", "data.csv", "--out", "p.csv")
        message = "best.py: models are saved and loaded by skops: pip install skops\n"
        assert done.returncode == 2 and done.stderr == message
        done = best_py()
        assert done.returncode == 2 and "cross-validation: " in done.stdout and "pip install skops" in done.stderr

    def full(*_):
        raise OSError("disk full")

    # Neither a part of the file nor a temporary one.
    monkeypatch.setattr(os, "replace", full)
    done = best_py("predict", "data.csv", "--out", "p.csv")
    assert done.returncode == 2 and done.stderr == "best.py: disk full\n"
    assert {*Path().rglob("*")} == {*before}


class Trap:
    """Object that would make a file if it were loaded from a pickle."""

    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_other_models_are_refused_and_nothing_is_executed(selected, monkeypatch):
    assert best_py().returncode == 0
    good = Path("o/best.skops").read_bytes()

    def refused():
        done = best_py("predict", "data.csv")
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert not Path("predictions.csv").exists()
        return done.stderr

    model = skops.io.loads(good, trusted=list(script.TRUSTED))
    model.trap = Trap()
    skops.io.dump(model, "o/best.skops")
    assert "best.skops is not usable: it has objects of type " in refused() and not Path("trapped").exists()
    Path("o/best.skops").write_bytes(good[: len(good) // 2])
    assert "best.skops is not usable: " in refused()
    skops.io.dump(model[-1], "o/best.skops")
    refused()
    Path("o/best.skops").write_bytes(good)
    monkeypatch.setattr("sklearn.base.__version__", "99.0")
    assert "when using version 99.0" in refused()


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "log_loss"])
@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_models_of_all_algorithms_are_saved(name, metric):
    """Every type in them is known."""
    frame = rows(90)[["size", "colour"]].astype({"colour": object})
    frame["colour"] = frame["colour"].where(frame["colour"].notna(), None)
    model, labels = algorithms.algorithm_pipeline(name, frame), rows(90)["y"].to_numpy(dtype=object)
    if metric == "balanced_accuracy":
        algorithms.weight_classes_equally(model, 3)
    elif metric == "log_loss":
        algorithms.with_probabilities(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # the limit on the number of iterations
        model.fit(frame, labels)
    again = skops.io.loads(skops.io.dumps(model), trusted=list(script.TRUSTED))
    assert list(again.predict(frame)) == list(model.predict(frame))


def test_labels_are_as_in_the_file(tmp_path, monkeypatch):
    """Classes 01 and 1.0 remain text; rows of comments are no rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("agents.rl2.RL2.act_deterministically", proposing_only("knn"))
    body = "".join(f"{i % 2};{'01' if i % 2 else '1.0'}\n" for i in range(60))
    Path("x.csv").write_text(f"a;y\n{body}")
    assert run_select("x.csv", "--target", "y", "--evaluations", "1", "--no-compare", "--out", "o") == 0
    assert best_py().returncode == 0
    Path("new.csv").write_text("# a title\na;b\n1;2\n# note;\n0;2\n")
    assert best_py("predict", "new.csv").returncode == 0
    assert pd.read_csv("predictions.csv", dtype=str)["y"].tolist() == ["01", "1.0"]
