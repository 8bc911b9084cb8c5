"""Sweeps on a Ray of this machine with two CPUs: equal results, lost workers, signals, errors."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agents.runs.locks import locked
from agents.study import on_ray
from agents.study.executor import Job, Lost
from agents.study.on_ray import RayExecutor
from qrl.common.errors import UsageError
from tests.support.command_line import ROOT
from tests.support.studies import SMALL, results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray"),
    pytest.mark.skipif(sys.platform != "linux", reason="a job dies with its worker on Linux only"),
]

LONG = [*SMALL[2:], "--iterations", "300", "--checkpoint-every", "2"]
MLP = ["--env", "navigation", "--models", "mlp"]


def sweep(out: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(ROOT / "run.py"), "sweep", *MLP, *words, "--out", str(out)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for the end of a sweep; return its exit code and what it said."""
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def is_free(run: Path) -> bool:
    try:
        with locked(run):
            return True
    except UsageError:
        return False


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def processes(text: str) -> dict[int, str]:
    """Return the command lines that contain a text, by process id."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if text in line and int(path.parent.name) != os.getpid():
            found[int(path.parent.name)] = line
    return found


def jobs(out: Path) -> list[int]:
    """Return the processes that train runs of a study, not those that sweep it."""
    return [pid for pid, line in processes(f"{out}/").items() if "agents.study.child" in line]


def worker(out: Path) -> int:
    """Return the worker of Ray that watches a run of a study."""
    (line,) = (line for line in processes(f"{out}/").values() if "agents.study.child" in line)
    return int(line.partition("agents.study.child ")[2].split()[0])


def is_training(out: Path, name: str = "navigation-maml-mlp-seed0") -> bool:
    return bool(jobs(out)) and len(list(out.glob(f"{name}/checkpoint/*"))) > 0


def test_equal_results(tmp_path):
    there = tmp_path / "ray"
    assert ended(sweep(tmp_path / "local", "--seeds", "2", *SMALL))[0] == 0
    code, errors = ended(sweep(there, "--seeds", "2", *SMALL, "--ray"))
    assert code == 0
    assert len(errors.splitlines()) == 2  # a line for each run, and nothing of Ray's
    for name in ("navigation-maml-mlp-seed0", "navigation-maml-mlp-seed1"):
        assert results(there / name) == results(tmp_path / "local" / name)
        log = (there / f"{name}.log").read_text()
        assert log.startswith("$ python -m agents train ") and "iteration 2/2" in log
    assert not processes(str(there))


def test_a_killed_worker_is_replaced(tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert ended(sweep(whole, *LONG))[0] == 0
    run = sweep(out, *LONG, "--ray")
    wait_for(lambda: is_training(out))
    os.kill(worker(out), signal.SIGKILL)
    code, errors = ended(run)
    assert code == 0
    assert re.search(r"^lost: navigation-maml-mlp-seed0: .*; submitted again \(1 of 3 times\)$", errors, re.MULTILINE)
    commands = re.findall(
        r"^\$ python -m agents (\w+)", (out / "navigation-maml-mlp-seed0.log").read_text(), re.MULTILINE
    )
    assert commands == ["train", "resume"]
    assert results(out / "navigation-maml-mlp-seed0") == results(whole / "navigation-maml-mlp-seed0")


@pytest.mark.parametrize("ignored", [False, True])
def test_a_signal_lets_the_runs_save(tmp_path, ignored):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else None  # as a shell starts background jobs
    try:
        run = sweep(tmp_path / "a", *LONG, "--ray")
    finally:
        if ignored:
            signal.signal(signal.SIGINT, before)
    wait_for(lambda: is_training(tmp_path / "a"))
    run.terminate()
    code, errors = ended(run)
    assert code == 143
    assert "stopped; to continue: " in errors
    assert "stopped after iteration" in (tmp_path / "a" / "navigation-maml-mlp-seed0.log").read_text()


def test_a_killed_sweep_leaves_nothing_behind(tmp_path):
    before = set(Path("/tmp").glob("qrl-*"))
    run = sweep(tmp_path / "a", *LONG, "--ray")
    wait_for(lambda: is_training(tmp_path / "a"))
    (folder,) = set(Path("/tmp").glob("qrl-*")) - before
    run.kill()
    ended(run)
    wait_for(lambda: not jobs(tmp_path / "a") and is_free(tmp_path / "a" / "navigation-maml-mlp-seed0"), 10)
    wait_for(lambda: not folder.exists() and not processes(str(folder)), 60)


def test_jobs_without_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with RayExecutor() as executor:
        assert executor.room == len(os.sched_getaffinity(0))
        many = executor.submit(Job(("list",), Path("many.log"), 1000))  # more CPUs than there are
        wait_for(lambda: many.poll() is not None)
        assert many.poll() == 0 and "navigation" in Path("many.log").read_text()
        wrong = executor.submit(Job(("nonsense",), Path("wrong.log"), 1))
        wait_for(lambda: wrong.poll() is not None)
        assert wrong.poll() == 2
        hard = executor.submit(Job(("train", "--out", "run", *LONG), Path("hard.log"), 1))
        wait_for(lambda: "iteration 1/" in Path("hard.log").read_text())
        hard.cancel(at_once=True)
        assert hard.poll() == -signal.SIGKILL
        monkeypatch.setattr(on_ray.os, "getcwd", lambda: "/missing")  # as on a machine that does not share it
        lone = executor.submit(Job(("list",), tmp_path / "lone.log", 1))
        wait_for(lambda: lone.poll() is not None)
        assert lone.poll() == 1
        assert re.search(r"machine .*: \[Errno 2\].*'/missing'.*share this folder\?\n$", Path("lone.log").read_text())
        monkeypatch.undo()
        lost = executor.submit(Job(("train", "--out", str(tmp_path / "lost"), *LONG), tmp_path / "lost.log", 1))
        executor._driver.kill()
        wait_for(lambda: executor._is_over)
        with pytest.raises(Lost, match="Ray has ended"):
            lost.poll()
        with pytest.raises(OSError, match="Ray has ended"):
            executor.submit(Job(("list",), tmp_path / "lost.log", 1))


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1"])
def test_an_address_that_does_not_answer(address, tmp_path, monkeypatch):
    monkeypatch.setattr(on_ray, "ANSWER", 10.0)
    message = rf"^--ray {address}: (no answer within 10 s|Could not find any running Ray .*)$"
    with pytest.raises(UsageError, match=message), RayExecutor(address):
        pass
