"""A sweep that is killed takes its runs with it, and continues to the same bits when it is started again."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agents.cli.main import main
from agents.experiment import report
from agents.runs.locks import locked
from agents.study import executor as executors
from agents.study.executor import Job, LocalProcesses
from qrl.common.errors import UsageError
from tests.support.command_line import ROOT
from tests.support.studies import SMALL, InProcess, results

SWEEP = ["sweep", "--models", "mlp,fourier", "--seeds", "2", *SMALL]
NAMES = [f"navigation-maml-{model}-seed{seed}" for model in ("mlp", "fourier") for seed in range(2)]


def wait_for(condition, seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_free(run: Path) -> bool:
    try:
        with locked(run):
            return True
    except UsageError:
        return False


def test_a_killed_sweep_is_continued(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    executor = InProcess()
    monkeypatch.setattr(report, "draw", lambda curves, rows: b"a picture")  # Drawing takes longer than training.
    monkeypatch.setattr(executors, "LocalProcesses", lambda: executor)
    assert main(["sweep", "--models", "mlp", "--seeds", "1", *SMALL, "--out", "study"]) == 0
    command = [sys.executable, str(ROOT / "run.py"), *SWEEP, "--out", "study"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sweep:
        second = tmp_path / "study" / NAMES[1]
        wait_for(lambda: (second / "config.json").exists() and not is_free(second))
        sweep.kill()
    if sys.platform == "linux":  # elsewhere a run ends by itself
        wait_for(lambda: is_free(second), 10)
    assert not (second / "evaluation.json").exists()
    assert not (tmp_path / "study" / NAMES[2]).exists()
    before = results(tmp_path / "study" / NAMES[0])

    executor.words.clear()
    assert main([*SWEEP, "--out", "study"]) == 0
    assert [words[0] for words in executor.words] == ["resume", "train", "train"]
    assert results(tmp_path / "study" / NAMES[0]) == before
    assert main([*SWEEP, "--out", "undisturbed"]) == 0
    for name in NAMES:
        assert results(tmp_path / "study" / name) == results(tmp_path / "undisturbed" / name)


@pytest.fixture
def sleeping(tmp_path, monkeypatch):
    """Package `agents` whose program prints its arguments and sleeps, in place of ours in new processes."""
    (tmp_path / "agents" / "study").mkdir(parents=True)
    for folder in ("agents", "agents/study"):
        (tmp_path / folder / "__init__.py").touch()
    shutil.copy(ROOT / "agents" / "study" / "child.py", tmp_path / "agents" / "study")
    (tmp_path / "agents" / "__main__.py").write_text(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "print(*sys.argv[1:], os.environ['OMP_NUM_THREADS'], flush=True)\n"
        "end = time.monotonic() + float(sys.argv[1])\n"
        "while time.monotonic() < end:\n"
        "    time.sleep(0.01)\n"  # a signal just before a long sleep would wait for its end
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_local_processes(sleeping):
    executor, log = LocalProcesses(), sleeping / "a.log"
    quick = executor.submit(Job(("0", "a b"), log, 3))
    wait_for(lambda: quick.poll() is not None)
    assert quick.poll() == 0
    assert log.read_text() == "$ python -m agents 0 'a b'\n0 a b 3\n"
    slow = executor.submit(Job(("100",), log, 1))
    wait_for(lambda: log.read_text().endswith("100 1\n"))
    assert slow.poll() is None
    slow.cancel()
    wait_for(lambda: slow.poll() is not None)
    assert slow.poll() == 143
    hard = executor.submit(Job(("100",), log, 1))
    hard.cancel(at_once=True)
    assert hard.poll() == -signal.SIGKILL
    with pytest.raises(UsageError):
        executor.submit(Job(("0",), sleeping / "missing" / "a.log", 1))


@pytest.mark.skipif(sys.platform != "linux", reason="a process dies with its parent on Linux only")
def test_a_process_dies_with_its_parent(sleeping):
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from agents.study.executor import Job, LocalProcesses\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(sleeping)!r})\n"
        f"handle = LocalProcesses().submit(Job(('100',), Path({str(sleeping / 'b.log')!r}), 1))\n"
        "print(handle._process.pid, flush=True)\n"
        "import time; time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_for(lambda: (sleeping / "b.log").read_text().endswith("100 1\n"))
        parent.kill()

    def is_gone() -> bool:
        status = Path(f"/proc/{pid}/status")
        return not status.exists() or "State:\tZ" in status.read_text()

    wait_for(is_gone, 10)
