"""Memory growth: resident set size of a training between iterations 50 and 550, each case in its own process.

    python -m benchmarks.memory_growth [--quick]      results/memory_growth.json

The growth should stay below 1 %, and the number of open files constant. The training writes its metrics and checkpoints
as any other. The resident set size, of worker processes too, is the median over 20 iterations at either end.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.cli.train import parse_train
from agents.core.context import build
from agents.experiment.loop import Training
from agents.runs.folder import RunFolder
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main

WARM_UP, WINDOW, LENGTH = 50, 20, 500
MOST = 1.0
"""Upper bound of the growth [%]."""

_SMALL = ("--env", "navigation", "--env.horizon", "20", "--agent.meta-batch", "5", "--agent.episodes", "5")
CASES: Mapping[str, tuple[str, ...]] = {
    "maml, circuit": _SMALL,
    "maml, trpo, mlp": (*_SMALL, "--agent.outer", "trpo", "--model", "mlp"),
    "reinforce, 20 shots": (*_SMALL, "--agent", "reinforce", "--shots", "20"),
    "rl2, qgru": ("--env", "bandit", "--agent", "rl2", "--agent.meta-batch", "20"),
    "sb3_ppo": (*_SMALL, "--agent", "sb3_ppo", "--agent.n-epochs", "2"),
    "maml, two workers": (
        *("--env", "CartPole-v1", "--vary", "gravity=5:15", "--env.horizon", "20", "--workers", "2", "--model", "mlp"),
        *("--agent.meta-batch", "4", "--agent.episodes", "4"),
    ),
}
"""Options of the training of each case."""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    case: str = ""
    """Measure this case in the current process and print it as JSON (command of the subprocesses)."""


def main(options: Options) -> None:
    """Measure the growth of every case."""
    if options.case:
        print(json.dumps(measure(options.case, 50 if options.quick else LENGTH)))
        return
    quick = ["--quick"] if options.quick else []
    rows = []
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.memory_growth", "--case", case, *quick]
        finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(finished.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    print(table(rows))
    write_result("memory_growth", rows, quick=options.quick)
    sys.exit(not all(row["pass"] for row in rows))


def measure(case: str, length: int) -> dict[str, Any]:
    """Train one case; compare memory and open files after the warm-up and after `length` more iterations."""
    set_up(threads=1)
    n_iterations = WARM_UP + length + WINDOW
    spec, *_ = parse_train([*CASES[case], "--iterations", str(n_iterations), "--threads", "1"])
    training = Training(spec, *build(spec))
    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(Path(folder) / "run", {"spec": spec.to_json()})
        for iteration in range(n_iterations):
            run.metrics.append(training.step())
            if iteration % spec.checkpoint_every == 0:
                training.save(run)
            sizes.append(resident())
            if iteration == WARM_UP:
                files = open_files()
        after = open_files()
    training.env.close()
    begin, end = (statistics.median(sizes[first : first + WINDOW]) for first in (WARM_UP, WARM_UP + length))
    growth = 100 * (end / begin - 1)
    return {
        "case": case,
        "iterations": length,
        "at the beginning [MiB]": round(begin, 1),
        "at the end [MiB]": round(end, 1),
        "growth [%]": round(growth, 2),
        "open files": f"{files} -> {after}",
        "pass": growth <= MOST and after <= files,
    }


def resident() -> float:
    """Return the resident set size of this process and its children [MiB]."""
    page = os.sysconf("SC_PAGE_SIZE") / 2**20
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return page * sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in ("self", *children))


def open_files() -> int:
    """Return the number of open file descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


if __name__ == "__main__":
    run_main(main, Options, __doc__)
