"""One training over several processes: the time of an iteration against a model of it.

    python -m benchmarks.sharding_cost [--quick]      results/sharding_cost.json, on two idle cores

Time: the same shards in one process and in two, against a model of the time of an iteration on W processes,

    time(W) = sum over segments of the slowest process's time + exchanges * time of an exchange between W processes,

where a segment lies between two exchanges. The times of the segments are those of each shard in one process, while
W - 1 others compute the same; the time of an exchange is that of a program of its own. Overhead: processor time of
several shards in one process against that of a training that is not divided, for growing numbers of tasks. Larger
clusters: the model with assumed times of messages.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.shards.team import Team
from benchmarks.processes import launcher
from benchmarks.processes.segments import training
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main

TIMED: dict[str, tuple[str, ...]] = {
    "navigation": ("--env", "navigation", "--agent.meta-batch", "40"),
    "bandit": ("--env", "bandit", "--agent.meta-batch", "8000"),
}
"""Options of the runs that are timed: defaults but for the number of tasks."""

TASKS: dict[str, tuple[int, ...]] = {"navigation": (20, 40, 160, 640), "bandit": (1000, 2000, 8000, 32000)}
"""Tasks of an iteration for which the overhead of shards is measured; the first is the default."""

LATENCY, BANDWIDTH = 1e-4, 1.25e9
"""Assumed time of a message between machines [s], and bytes per second of 10 Gbit/s."""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    repeats: int = 3
    """Runs of each kind that are timed, alternating [runs]."""


def main(options: Options) -> None:
    """Measure and predict times."""
    set_up(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        repeats = 1 if options.quick else options.repeats
        times = [timed(name, words, repeats, Path(folder)) for name, words in TIMED.items()]
    print(table(times))
    sizes = [(name, n) for name, counts in TASKS.items() for n in counts[: 1 if options.quick else None]]
    costs = [overhead(name, TIMED[name][:2], n_tasks) for name, n_tasks in sizes]
    print(table(costs))
    larger = [row for name, words in TIMED.items() for row in extrapolated(name, words)]
    print(table(larger))
    write_result("sharding_cost", {"times": times, "overhead": costs, "extrapolated": larger}, quick=options.quick)


def timed(name: str, words: Sequence[str], repeats: int, work: Path) -> dict[str, Any]:
    """Return seconds per iteration in one process and in two, measured and predicted."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    predictions, parts = [], dict[str, list[float]](compute=[], stragglers=[], exchanges=[])
    for repeat in range(repeats):
        for processes in (1, 2):
            out = work / f"{name} {processes} {repeat}"
            schedule = ("--iterations", "20", "--checkpoint-every", "10", "--shards", "2")
            words_of_run = ("train", *words, "--eval-tasks", "2", "--eval-episodes", "2", *schedule, "--out", str(out))
            launcher.run(processes, words_of_run, work / f"{name}.log")
            seconds[processes].append(launcher.seconds_of(out))
        predicted = predicted_seconds(words, 2)
        predictions.append(sum(predicted.values()))
        for part, value in predicted.items():
            parts[part].append(value)
    one, two = (statistics.median(values) for values in seconds.values())
    prediction = statistics.median(predictions)
    return {
        "training": name,
        "1 process [s]": one,
        "2 processes [s]": two,
        "ratio": one / two,
        **{f"{part} [s]": statistics.median(values) for part, values in parts.items()},
        "predicted [s]": prediction,
        "measured / predicted": two / prediction,
    }


def predicted_seconds(words: Sequence[str], processes: int) -> dict[str, float]:
    """Return the parts of the predicted time of an iteration, with as many shards as processes [s].

    These are the mean computing time of a process, the waiting for the slowest one, and the exchanges.
    """
    command = [sys.executable, "-m", "benchmarks.processes.segments", str(processes), "10", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=launcher.ROOT, env=environment)
        for _ in range(processes)
    ]
    measured = [json.loads(process.communicate()[0]) for process in started]
    iterations = [np.array(iteration) for each in measured for iteration in each["durations"]]  # [segment, shard] each
    compute = float(np.median([iteration.mean(axis=1).sum() for iteration in iterations]))
    slowest = float(np.median([iteration.max(axis=1).sum() for iteration in iterations]))
    n_exchanges = float(np.median([len(iteration) - 1 for iteration in iterations]))
    largest = max(max(each["sizes"]) for each in measured)
    return {
        "compute": compute,
        "stragglers": slowest - compute,
        "exchanges": n_exchanges * exchange_seconds(largest, processes),
    }


def extrapolated(name: str, words: Sequence[str]) -> list[dict[str, Any]]:
    """Return the predicted share of their time in which 2 to 1,000 machines compute, one shard each.

    From the segments of eight shards in one process. The slowest of W normally distributed times exceeds their mean by
    about sqrt(2 ln W) standard deviations. An exchange passes the numbers of each machine around a ring in W - 1 steps.
    """
    command = [sys.executable, "-m", "benchmarks.processes.segments", "8", "10", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=launcher.ROOT)
    measured = json.loads(done.stdout)
    n_segments = statistics.mode(map(len, measured["durations"]))
    alike = [iteration for iteration in measured["durations"] if len(iteration) == n_segments]
    durations = np.array(alike)  # [iteration, segment, shard]
    compute = durations.mean(axis=(0, 2)).sum()
    deviation = durations.std(axis=2).mean(axis=0).sum()
    rows = []
    for machines in (2, 16, 128, 1000):
        exchange = (machines - 1) * (LATENCY + 8 * max(measured["sizes"]) / BANDWIDTH)
        waiting, exchanges = deviation * math.sqrt(2 * math.log(machines)), (n_segments - 1) * exchange
        share = compute / (compute + waiting + exchanges)
        parts = {"compute [s]": compute, "stragglers [s]": waiting, "exchanges [s]": exchanges}
        rows.append({"training": name, "machines": machines, **parts, "share": share})
    return rows


def exchange_seconds(n_numbers: int, processes: int) -> float:
    """Return the median time of an exchange of so many numbers between processes [s]."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launch, "-m", "benchmarks.processes.exchanges", str(n_numbers), "500"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=launcher.ROOT)
    return float(done.stdout.split()[-1])


def overhead(name: str, words: Sequence[str], n_tasks: int) -> dict[str, Any]:
    """Return the processor time of 1, 2 and 4 shards in one process, relative to that of one."""
    words = (*words, "--agent.meta-batch", str(n_tasks))
    runs = {shards: training(words, Team(shards)) for shards in (1, 2, 4)}
    seconds: dict[int, list[float]] = {shards: [] for shards in runs}
    for _ in range(4):
        for shards, run in runs.items():
            begin = time.process_time()
            run.step()
            seconds[shards].append(time.process_time() - begin)
    whole, *divided = (statistics.median(values[1:]) for values in seconds.values())
    relative = {f"{shards} shards": each / whole for shards, each in zip((2, 4), divided, strict=True)}
    return {"training": name, "tasks": n_tasks, "not divided [s]": whole, **relative}


if __name__ == "__main__":
    run_main(main, Options, __doc__)
