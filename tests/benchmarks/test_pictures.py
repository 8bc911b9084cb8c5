"""Pictures of the benchmarks, drawn from the committed results, and shared options of the benchmarks."""

import importlib
import sys

import pytest
from matplotlib.colors import to_hex

from benchmarks.shared import common, curves, main
from benchmarks.shared import publish as published
from benchmarks.shared.common import RESULTS
from qrl.common.files import from_json, to_json
from qrl.common.pictures import in_style
from tests.support.panels import check_panels

DRAWN = {
    "few_shot": ("_draw", "gradient steps of 10 examples each"),
    "jerbi": ("_draw", "training [episodes]"),
    "noise_aware": ("_draw", "gradient steps of 40 episodes each"),
    "quantum_data": ("draw", "episode of a trial"),
    "recalibration": ("_draw", "experience in the task [pulses]"),
    "selection": ("_draw", "evaluations"),
    "skolik": ("_draw", "training [episodes]"),
    "trials": ("draw", "episode of a trial"),
}
"""Benchmarks with a picture: their function, and a label of a horizontal axis that counts."""

needs_results = pytest.mark.skipif(not RESULTS.exists(), reason="a source distribution has no results")


@needs_results
@pytest.mark.parametrize("name", DRAWN)
def test_legends_match_their_panels_and_counts_are_integers(name, monkeypatch, tmp_path):
    module = importlib.import_module(f"benchmarks.{name}")
    saved = []
    for each in (module, curves):
        if hasattr(each, "save"):
            monkeypatch.setattr(each, "save", lambda figure, path: saved.append(figure))
    function, counted = DRAWN[name]
    with in_style():
        getattr(module, function)(from_json(RESULTS / f"{name}.json")["results"], tmp_path / "picture.png")
    assert saved and any(counted in labels for labels in [check_panels(figure) for figure in saved])


@needs_results
def test_agents_look_the_same_in_every_panel(monkeypatch, tmp_path):
    """Each legend names the colours of its panel: `tpe` and `best_single` appear in different panels."""
    selection = importlib.import_module("benchmarks.selection")
    saved = []
    monkeypatch.setattr(selection, "save", lambda figure, path: saved.append(figure))
    selection._draw(from_json(RESULTS / "selection.json")["results"], tmp_path)
    looks: dict[str, set[str]] = {}
    for axes in saved[0].axes:
        for line in axes.get_lines():
            looks.setdefault(line.get_label(), set()).add(to_hex(line.get_color()))
    assert {"tpe", "best_single", "rl2 qgru"} <= looks.keys()
    assert all(len(colours) == 1 for colours in looks.values())
    assert len(set.union(*looks.values())) == len(looks)


def test_redraw_draws_the_committed_result_and_runs_nothing(monkeypatch, tmp_path, capsys):
    results, docs = tmp_path / "benchmarks" / "results", tmp_path / "docs"
    results.mkdir(parents=True)
    docs.mkdir()
    for module in (common, published):
        monkeypatch.setattr(module, "RESULTS", results)
    (results / "some.json").write_text(to_json({"results": {"a": 1}}))

    drawn, measured = [], []
    for arguments in (["--seeds", "3", "--redraw"], ["--seeds", "2", "--jobs", "2"]):
        monkeypatch.setattr(sys, "argv", ["some.py", *arguments])
        main.run_main(measured.append, main.TrainingOptions, "About.", lambda *given: drawn.append(given))
    assert drawn == [({"a": 1}, docs / "some.png")]
    assert [(each.seeds, each.jobs, each.quick) for each in measured] == [(2, 2, False)]
    assert capsys.readouterr().out == f"wrote {docs / 'some.png'}\n"
    monkeypatch.setattr(sys, "argv", ["some.py", "--seeds", "0"])
    with pytest.raises(SystemExit, match=r"benchmarks.some: --seeds and --jobs must be at least 1"):
        main.run_main(measured.append, main.TrainingOptions, "About.")


def test_remeasuring_one_part_keeps_the_others(tmp_path, monkeypatch):
    results, runs = tmp_path / "benchmarks" / "results", tmp_path / "runs"
    for module in (common, published):
        monkeypatch.setattr(module, "RESULTS", results)
        monkeypatch.setattr(module, "RUNS", runs)
    drawn = []

    def measured(draft=False, **parts):
        def draw(every, path):
            drawn.append((list(every), path))

        published.publish("some", parts, ("a", "b", "c"), draw, draft=draft)

    measured(c=3, b=2)
    measured(a=1, b=20)
    assert from_json(results / "some.json")["results"] == {"a": 1, "b": 20, "c": 3}
    assert drawn == [(["b", "c"], tmp_path / "docs" / "some.png"), (["a", "b", "c"], tmp_path / "docs" / "some.png")]
    measured(a=100, draft=True)
    assert from_json(results / "some.json")["results"]["a"] == 1
    assert from_json(runs / "some.json")["results"] == {"a": 100}
    assert drawn[-1] == (["a"], runs / "some.png")
