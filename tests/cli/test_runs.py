"""Whole runs from the command line: signals, resume, evaluate, invalid input; in subprocesses where needed.

Other tests call `run.main` directly, as a process takes seconds to import torch.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agents.cli.main import main
from agents.experiment.loop import Training

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = [
    *("--threads", "1", "--env.horizon", "10", "--agent.meta-batch", "3", "--agent.episodes", "4"),
    *("--agent.epochs", "1", "--checkpoint-every", "2"),
    *("--eval-tasks", "3", "--eval-steps", "1", "--eval-episodes", "2"),
]


def in_a_process(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "run.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def here(*arguments: object) -> int:
    return main([*map(str, arguments)])


def start(out: Path, iterations: int) -> subprocess.Popen[str]:
    command = [sys.executable, "run.py", *SMALL, "--iterations", str(iterations), "--out", str(out)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    )


def heed_ctrl_c() -> None:
    """Restore SIGINT, which a child inherits as ignored under nohup or in the background of make."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_rows(process: subprocess.Popen[str], out: Path, rows: int) -> None:
    """Wait until the run has logged `rows` iterations; the deadline only ends a hanging test."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with_rows = (out / "metrics.jsonl").exists() and (out / "metrics.jsonl").read_text().count("\n") >= rows
        if with_rows:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {rows} iterations: {process.communicate()}")


def test_train_evaluate_rerun(tmp_path, capsys):
    out = tmp_path / "run"
    done = in_a_process("train", *SMALL, "--iterations", 3, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "3 test tasks" in done.stdout and "iteration 3/3" in done.stderr
    assert sorted(p.name for p in (out / "checkpoint").iterdir()) == ["00000002", "00000003"]
    assert {p.name for p in out.iterdir() if p.name[0] != "."} == {
        "config.json", "metrics.jsonl", "checkpoint", "evaluation.json", "adaptation.png",
    }  # fmt: skip
    config = json.loads((out / "config.json").read_text())
    assert config["spec"]["agent_config"]["meta_batch"] == 3 and config["command"][:2] == ["run.py", "train"]
    assert {"python", "torch", "pennylane"} <= config["versions"].keys()
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    expected = {"iteration", "env_steps", "return_by_step", "loss", "kl", "entropy", "grad_norm"}
    assert all(expected <= row.keys() and len(row["return_by_step"]) == 2 for row in rows)
    curve = json.loads((out / "evaluation.json").read_text())
    assert curve["x"] == [0, 1] and curve["episodes"] == [0, 2] and curve["split"] == "test"
    assert (curve["env"], curve["agent"], curve["model"]) == ("navigation", "maml", "reuploading")
    assert len(curve["per_task"]) == curve["n_tasks"] == 3

    assert here("--config", out, "--out", tmp_path / "again") == 0
    for name in ("evaluation.json", "checkpoint/00000003/state.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes()

    own = ["evaluate", out, "--tasks", 2, "--steps", 1, "--episodes", 2, "--out"]
    assert here(*own, tmp_path / "mine.of.today.json") == 0
    capsys.readouterr()
    assert {p.name for p in tmp_path.glob("mine*")} == {"mine.of.today.json", "mine.of.today.png"}
    (out / "folder.json").mkdir()
    for file, message in (
        (tmp_path / "mine.of.today.json", "already exists; choose another --out"),
        (out / "folder.json", "already exists; choose another --out"),
        (tmp_path / "mine.txt", "must end in .json"),
        (tmp_path / "no/mine.json", "does not exist"),
        (tmp_path / ("x" * 300 + ".json"), "File name too long"),
    ):
        assert here(*own, file) == 2 and message in capsys.readouterr().err
    (out / "folder.json").rmdir()

    assert here("evaluate", out, "--tasks", 4, "--steps", 2, "--episodes", 3, "--split", "ood") == 0
    assert json.loads((out / "evaluation-ood.json").read_text())["x"] == [0, 1, 2]
    assert (out / "evaluation.json").read_text() == (tmp_path / "again/evaluation.json").read_text()

    assert here("resume", out, "--iterations", 4) == 0
    assert (out / "checkpoint/00000004").is_dir()
    capsys.readouterr()
    before = (out / "config.json").read_bytes()
    assert here("train", *SMALL, "--iterations", 3, "--out", out) == 2 and "--overwrite" in capsys.readouterr().err
    assert (out / "config.json").read_bytes() == before


def finished_its_iteration_and_saved(out: Path, errors: str) -> int:
    """Check that the run finished its iteration and saved; return the number of iterations."""
    assert "run.py resume" in errors and "Traceback" not in errors
    assert "finishing this iteration, then saving; press Ctrl-C" in errors
    rows = (out / "metrics.jsonl").read_text().splitlines()
    newest = max(int(p.name) for p in (out / "checkpoint").iterdir())
    assert json.loads(rows[-1])["iteration"] == newest == len(rows)
    return newest


def test_ctrl_c_finishes_the_iteration_and_saves(tmp_path):
    process = start(tmp_path / "run", 1_000_000)
    wait_for_rows(process, tmp_path / "run", 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and finished_its_iteration_and_saved(tmp_path / "run", errors) >= 3


def test_sigterm_finishes_the_iteration_and_saves(tmp_path, monkeypatch, capfd):
    original = Training.step

    def step(self: Training) -> dict[str, Any]:
        if self.iteration == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self)

    monkeypatch.setattr(Training, "step", step)
    assert here(*SMALL, "--iterations", 5, "--out", tmp_path / "run") == 143
    assert finished_its_iteration_and_saved(tmp_path / "run", capfd.readouterr().err) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "navigaton"], "did you mean 'navigation'"),
        (["--model", "reuplaoding"], "did you mean 'reuploading'"),
        (["--agent", "mamel"], "did you mean 'maml'"),
        (["--agent.inner-stpes", "2"], "--agent.inner-steps"),
        (["--agent.meta-batch", "0"], "meta_batch must be at least 1"),
        (["--agent.inner-step-size", "nan"], "finite"),
        (["--iterations", "-3"], "iterations must be at least 1"),
        (["--iterations", "three"], "iterations"),
        (["--policy.head", "categorical"], "use gaussian"),
        (["--model.n-wires", "50"], "this machine's memory"),
        (["--device", "cuda"], "no CUDA device"),
        (["--eval-tasks", "1"], "eval-tasks must be at least 2"),
        (["--seed", "-1"], "seed must be at least 0"),
    ],
)
def test_invalid_input_gives_a_one_line_error_and_no_files(tmp_path, arguments, message, capsys, unchecked):
    assert here(*SMALL[:2], *arguments, "--out", tmp_path / "run") == 2
    said = capsys.readouterr()
    assert message in said.err and len(said.err.strip().splitlines()) == 1 and not said.out
    assert list(tmp_path.iterdir()) == []


def test_invalid_input_gives_the_same_error_in_a_subprocess(tmp_path):
    done = in_a_process("--agent.meta-batch", "0", "--out", tmp_path / "run")
    assert done.returncode == 2 and not done.stdout
    assert done.stderr == "run.py: error: agent maml: meta_batch must be at least 1, not 0\n"


def test_random_agent_needs_no_training(tmp_path, capsys):
    few = ["--eval-tasks", 5, "--eval-episodes", 3]
    assert here("--agent", "random", "--env", "cartpole_target", *few, "--out", tmp_path / "r") == 0
    assert here("evaluate", tmp_path / "r", "--tasks", 4, "--steps", 1, "--episodes", 2) == 0
    assert here("resume", tmp_path / "r") == 2 and "does not train" in capsys.readouterr().err


def test_full_disk_gives_a_one_line_error(tmp_path, capsys):
    """Simulated by a file size limit, which needs no privileges: no partial file remains."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # Python ignores the signal, and writing fails.
    try:
        code = here(*SMALL, "--iterations", 1, "--out", tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    assert "File too large" in capsys.readouterr().err.splitlines()[-1]
    assert not any(p.suffix == ".tmp" for p in (tmp_path / "run").rglob("*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert here(*SMALL, "--out", tmp_path / "run") == 2 and "ermission denied" in capsys.readouterr().err
