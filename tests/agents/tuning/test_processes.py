"""Several processes on one search: no trial is lost, and none is run twice."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import optuna
import pytest

import agents
from agents.cli.main import main
from agents.core.spec import Spec
from agents.experiment.loop import Training
from agents.runs.locks import locked
from agents.tuning import search
from agents.tuning.folder import folder_lock, try_lock
from agents.tuning.ranges import Wanted, ranges_of
from agents.tuning.record import Record
from agents.tuning.request import SearchRequest
from agents.tuning.search import Search
from agents.tuning.storage import open_storage
from tests.agents.tuning.conftest import SMALL, WORDS
from tests.support.command_line import ROOT


def request_of(folder: Path, **changes) -> SearchRequest:
    spec = Spec.default(env="navigation", agent="maml", model="mlp")
    ranges = ranges_of(spec, [Wanted("agent.clip")])
    return SearchRequest(
        **{"spec": spec, "ranges": ranges, "out": folder, "storage": f"journal:{folder}.log", "trials": 3} | changes
    )


def opened(request: SearchRequest) -> Search:
    with folder_lock(request.out):
        return Search(request)


@pytest.fixture
def cleanup():
    """Locks to release at the end."""
    with ExitStack() as stack:
        yield stack


def test_trials_are_claimed_once(tmp_path, cleanup):
    request = request_of(tmp_path / "a")
    first, second = opened(request), opened(request)
    claims = [first.claim(), second.claim(), first.claim()]
    for claim in claims:
        cleanup.push(claim.lock)
    assert [claim.number for claim in claims] == [0, 1, 2]
    assert claims[0].options == {"agent.clip": 0.2}
    assert len({claim.options["agent.clip"] for claim in claims}) == 3
    assert second.claim() is None and not second.is_finished()
    first.finish(claims[0], 1.0, "complete", "")
    claims[1].lock.close()  # as the operating system does for a killed process
    again = first.claim()
    cleanup.push(again.lock)
    assert (again.number, again.options) == (1, claims[1].options)
    assert second.claim() is None


def test_a_continued_trial_keeps_its_scores(tmp_path):
    request = request_of(tmp_path / "a")
    claim = opened(request).claim()
    other = opened(request)
    other.report(claim, 5, 1.5)
    claim.lock.close()
    again = other.claim()
    assert again.reported == {5: 1.5}
    other.finish(again, 2.0, "complete", "")
    again.lock.close()
    assert [each.state for each in other.trials()] == ["complete"]


def test_trials_of_another_folder_are_left_to_it(tmp_path):
    one = request_of(tmp_path / "a", storage=f"journal:{tmp_path / 'x.log'}")
    other = request_of(tmp_path / "b", storage=one.storage)
    claim = opened(one).claim()
    claim.lock.close()
    theirs = opened(other)
    assert theirs.elsewhere() == [0]
    found = theirs.claim()
    assert found.number == 1
    found.lock.close()
    taken = opened(request_of(tmp_path / "b", storage=one.storage, take_over=True))
    assert taken.claim().number == 0


def test_a_trial_of_a_process_that_was_killed_while_claiming(tmp_path, monkeypatch):
    request = request_of(tmp_path / "a")
    found = opened(request)
    found.study.ask()
    assert found.elsewhere() == [0]  # perhaps of another folder
    monkeypatch.setattr(search, "CLAIMING", 0.0)
    assert found.claim().number == 0


def test_no_more_trials_than_asked_for_when_another_machine_is_faster(tmp_path, monkeypatch):
    storage = f"journal:{tmp_path / 'x.log'}"
    found = opened(request_of(tmp_path / "a", trials=1, storage=storage))
    with opened(request_of(tmp_path / "b", trials=1, storage=storage)).claim().lock:
        counted, stale = found._counted, [[]]  # as it was before the other machine began its trial
        monkeypatch.setattr(found, "_counted", lambda **kind: stale.pop() if stale else counted(**kind))
        monkeypatch.setattr(found, "_waiting", lambda: False)
        assert found.claim() is None
    assert [each.number for each in found.trials()] == [0]
    assert len(found.study.trials) == 2 and not (tmp_path / "a/trial-0001").exists()
    assert not found.is_finished()


def test_a_running_trial_can_be_continued_by_another_process(tmp_path):
    """Optuna: a trial that another process has begun takes suggestions, reports and its end."""
    storages = [open_storage(f"journal:{tmp_path / 'x.log'}") for _ in range(2)]
    one, other = (
        optuna.create_study(storage=each, study_name="s", direction="maximize", load_if_exists=True)
        for each in storages
    )
    trial = one.ask()
    value = trial.suggest_float("x", 0, 1)
    trial.report(0.25, 1)
    (frozen,) = other.trials
    again = optuna.trial.Trial(other, frozen._trial_id)
    assert again.suggest_float("x", 0, 1) == value
    assert 0 <= again.suggest_float("y", 0, 1) <= 1
    again.report(0.5, 2)
    other.tell(frozen.number, 3.0)
    (seen,) = one.trials
    assert (seen.value, seen.intermediate_values) == (3.0, {1: 0.25, 2: 0.5})


def test_locks_of_folders(tmp_path):
    lock = try_lock(tmp_path / "a")
    assert try_lock(tmp_path / "a") is None
    lock.close()
    with locked(tmp_path / "a", wait=True):
        assert try_lock(tmp_path / "a") is None


def process(folder: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), *WORDS, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition, seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_two_processes_one_of_which_is_killed(folder):
    words = ("--trials", "6", "--out", "found", "--iterations", "12")

    def kill() -> None:
        """Kill the other process as soon as this one has begun a trial."""
        wait_for(lambda: any(folder.glob("found/trial-0001/seed10000/checkpoint/*")))
        other.send_signal(signal.SIGKILL)

    with process(folder, *words) as other, ThreadPoolExecutor(1) as pool:
        wait_for(lambda: any(folder.glob("found/trial-0000/seed10000/checkpoint/*")))
        killed = pool.submit(kill)
        assert main([*WORDS, *words]) == 0
        killed.result()
    assert other.returncode == -signal.SIGKILL
    record = Record.read(folder / "found")
    assert [trial.number for trial in record.trials] == list(range(6))
    assert {trial.state for trial in record.trials} == {"complete"}
    entries = [json.loads(line) for line in (folder / "found/trials.log").read_text().splitlines()]
    created = [entry for entry in entries if entry["op_code"] == 4]
    ended = Counter(entry["trial_id"] for entry in entries if entry["op_code"] == 6 and entry["state"] in (1, 2, 3))
    assert len(created) == 6 and set(ended.values()) == {1} and len(ended) == 6
    for trial in record.trials:  # also of the trial that was continued: each iteration once
        rows = (folder / f"found/trial-{trial.number:04d}/seed10000/metrics.jsonl").read_text().splitlines()
        assert [json.loads(row)["iteration"] for row in rows] == list(range(1, 13))


def test_signal_saves_and_says_how_to_continue(folder, monkeypatch, capsys):
    """SIGTERM: SIGINT is ignored if these tests run in the background of a shell."""
    original = Training.step

    def step(self: Training) -> dict[str, Any]:
        if self.iteration == 2:
            signal.raise_signal(signal.SIGTERM)
        return original(self)

    monkeypatch.setattr(Training, "step", step)
    assert main([*WORDS, "--trials", "2", "--out", "found"]) == 143
    assert "stopped; to continue: run.py tune --env navigation" in capsys.readouterr().err
    assert Record.read(folder / "found").trials[0].state == "running"


def test_a_database_shared_by_folders(folder):
    """Each folder continues its own trials; both find all of them."""
    storage = "sqlite:///all.db"
    one = agents.tune("one", trials=1, storage=storage, **SMALL)
    both = agents.tune("two", trials=2, storage=storage, **SMALL)
    assert both.trials[0] == one.trials[0] and len(both.trials) == 2
    assert not (folder / "two/trial-0000").exists()
