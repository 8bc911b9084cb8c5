"""Small runs of run.py, in separate processes or in this one, and their outcomes."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agents.core.context import build
from agents.core.registry import AGENTS
from agents.core.spec import Spec
from agents.experiment.loop import Training
from agents.runs.folder import RunFolder
from envs.core.registry import ENVS
from qrl.common.files import to_json

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = (
    *("--env", "navigation", "--threads", "1", "--env.horizon", "10", "--agent.meta-batch", "3"),
    *("--agent.episodes", "4", "--eval-tasks", "3", "--eval-steps", "1", "--eval-episodes", "2"),
    *("--validate-every", "2", "--validate-tasks", "2"),
)
"""Options of a run of a few seconds with the default model, a circuit."""

EVERY = 3
"""Iterations between checkpoints."""

PAUSE = 0.02
SLOW = f"""
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
def slowed(call):
    return lambda *a, **k: (time.sleep({PAUSE}), call(*a, **k))[1]
for name in ("fsync", "rename", "replace"):
    setattr(os, name, slowed(getattr(os, name)))
from agents.cli.main import main
sys.exit(main())
"""
"""run.py on a simulated slow disk, so that runs that save at every iteration spend most of the time writing."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Whole:
    """Uninterrupted run, the reference of all others."""

    path: Path
    iterations: int
    seconds: float
    """From the start of the process to its end [s]."""
    start_up: float
    """From the start of the process until its folder is complete and training begins [s]."""
    bytes: dict[str, bytes]
    """Outcome that every other run must reproduce."""


@dataclass(frozen=True)
class Ended:
    """Finished process."""

    code: int
    errors: str
    """Its stderr."""

    def refused(self, *words: str) -> bool:
        """Return whether it ended with code 2 and a one-line error message that contains the words."""
        lines = self.errors.splitlines()
        messages = [line for line in lines if line.startswith("run.py: error: ")]
        known = r"run\.py: error: |(validation after )?iteration \d|warning: |note: "
        all_known = all(re.match(known, line) for line in lines)
        one_line = self.code == 2 and all_known and lines[-1:] == messages
        return one_line and all(word in messages[0] for word in words)


def start(*arguments: object, slow: bool = False) -> subprocess.Popen[str]:
    """Start run.py."""
    command = [sys.executable, *(("-c", SLOW) if slow else ("run.py",)), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a process and return its exit code and stderr."""
    _, errors = process.communicate(timeout=300)
    return Ended(process.returncode, errors)


def training(run: Path, iterations: int, every: int = EVERY) -> list[str]:
    """Return the arguments that start a small run."""
    return ["train", *SMALL, "--iterations", str(iterations), "--checkpoint-every", str(every), "--out", str(run)]


def going_on(run: Path, iterations: int, every: int = EVERY) -> list[str]:
    """Return the arguments that continue a stopped run: `resume`, or those of the start if there is no run yet."""
    return ["resume", str(run)] if (run / "config.json").exists() else training(run, iterations, every)


def uninterrupted(run: Path, iterations: int) -> Whole:
    """Train and evaluate without interruption."""
    started = time.perf_counter()
    with start(*training(run, iterations)) as process:
        wait(process, (run / "config.json").exists)
        start_up = time.perf_counter() - started
        ended = finish(process)
    seconds = time.perf_counter() - started
    if ended.code:
        raise RuntimeError(ended.errors)
    return Whole(run, iterations, seconds, start_up, outcome(run))


def wait(process: subprocess.Popen[str], until: Callable[[], bool]) -> None:
    """Wait until a condition holds or the process ends."""
    while process.poll() is None and not until():
        time.sleep(0.002)


def newest(run: Path) -> int:
    """Return the iteration of the newest checkpoint, damaged or not; 0 without one."""
    return max(RunFolder(run, {}).checkpoints.iterations(), default=0)


def outcome(run: Path) -> dict[str, bytes]:
    """Return the compared files of a finished run."""
    checkpoint = run / "checkpoint" / f"{newest(run):08d}"
    state = json.loads((checkpoint / "state.json").read_bytes())
    del state["meta"]["seconds"]
    best = RunFolder(run, {}).best.iterations()[-1:]
    return {
        "best": b"".join((run / "best" / f"{each:08d}" / "state.safetensors").read_bytes() for each in best),
        "validation": (run / "validation.jsonl").read_bytes() if (run / "validation.jsonl").exists() else b"",
        "tensors": (checkpoint / "state.safetensors").read_bytes(),
        "state": to_json({key: state[key] for key in ("iteration", "meta")}).encode(),
        "metrics": (run / "metrics.jsonl").read_bytes(),
        "evaluation": (run / "evaluation.json").read_bytes(),
        "picture": (run / "adaptation.png").read_bytes(),
    }


def failures(ended: Ended, run: Path, reference: Whole) -> list[str]:
    """Return differences of a finished run from the uninterrupted one, and remove its folder."""
    if ended.code:
        return [f"exit code {ended.code}: {ended.errors[-500:]}"]
    actual = outcome(run)
    shutil.rmtree(run)
    return [f"{name} differs" for name, data in reference.bytes.items() if actual[name] != data]


def n_rows(run: Path) -> int:
    """Return the number of iterations in metrics.jsonl."""
    with suppress(FileNotFoundError):
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    return 0


def writing(run: Path) -> bool:
    """Return whether a file or checkpoint of the run is partially written."""
    return any(run.glob(".*.tmp")) or any((run / "checkpoint").glob(".*.tmp"))


def contents(run: Path) -> dict[str, bytes]:
    """Return the contents of all files of a run by path."""
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Return whether two checkpoints contain the same tensors."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def small_runs(work: Path) -> tuple[RunFolder, list[RunFolder]]:
    """Return a run with checkpoints at iterations 1 and 2, and valid runs with another seed and another model."""
    return small_run(work / "original"), [small_run(work / "seed", seed=1), small_run(work / "mlp", model="mlp")]


def small_run(path: Path, **fields: Any) -> RunFolder:
    """Train two iterations in this process, with a checkpoint after each."""
    env = ENVS.load("navigation").Config(horizon=5)
    agent = AGENTS.load("maml").Config(meta_batch=2, episodes=3)
    spec = Spec.default(env="navigation", env_config=env, agent_config=agent, iterations=2, threads=1, **fields)
    run = RunFolder.create(path, {"spec": spec.to_json()})
    training_loop = Training(spec, *build(spec))
    for _ in range(2):
        run.metrics.append(training_loop.step())
        training_loop.save(run)
    return run
