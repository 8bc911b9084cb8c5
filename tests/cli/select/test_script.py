"""`run.py select`: its script builds the same pipeline, reads the same table and has the same accuracy."""

import json
from pathlib import Path

import pandas as pd
import pytest

from agents.select.script import source_of
from envs.automl import algorithms
from tests.support.select_command import rows, run_select


@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_source_builds_the_same_pipeline(name):
    imports: dict[str, set[str]] = {}
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    made = algorithms.algorithm_pipeline(name, frame)
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
def test_script_reads_the_same_data(tmp_path, monkeypatch, options, change):
    """Another layout, a sample of rows, classes binned from numbers: the same accuracy up to rounding."""
    monkeypatch.chdir(tmp_path)
    frame = rows(151).rename(columns={"colour": 'cö"l{0}'})
    frame.loc[3, "y"] = None
    if options == ("--bins", "3"):
        frame["y"] = frame["size"].fillna(0) + 0.1 * frame["noise"]
    frame.to_csv("a b.csv", index=False, **change)
    assert run_select("a b.csv", "--target", "y", "--evaluations", "1", "--no-compare", "--out", "o", *options) == 0
    best = json.loads(Path("o/best.json").read_text())["best"]
    names: dict = {"__name__": "best"}
    exec(compile(Path("o/best.py").read_text(), "best.py", "exec"), names)
    assert names["score"](*names["dataset"]()) == pytest.approx(best["accuracy"], abs=1e-9)
    model = names["fit"]()
    assert model.predict(names["columns"]("a b.csv")).shape == (151,)
    assert len(names["dataset"]()[1]) == 150 + (options == ("--bins", "3"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("columns", [["size", "noise", "y"], ["colour", "y"]])
def test_script_for_columns_of_one_kind(tmp_path, monkeypatch, columns):
    monkeypatch.chdir(tmp_path)
    rows()[columns].to_csv("x.csv", index=False)
    assert run_select("x.csv", "--target", "y", "--evaluations", "1", "--no-compare", "--out", "o") == 0
    names: dict = {"__name__": "best"}
    exec(compile(Path("o/best.py").read_text(), "best.py", "exec"), names)
    best = json.loads(Path("o/best.json").read_text())["best"]
    assert names["score"](*names["dataset"]()) == pytest.approx(best["accuracy"], abs=1e-9)


@pytest.mark.usefixtures("quick")
def test_blanks_around_words_are_ignored(file, capsys):
    """The result equals that of a file without them."""
    scores = []
    for before, after in (("", ""), (" ", "  ")):
        frame = rows()
        for name in ("colour", "y"):
            frame.loc[::3, name] = before + frame[name] + after
        frame.loc[[1, 4], "colour"] = " "
        frame.to_csv(file, index=False, quoting=2)
        assert run_select(file, "--target", "y", "--evaluations", "1", "--no-compare", "--out", f"out{len(after)}") == 0
        assert "3 classes of 'y'" in capsys.readouterr().out
        names: dict = {"__name__": "best"}
        exec(compile(Path(f"out{len(after)}/best.py").read_text(), "best.py", "exec"), names)
        best = json.loads(Path(f"out{len(after)}/best.json").read_text())["best"]
        assert names["score"](*names["dataset"]()) == pytest.approx(best["accuracy"], abs=1e-9)
        scores.append(best["accuracy"])
    assert scores[0] == scores[1]


@pytest.mark.usefixtures("quick")
def test_overflowing_numbers_are_treated_as_missing(file, capsys):
    frame = rows()
    frame["size"] = frame["size"].astype(object)
    frame.loc[frame.index[::5], "size"] = "1e308"
    frame.loc[frame.index[1::10], "size"] = "-inf"
    frame.to_csv(file, index=False)
    assert run_select(file, "--target", "y", "--evaluations", "1", "--no-compare") == 0
    assert "note: column 'size': 36 numbers beyond 1e+30 count as missing" in capsys.readouterr().out
    names: dict = {"__name__": "best"}
    exec(compile(Path("select-data/best.py").read_text(), "best.py", "exec"), names)
    best = json.loads(Path("select-data/best.json").read_text())["best"]
    assert names["score"](*names["dataset"]()) == pytest.approx(best["accuracy"], abs=1e-9)
