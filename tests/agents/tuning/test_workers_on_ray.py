"""Searches on a Ray of this machine with two CPUs: the trials of a single process, lost workers, errors."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import agents
from agents.study import on_ray
from agents.tuning.record import Record
from tests.agents.study.test_ray import processes
from tests.agents.tuning.conftest import SMALL, WORDS
from tests.agents.tuning.test_processes import wait_for
from tests.agents.tuning.test_workers import ends
from tests.support.command_line import ROOT, refused

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray"),
    pytest.mark.skipif(sys.platform != "linux", reason="a job dies with its worker on Linux only"),
]

MORE = ("--trials", "4", "--iterations", "40", "--score-every", "40", "--held-out-seeds", "1")


def started(out: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(ROOT / "run.py"), *WORDS, *MORE, "--out", str(out), "--ray", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes)


def watchers(out: Path) -> list[int]:
    """Return the workers of Ray that watch the workers of a search."""
    lines = [line for line in processes(f"{out} ").values() if "agents.study.child" in line]
    return [int(line.partition("agents.study.child ")[2].split()[0]) for line in lines]


@pytest.mark.parametrize("is_killed", [False, True])
def test_each_trial_once_with_the_scores_of_a_single_process(tmp_path, is_killed):
    more = {"iterations": 40, "score_every": 40, "held_out_seeds": 1}
    alone = agents.tune(tmp_path / "alone", trials=4, **SMALL | more)
    out = tmp_path / "found"
    with started(out, "--jobs", "2") as search:
        if is_killed:
            wait_for(lambda: any(out.glob("trial-*/seed10000/checkpoint/*")))
            os.kill(watchers(out)[0], signal.SIGKILL)
        shown, errors = search.communicate(timeout=300)
    assert search.returncode == 0, errors
    record = Record.read(out)
    assert record.trials == alone.trials and record.held_out == alone.held_out
    assert ends(out / "trials.log") == dict.fromkeys(range(4), 1)
    assert sorted(re.findall(r"^trial (\d) complete", errors, re.MULTILINE)) == ["0", "1", "2", "3"]
    lost = re.findall(r"^lost: worker-\d: .*; submitted again \(1 of 3 times\)$", errors, re.MULTILINE)
    assert len(lost) == is_killed
    assert f"a page about the search: run.py report {out}\n" in shown
    assert not watchers(out)


def test_an_address_that_does_not_answer(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(on_ray, "ANSWER", 10.0)
    assert refused(capsys, [*WORDS, "--ray", "127.0.0.1:1"]).startswith("--ray 127.0.0.1:1: ")
