"""SIGKILL of trainings of every agent, at random instants and at every kind of file operation, then a resumed run."""

import contextlib
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.cli.main import main
from benchmarks.fault_injection.forked import forked
from benchmarks.fault_injection.runs import Row, outcome

FILE_OPERATIONS = ("open", "write", "fsync", "mkdir", "rename", "replace", "unlink", "rmdir")
"""Functions of `os` that change files, as training and evaluation call them."""

_TINY = (
    *(
        "--threads",
        "1",
        "--iterations",
        "6",
        "--checkpoint-every",
        "2",
        "--validate-every",
        "3",
        "--validate-tasks",
        "2",
    ),
    *("--eval-tasks", "2", "--eval-steps", "1", "--eval-episodes", "2"),
)
_SMALL = (*_TINY, "--env", "navigation", "--env.horizon", "6", "--agent.meta-batch", "2", "--agent.episodes", "3")
_RL2 = (*_TINY, "--env", "bandit", "--agent", "rl2", "--agent.meta-batch", "4", "--agent.episodes", "5")

CASES: Mapping[str, tuple[str, ...]] = {
    "maml, circuit": _SMALL,
    "maml, trpo, mlp": (*_SMALL, "--agent.outer", "trpo", "--model", "mlp"),
    "maml, running normalisation": (*_SMALL, "--model", "mlp", "--policy.normalisation", "running"),
    "maml, 20 shots": (*_SMALL, "--shots", "20", "--agent.estimator", "first-order"),
    "maml, noise": (*_SMALL, "--noise", "depolarizing=0.01"),
    "maml, two workers": (
        *(*_TINY, "--env", "CartPole-v1", "--vary", "gravity=5:15", "--env.horizon", "8", "--workers", "2"),
        *("--agent.meta-batch", "2", "--agent.episodes", "3"),
    ),
    "reptile": (*_SMALL, "--agent", "reptile"),
    "reinforce": (*_SMALL, "--agent", "reinforce"),
    "finetune": (*_SMALL, "--agent", "finetune"),
    "sb3_ppo": (*_SMALL, "--agent", "sb3_ppo", "--agent.n-epochs", "1"),
    "rl2, qgru": (*_RL2, "--model", "qgru"),
    "rl2, gru": (*_RL2, "--model", "gru"),
    "rl2, lstm, two trials": (*_RL2, "--model", "lstm", "--agent.trials", "2"),
}
"""Options of small runs of every trained agent, with shots, noise and worker processes."""


@dataclass(frozen=True)
class Reference:
    """Uninterrupted run of one case."""

    case: str
    seconds: float
    outcome: Mapping[str, bytes]
    files: frozenset[str]
    operations: Mapping[str, int]
    """Number of file operations of each kind."""


def reference(work: Path, case: str) -> Reference:
    """Train one case without interruption, and count its file operations."""
    run = work / f"whole {case}"
    counts = work / f"operations {case}"

    def counted() -> int:
        with _at_file_operation(lambda kind, n: None) as calls:
            code = main([*CASES[case], "--out", str(run)])
        counts.write_text("\n".join(f"{kind} {n}" for kind, n in calls.items()))
        return code

    done = forked(counted, work)
    if done.code:
        raise RuntimeError(f"{case}: {done}")
    operations = {kind: int(n) for kind, n in (line.split() for line in counts.read_text().splitlines())}
    return Reference(case, done.seconds, outcome(run), _files(run), operations)


def references(work: Path) -> list[Reference]:
    """Train every case without interruption."""
    return [reference(work, case) for case in CASES]


def kill_and_resume(wholes: list[Reference], work: Path, seed: int, index: int) -> Row:
    """Kill one training at an instant or a file operation, resume it, and compare the finished run.

    Cases take turns. Even trials are killed at a random instant, odd ones at a random file operation; its kinds take
    turns, too. Every third trial is killed again while it is resumed, every ninth twice.
    """
    whole, rng = wholes[index % len(wholes)], np.random.default_rng([seed, 4, index])
    run = work / f"killed-{index}"
    kills = 1 + (index % 3 == 2) + (index % 9 == 8)
    kinds = [kind for kind in FILE_OPERATIONS if whole.operations.get(kind)]
    struck, reached, problems = [], [], []
    number = 0
    while number < kills:
        at_operation = (index + number) % 2 == 1
        kind = kinds[(index // 2 + number) % len(kinds)]
        position = int(rng.integers(whole.operations.get(kind, 1)))
        instant = float(rng.uniform(0.02, 0.95) * whole.seconds)
        when = f"{kind} {position}" if at_operation else f"{instant:.2f} s"
        action = _killed(whole, run, (kind, position) if at_operation else instant)
        done = forked(action, work)
        if number == 0 and done.code == 0:  # It ended before its instant; another one is drawn.
            shutil.rmtree(run)
            continue
        number += 1
        struck.append(f"{'finished before' if done.code == 0 else 'killed at'} {when}")
        reached.append("too late" if done.code == 0 else kind if at_operation else "instant")
        if done.code not in (0, -signal.SIGKILL) or done.orphans:
            problems.append(f"{when}: {done}")
    last = forked(lambda: main(_arguments(whole, run)), work)
    problems += [f"{last}"] if last.code or last.orphans else _differences(whole, run)
    shutil.rmtree(run, ignore_errors=True)
    return {"index": index, "case": whole.case, "when": struck, "struck": reached, "failed": problems}


def _arguments(whole: Reference, run: Path) -> list[str]:
    """Return the command line that starts a run, or resumes it once its configuration exists."""
    if (run / "config.json").exists():
        return ["resume", str(run)]
    return [*CASES[whole.case], "--out", str(run)]


def _killed(whole: Reference, run: Path, when: float | tuple[str, int]) -> Callable[[], int]:
    """Return the action that starts or resumes a run, and is killed at an instant [s] or before a file operation."""

    def action() -> int:
        if not isinstance(when, tuple):
            timer = threading.Timer(when, os.kill, (os.getpid(), signal.SIGKILL))
            timer.daemon = True
            timer.start()
            return main(_arguments(whole, run))
        kind, position = when

        def strike(each: str, n: int) -> None:
            if each == kind and n > position:
                os.kill(os.getpid(), signal.SIGKILL)

        with _at_file_operation(strike):
            return main(_arguments(whole, run))

    return action


@contextlib.contextmanager
def _at_file_operation(strike: Callable[[str, int], None]) -> Iterator[Counter[str]]:
    """Call `strike(kind, number of calls so far)` before every file operation of this process, amid each write."""
    calls: Counter[str] = Counter()
    owner = os.getpid()

    def patched(kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **keywords: Any) -> Any:
            if os.getpid() == owner:
                calls[kind] += 1
                if kind == "write":
                    data = bytes(arguments[1])
                    before = call(arguments[0], data[: len(data) // 2])
                    strike(kind, calls[kind])
                    return before + call(arguments[0], data[len(data) // 2 :])
                strike(kind, calls[kind])
            return call(*arguments, **keywords)

        return counted

    originals = {kind: getattr(os, kind) for kind in FILE_OPERATIONS}
    for kind, call in originals.items():
        setattr(os, kind, patched(kind, call))
    try:
        yield calls
    finally:
        for kind, call in originals.items():
            setattr(os, kind, call)


def _differences(whole: Reference, run: Path) -> list[str]:
    """Return the differences of a finished run from the uninterrupted one, also in the names of files."""
    actual = outcome(run)
    changed = [f"{name} differs" for name, data in whole.outcome.items() if actual[name] != data]
    return changed + [f"left behind or missing: {name}" for name in sorted(_files(run) ^ whole.files)]


def _files(run: Path) -> frozenset[str]:
    return frozenset(str(path.relative_to(run)) for path in run.rglob("*"))
