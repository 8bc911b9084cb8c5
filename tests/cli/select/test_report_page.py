"""`run.py report` on the folder of a selection: its page."""

import json
import re
import shutil
from pathlib import Path

import pytest

from agents import rl2
from agents.cli.main import main
from tests.support.select_command import proposing_only, rows, run_select


@pytest.fixture(scope="module")
def selection(tmp_path_factory):
    """Folder with a file and a selection for it."""
    folder = tmp_path_factory.mktemp("selection")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(rl2.RL2, "act_deterministically", proposing_only("gaussian_nb", "lda"))
        rows().rename(columns={"size": "<b>size</b>"}).to_csv("data.csv", index=False)
        assert run_select("data.csv", "--target", "y", "--evaluations", "2", "--no-compare", "--rows", "100") == 0
    return folder


@pytest.fixture
def selected(selection, tmp_path, monkeypatch):
    """Results of the selection in a folder of the test's own."""
    shutil.copytree(selection, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Path("select-data/best.json")


def cells(page: str, title: str) -> list[list[str]]:
    """Return the cells of a table."""
    (table,) = re.findall(rf'aria-label="{title}">\s*<table.*?</table>', page, re.DOTALL)
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [[re.sub(r"\s*<[^>]*>", "", each) for each in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


@pytest.mark.usefixtures("quick")
def test_page(selected, capsys):
    best = json.loads(selected.read_text())
    assert main(["report", "select-data"]) == 0
    printed = capsys.readouterr().out
    top = best["best"]
    assert f"{top['algorithm']} predicts y of data.csv: accuracy {top['accuracy']:.4f} in cross-val" in printed
    assert "wrote select-data/report.html" in printed
    page = Path("select-data/report.html").read_text()
    ranking = cells(page, "Ranking")
    half = 2.776 * top["standard_error"]
    low, high = top["accuracy"] - half, top["accuracy"] + half
    assert ranking[1][:2] == [top["algorithm"], f"{top['accuracy']:.4f}[{low:.4f}, {high:.4f}]"]
    assert len(cells(page, "Screening")) == 3
    names, counts = best["data"]["classes"], best["confusion"]
    assert cells(page, "Confusion matrix")[1:] == [
        [name, *map(str, row)] for name, row in zip(names, counts, strict=True)
    ]
    right, true = counts[2][2], [sum(row) for row in counts]
    assert true == [(rows()["y"] == name).sum() for name in names] and right / true[2] > 0.5
    assert cells(page, "Classes")[3] == [
        names[2],
        str(true[2]),
        f"{right / sum(row[2] for row in counts):.4f}",
        f"{right / true[2]:.4f}",
    ]
    proposals = sorted(best["screening"], key=lambda each: each["evaluation"])
    assert [row[1] for row in cells(page, "Proposals")[1:]] == [each["algorithm"] for each in proposals]
    assert len(cells(page, "Meta-features")) == 23
    expected = best["expected_on_new_rows"]
    assert f"{expected['mean']:.4f} [{expected['low']:.4f}, {expected['high']:.4f}]" in page
    assert "text that hardly ever repeats" in page and "&lt;b&gt;size" in page and "<b>size" not in page
    assert main(["report", "select-data"]) == 0  # again
    again = ("data.csv", "--target", "y", "--evaluations", "1", "--no-compare", "--overwrite")
    assert run_select(*again) == 0 and not Path("select-data/report.html").exists()


def test_remarks_on_algorithms(selected):
    """They stand below the names; what failed has no score, and no place in the picture."""
    best = json.loads(selected.read_text())
    best["screening"][1]["only_predicts_majority"] = True
    assert len(best["ranking"]) == 2
    best["ranking"][1]["failure"] = "ValueError: " + "x" * 100
    selected.write_text(json.dumps(best))
    assert main(["report", "select-data"]) == 0
    page = Path("select-data/report.html").read_text()
    names = [each["algorithm"] for each in best["ranking"]]
    assert cells(page, "Screening")[2][0].endswith("only predicts the most frequent class")
    failed = cells(page, "Ranking")[2]
    assert failed[0].startswith(f"{names[1]}failed: ValueError: xxx") and len(failed[0]) < 100
    assert failed[1:3] == ["–", "–"]
    assert "of 1 algorithms" in page


def test_long_names_of_classes_are_shortened(selected):
    best = json.loads(selected.read_text())
    best["data"]["classes"][0] = "x" * 200
    selected.write_text(json.dumps(best))
    assert main(["report", "select-data"]) == 0
    assert "x" * 61 not in Path("select-data/report.html").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: [], "not written by this version of `select`"),
        (lambda it: {**it, "format": "qrl-select-3"}, "not written by this version of `select`"),
        (lambda it: {**it, "ranking": []}, "damaged: no ranking"),
        (lambda it: {**it, "ranking": 3}, "ranking: expected a list"),
        (lambda it: {**it, "ranking": [3]}, "ranking: expected an object, found 3"),
        (lambda it: {**it, "ranking": [{**it["best"], "gain": "much"}]}, "gain: expected "),
        (lambda it: {**it, "ranking": [{**it["best"], "accuracy": None}]}, "score: expected "),
        (lambda it: {**it, "ranked_by": ["x"]}, "score: expected a number"),
        (lambda it: {**it, "confusion": [[1, 2], [3]]}, "a confusion matrix that does not fit the classes"),
        (lambda it: {**it, "confusion": "x"}, "confusion: expected a list"),
        (lambda it: {**it, "data": None}, "data: expected an object, found None"),
        (lambda it: {**it, "data": {**it["data"], "classes": 3}}, "classes: expected a list"),
        (lambda it: {key: it[key] for key in it if key != "meta_features"}, "meta_features is missing"),
    ],
)
def test_damaged_results_are_refused_in_one_line(selected, capsys, change, message):
    selected.write_text(json.dumps(change(json.loads(selected.read_text()))))
    capsys.readouterr()
    assert main(["report", "select-data"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "best.json" in error
    assert not Path("select-data/report.html").exists()


def test_refused_options(selected, capsys):
    selected.write_text("{")
    for words, message in {
        (): "best.json: not JSON, or truncated",
        ("--at", "3"): "--at: select-data is the folder of a selection: this is an option for a run",
        ("--video",): "--video: select-data is the folder of a selection",
        ("--out", "page.csv"): "page.csv: the page about a selection is HTML",
    }.items():
        capsys.readouterr()
        assert main(["report", "select-data", *words]) == 2
        assert message in capsys.readouterr().err
