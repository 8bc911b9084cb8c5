"""Training while another job takes one core: time per iteration of `rl2` on the bandit with the default options.

    python -m benchmarks.busy_core [--quick]      results/busy_core.json

Each row is a run of `run.py train` in its own process; the rows take turns, and a number is the median over iterations
without the first of each run. The other job is a loop in Python that is pinned to one core. With the default options
the time beside it should be at most 1.3 times that of one thread on a quiet machine. The last row turns the waiting
policy of `agents/cli/waiting.py` off: OpenMP's threads then spin, and a run that takes too long is ended.
"""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.cli.waiting import PASSIVE
from benchmarks.shared.common import table, write_result
from benchmarks.shared.main import QuickOptions, run_main

MOST = 1.3
"""Upper bound of the time beside the other job over that of one thread on a quiet machine [ratio]."""
PATIENCE = 40.0
"""Time from the end of the first iteration after which a run is ended [s]."""
LIBRARY_DEFAULT = {"KMP_BLOCKTIME": "200"}
"""A setting of the user, so that the command sets nothing: the default of Intel's library, which libgomp ignores."""
ROOT = Path(__file__).resolve().parent.parent
TRAIN = (
    *(sys.executable, "run.py", "train", "--env", "bandit", "--agent", "rl2"),
    *("--eval-tasks", "2", "--eval-episodes", "1"),
)


@dataclass(frozen=True)
class Case:
    """Row of the result."""

    name: str
    options: tuple[str, ...] = ()
    busy: bool = False
    passive: bool = True
    """Whether the command sets its waiting policy, or else the library's own default applies."""


CASES = (
    Case("quiet, one thread", ("--threads", "1")),
    Case("quiet, default"),
    Case("busy, default", busy=True),
    Case("busy, waiting policy off", busy=True, passive=False),
)


def main(options: QuickOptions) -> None:
    """Time the rows in turns."""
    rounds, iterations = (1, 3) if options.quick else (3, 6)
    seconds: dict[str, list[float]] = {case.name: [] for case in CASES}
    for _ in range(rounds):
        for case in CASES:
            if not (seconds[case.name] and not case.passive):  # the slow one runs once
                seconds[case.name] += measure(case, iterations)
    reference = statistics.median(seconds[CASES[0].name])
    rows = [row(case, seconds[case.name], reference) for case in CASES]
    print(table(rows))
    write_result("busy_core", rows, quick=options.quick)
    sys.exit(any(row["pass"] is False for row in rows))


def row(case: Case, seconds: list[float], reference: float) -> dict[str, Any]:
    """Return a row of the result."""
    median = statistics.median(seconds)
    is_required = case.busy and case.passive
    return {
        "what": case.name,
        "iterations": len(seconds),
        "seconds per iteration": median,
        "over quiet, one thread": median / reference,
        "at most": MOST if is_required else None,
        "pass": median <= MOST * reference if is_required else None,
    }


def measure(case: Case, iterations: int) -> list[float]:
    """Train once; return the time of each iteration after the first [s].

    An iteration that did not end in time counts with the time that it has taken, a lower bound.
    """
    own = {name: value for name, value in os.environ.items() if name not in (*PASSIVE, "OMP_NUM_THREADS")}
    own |= {} if case.passive else LIBRARY_DEFAULT
    with tempfile.TemporaryDirectory() as folder, other_job() if case.busy else nullcontext():
        run = Path(folder) / "run"
        command = [*TRAIN, "--iterations", str(iterations), "--out", str(run), *case.options]
        process = subprocess.Popen(command, cwd=ROOT, env=own, stdout=subprocess.DEVNULL)
        try:
            return durations(process, run, iterations)
        finally:
            process.kill()
            process.wait()


def durations(process: subprocess.Popen[bytes], run: Path, iterations: int) -> list[float]:
    """Return the times between the rows of metrics.jsonl of a running training [s]."""
    ends: list[float] = []
    while len(ends) < iterations and (not ends or time.monotonic() < ends[0] + PATIENCE):
        ended = process.poll() is not None
        if process.returncode not in (None, 0):
            sys.exit(f"benchmarks.busy_core: training failed with exit code {process.returncode}")
        lines = (run / "metrics.jsonl").read_text().count("\n") if (run / "metrics.jsonl").exists() else 0
        ends += [time.monotonic()] * (lines - len(ends))
        if ended and len(ends) < iterations:
            sys.exit("benchmarks.busy_core: training ended before its last iteration")
        time.sleep(0.005)
    if len(ends) < iterations:
        ends.append(time.monotonic())
    return [after - before for before, after in itertools.pairwise(ends)]


@contextmanager
def other_job() -> Iterator[None]:
    """Keep one core busy."""
    core = max(os.sched_getaffinity(0))
    pinned = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", pinned])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    run_main(main, QuickOptions, __doc__)
