"""Runs in one process or in several, as a user starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def start(processes: int, words: Sequence[str], log: Path, *, restarts: int = 0) -> "subprocess.Popen[bytes]":
    """Start a command of run.py, with torchrun if there are several processes; its output goes to the log."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    launcher += ["--max-restarts", str(restarts)]
    command = [sys.executable, *(launcher if processes > 1 else []), str(ROOT / "run.py"), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with log.open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


def run(processes: int, words: Sequence[str], log: Path) -> None:
    """Run a command to its end. Raises RuntimeError if it fails."""
    wait(start(processes, words, log), log)


def wait(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait for a command. Raises RuntimeError, with the end of its log, if it fails."""
    if code := process.wait():
        raise RuntimeError(f"exit code {code}: {log.read_text()[-2000:]}")


def wait_for_iterations(out: Path, count: int, timeout: float = 120.0) -> None:
    """Wait until a run has finished so many iterations. Raises TimeoutError after a while [s]."""
    deadline, metrics = time.monotonic() + timeout, out / "metrics.jsonl"
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{out} has not reached iteration {count}")
        time.sleep(0.01)


def workers(process: "subprocess.Popen[bytes]") -> list[int]:
    """Return the process ids of what torchrun has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(each) for each in children.split()]


def kill_one(process: "subprocess.Popen[bytes]") -> None:
    """Kill the last of the processes that torchrun has started."""
    os.kill(workers(process)[-1], signal.SIGKILL)


def content(out: Path) -> dict[str, bytes]:
    """Return what of a run does not depend on the time: metrics, evaluation, and tensors of checkpoints."""
    paths = [out / "metrics.jsonl", out / "evaluation.json", *sorted(out.glob("checkpoint/*/state.safetensors"))]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def seconds_of(out: Path) -> float:
    """Return the seconds of training per iteration between the last two checkpoints of a run."""
    states = [json.loads(path.read_text()) for path in sorted(out.glob("checkpoint/*/state.json"))]
    (begin, first), (end, last) = [(state["meta"]["seconds"], state["iteration"]) for state in states[-2:]]
    return float(end - begin) / int(last - first)
