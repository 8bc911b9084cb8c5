"""Small runs, of run.py in processes of their own or in this one, and what they leave."""

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
)
"""A run of some seconds, with the default model: a circuit."""

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
"""run.py on a slow disk: most of the time of a run that saves at every iteration is then spent in writing."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Whole:
    """The uninterrupted run."""

    path: Path
    iterations: int
    seconds: float
    """From the start of the process to its end [s]."""
    start_up: float
    """Until its folder is complete and training begins [s]."""
    bytes: dict[str, bytes]
    """What every other run must leave, too."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    code: int
    errors: str
    """Its stderr."""

    def refused(self, *words: str) -> bool:
        """Whether it ended with code 2 and one line of complaint, in which the words stand."""
        lines = self.errors.splitlines()
        complaints = [line for line in lines if line.startswith("run.py: error: ")]
        known = all(re.match(r"run\.py: error: |iteration \d|warning: |note: ", line) for line in lines)
        one = self.code == 2 and known and lines[-1:] == complaints
        return one and all(word in complaints[0] for word in words)


def start(*arguments: object, slow: bool = False) -> subprocess.Popen[str]:
    """Start run.py."""
    command = [sys.executable, *(("-c", SLOW) if slow else ("run.py",)), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a process."""
    _, errors = process.communicate(timeout=300)
    return Ended(process.returncode, errors)


def training(run: Path, iterations: int, every: int = EVERY) -> list[str]:
    """The arguments that start a small run."""
    return ["train", *SMALL, "--iterations", str(iterations), "--checkpoint-every", str(every), "--out", str(run)]


def going_on(run: Path, iterations: int, every: int = EVERY) -> list[str]:
    """What the user types after a stop: `resume`, or the first command again if there is nothing to resume yet."""
    return ["resume", str(run)] if (run / "config.json").exists() else training(run, iterations, every)


def uninterrupted(run: Path, iterations: int) -> Whole:
    """Train and evaluate without interruption."""
    begun = time.perf_counter()
    with start(*training(run, iterations)) as process:
        wait(process, (run / "config.json").exists)
        start_up = time.perf_counter() - begun
        ended = finish(process)
    seconds = time.perf_counter() - begun
    if ended.code:
        raise RuntimeError(ended.errors)
    return Whole(run, iterations, seconds, start_up, outcome(run))


def wait(process: subprocess.Popen[str], until: Callable[[], bool]) -> None:
    """Wait for something that a process does, or for its end."""
    while process.poll() is None and not until():
        time.sleep(0.002)


def newest(run: Path) -> int:
    """Iteration of the newest checkpoint, damaged or not; 0 without one."""
    return max(RunFolder(run, {}).checkpoints.iterations(), default=0)


def outcome(run: Path) -> dict[str, bytes]:
    """What is compared of a run that has ended."""
    checkpoint = run / "checkpoint" / f"{newest(run):08d}"
    state = json.loads((checkpoint / "state.json").read_bytes())
    del state["meta"]["seconds"]
    return {
        "tensors": (checkpoint / "state.safetensors").read_bytes(),
        "state": to_json({key: state[key] for key in ("iteration", "meta")}).encode(),
        "metrics": (run / "metrics.jsonl").read_bytes(),
        "evaluation": (run / "evaluation.json").read_bytes(),
        "picture": (run / "adaptation.png").read_bytes(),
    }


def failures(ended: Ended, run: Path, whole: Whole) -> list[str]:
    """What is wrong with a run that should have ended as the uninterrupted one; then its folder is removed."""
    if ended.code:
        return [f"exit code {ended.code}: {ended.errors[-500:]}"]
    theirs = outcome(run)
    shutil.rmtree(run)
    return [f"{name} differs" for name, data in whole.bytes.items() if theirs[name] != data]


def n_rows(run: Path) -> int:
    """Iterations in metrics.jsonl."""
    with suppress(FileNotFoundError):
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    return 0


def writing(run: Path) -> bool:
    """Whether a file or checkpoint of the run is half written."""
    return any(run.glob(".*.tmp")) or any((run / "checkpoint").glob(".*.tmp"))


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run."""
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two checkpoints hold the same tensors."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def small_runs(work: Path) -> tuple[RunFolder, list[RunFolder]]:
    """A run with checkpoints at iterations 1 and 2; and another seed and another model, whose digests are right too."""
    return small_run(work / "original"), [small_run(work / "seed", seed=1), small_run(work / "mlp", model="mlp")]


def small_run(path: Path, **fields: Any) -> RunFolder:
    """Two iterations in this process, with a checkpoint after each."""
    env = ENVS.load("navigation").Config(horizon=5)
    agent = AGENTS.load("maml").Config(meta_batch=2, episodes=3)
    spec = Spec.default(env="navigation", env_config=env, agent_config=agent, iterations=2, threads=1, **fields)
    run = RunFolder.create(path, {"spec": spec.to_json()})
    course = Training(spec, *build(spec))
    for _ in range(2):
        run.metrics.append(course.step())
        course.save(run)
    return run
