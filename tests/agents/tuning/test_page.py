"""Page and summary of a search."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from agents.cli.main import main
from agents.tuning.page import page_of
from agents.tuning.ranges import Range
from agents.tuning.record import HeldOut, Record, TrialRecord
from agents.tuning.report import findings, option_rows, ranking, states, summary
from agents.tuning.training import Protocol

TRIALS = (
    TrialRecord(0, "complete", {"agent.clip": 0.2, "agent.estimator": "dice"}, 1.0, ((2, 0.5), (4, 1.0))),
    TrialRecord(1, "complete", {"agent.clip": 0.3, "agent.estimator": "lvc"}, 2.0, ((2, 1.5), (4, 2.0))),
    TrialRecord(2, "pruned", {"agent.clip": 0.1, "agent.estimator": "lvc"}, None, ((2, 0.1),)),
    TrialRecord(3, "diverged", {"agent.clip": 0.4, "agent.estimator": "dice"}, None, (), "<script>alert(1)</script>"),
    TrialRecord(4, "waiting", {}),
)
RECORD = Record(
    name="navigation-maml-mlp",
    storage="journal:x.log",
    spec={"env": "navigation", "agent": "maml", "agent_config": {"clip": 0.2, "note": "<b>"}},
    ranges=(Range("agent.clip", 0.1, 0.4), Range("agent.estimator", choices=("dice", "lvc"))),
    protocol=Protocol(seeds=(10_000,), tasks=20, score_every=2),
    defaults={"agent.clip": 0.2, "agent.estimator": "dice"},
    wanted=5,
    trials=TRIALS,
    importance={"agent.clip": 0.75, "agent.estimator": 0.25},
    held_out=HeldOut(1, (20_000, 20_001), 100, 2.0, 1.5, 0.5, 0.25, 0.75),
)


def changed(**held_out) -> Record:
    return dataclasses.replace(RECORD, held_out=dataclasses.replace(RECORD.held_out, **held_out))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (RECORD, "trial 1 is better than the defaults on 100 held-out train tasks, from 2 new seeds: 2.0000 against "
            "1.5000, difference 0.5000 [0.2500, 0.7500]"),
        (changed(low=-0.5, difference=-0.1), "trial 1 is not distinguishable from the defaults .* [−0.5000, 0.7500]"),
        (changed(low=-2.0, high=-1.0, difference=-1.5), "trial 1 is worse than the defaults .*"),
        (changed(low=None, high=None), "trial 1 against the defaults, without an interval below five seeds, on 100 .*"),
        (dataclasses.replace(RECORD, held_out=None), "trial 1 has the best score; it has not been compared .*"),
        (dataclasses.replace(RECORD, trials=TRIALS[:1]), "trial 0 has the best score: the defaults"),
        (dataclasses.replace(RECORD, trials=TRIALS[2:]), "no trial has come to its end"),
    ],
)  # fmt: skip
def test_findings(record, expected):
    (found,) = findings(record)
    assert re.fullmatch(re.escape(expected).replace(r"\.\*", ".*"), found)


def test_rows():
    assert states(RECORD) == "2 complete, 1 pruned, 1 diverged, 1 waiting"
    assert [each.number for each in ranking(RECORD)] == [1, 0, 2, 3, 4]
    assert option_rows(RECORD) == [
        ("agent.clip", "0.3", "0.2", "0.1 to 0.4", "75%"),
        ("agent.estimator", "lvc", "dice", "dice, lvc", "25%"),
    ]


def test_summary(tmp_path):
    lines = summary(tmp_path, RECORD)
    assert lines[0].split() == ["trial", "score", "iterations", "state"]
    assert lines[1].split() == ["1", "2.0000", "4", "complete"]
    assert f"run.py --config {tmp_path / 'best.json'}" in lines[-2]


class _Reader(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not {name for name, _ in attrs} & {"src", "onload", "onclick"}

    def handle_data(self, data):
        self.text += data


def test_page(tmp_path):
    page = page_of(RECORD, tmp_path, {"commit": "abc", "torch": "2.0"})
    read = _Reader(page)
    assert "script" not in read.tags and "<script>alert(1)</script>" in read.text  # escaped
    assert read.tags.count("svg") == 5  # history, scores, importance, two options
    for text in ("Trial 1 is better than the defaults", "No test task was touched", "agent.clip", "75%", "abc"):
        assert text in read.text
    assert re.search(r"report .*", read.text)


def test_a_page_without_anything_to_draw(tmp_path):
    page = page_of(dataclasses.replace(RECORD, trials=TRIALS[3:], importance={}, held_out=None), tmp_path, {})
    assert "No trial has come to its end" in page and "<svg" not in page


def test_report(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "found").mkdir()
    RECORD.write(tmp_path / "found", {})
    assert main(["report", "found"]) == 0
    assert "is better than the defaults" in (tmp_path / "found/report.html").read_text()
    assert "\nwrote found/report.html" in capsys.readouterr().out
    assert main(["report", "found", "--out", "page.html"]) == 0
    assert (tmp_path / "page.html").read_bytes() == (tmp_path / "found/report.html").read_bytes()
    assert main(["report", "found", "--out", "page.html"]) == 0  # a page of ours is replaced


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "page.csv"], "page.csv: the page about a search is HTML: give the suffix .html"),
        (["--at", "1"], "--at: found is the folder of a search: this is an option for a run"),
        (["--video"], "--video: found is the folder of a search"),
        (["--out", "notes.html"], "notes.html exists and is no comparison by this software"),
    ],
)
def test_reports_that_are_refused(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "found").mkdir()
    (tmp_path / "notes.html").write_text("notes")
    RECORD.write(tmp_path / "found", {})
    assert main(["report", "found", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "found/report.html").exists()


def test_damaged_records(tmp_path, capsys):
    RECORD.write(tmp_path, {})
    (tmp_path / "search.json").write_text("{}")
    assert main(["report", str(tmp_path)]) == 2
    assert "an intact copy exists" in capsys.readouterr().err
