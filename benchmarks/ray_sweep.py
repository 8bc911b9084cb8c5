"""A sweep on a Ray of this machine gives the bits of one by processes, also if a worker is killed, in about its time.

    python -m benchmarks.ray_sweep [--quick]      results/ray_sweep.json

Two models on navigation, two jobs at a time: by processes, on Ray, by processes again, and on Ray with a worker killed
by SIGKILL once its run has saved a checkpoint. Tensors, generator states and counters of the last checkpoint,
`metrics.jsonl`, `evaluation.json` and the picture of every run are compared byte by byte. The overhead is that of the
whole call, with the start and the end of Ray; both are also measured alone. The sweep on Ray comes between two by
processes, and the overhead counts only if these two agree: on a machine with other load it says nothing.
"""

import os
import re
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import agents
from agents.study.on_ray import RayExecutor
from benchmarks.interrupted_sweep import finished, processes_of, results
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main

MODELS = ("mlp", "fourier")
JOBS = 2
CHECKPOINTS = 4
"""Checkpoint interval [meta-iterations]."""
ALLOWED = 0.1
"""Overhead that is accepted, as a share of the time by processes."""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    iterations: int = 70
    """Length of each run [meta-iterations]."""

    seeds: int = 3
    """Number of seeds."""


def main(options: Options) -> None:
    """Sweep by processes, on Ray, and on Ray with a killed worker; compare every run."""
    set_up(threads=1)
    iterations, seeds = (8, 1) if options.quick else (options.iterations, options.seeds)
    with tempfile.TemporaryDirectory() as folder:
        outs = {name: Path(folder, name) for name in ("processes", "ray", "again", "killed")}
        killer = threading.Thread(target=kill_worker, args=(outs["killed"],))
        seconds, loads = {}, {}
        for name, out in outs.items():
            if name == "killed":
                killer.start()
            loads[name] = round(os.getloadavg()[0], 2)
            seconds[name] = sweep(out, iterations, seeds, ray=name in ("ray", "killed"))
        killer.join()
        names = finished(outs["processes"])
        runs = [compare(name, outs) for name in names]
    started = time.perf_counter()
    with RayExecutor():
        pass
    alone = time.perf_counter() - started
    print(table(runs))
    by_processes = (seconds["processes"] + seconds["again"]) / 2
    overheads = {name: seconds[name] / by_processes - 1 for name in ("ray", "killed")}
    spread = abs(seconds["processes"] - seconds["again"]) / by_processes
    passed = {
        "all runs equal": len(runs) == len(MODELS) * seeds and all(run["equal"] for run in runs),
        "equal with a killed worker": all(run["equal, killed"] for run in runs),
        "one run resumed": sorted(run["starts, killed"] for run in runs) == [1] * (len(runs) - 1) + [2],
        "times by processes agree within 10 %": spread <= ALLOWED,
        "overhead at most 10 %": overheads["ray"] <= ALLOWED,
    }
    result = {
        "iterations": iterations,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "load averages before": loads,
        "spread of the times by processes": round(spread, 3),
        "overhead": {name: round(value, 3) for name, value in overheads.items()},
        "seconds of start and end of Ray alone": round(alone, 1),
        "runs": runs,
        "checks": passed,
        "pass": all(passed.values()),
    }
    print(
        result["seconds"],
        loads,
        f"spread {spread:.3f}",
        result["overhead"],
        f"Ray alone: {alone:.1f} s",
        passed,
        sep="\n",
    )
    write_result("ray_sweep", result, quick=options.quick)
    sys.exit(not all(passed.values()))


def sweep(out: Path, iterations: int, seeds: int, *, ray: bool) -> float:
    """Sweep into a folder; return the duration [s]."""
    started = time.perf_counter()
    agents.sweep(
        out, env="navigation", models=MODELS, seeds=seeds, jobs=JOBS, ray=ray, progress=False, iterations=iterations,
        checkpoint_every=CHECKPOINTS, eval_tasks=20, eval_episodes=10,
    )  # fmt: skip
    return time.perf_counter() - started


def kill_worker(out: Path) -> None:
    """Kill the worker of Ray that watches a run, once the run has saved a checkpoint."""
    while True:
        for line in processes_of(out).values():
            words = line.split("\0")
            saved = any(list(path.glob("checkpoint/*")) for path in map(Path, words) if path.parent == out)
            if "agents.study.child" in words and saved:
                os.kill(int(words[words.index("agents.study.child") + 1]), signal.SIGKILL)
                return
        time.sleep(0.05)


def compare(name: str, outs: dict[str, Path]) -> dict[str, object]:
    """Return a row about a run: whether it equals that by processes, and how often it was started."""
    expected = results(outs["processes"] / name)
    log = (outs["killed"] / f"{name}.log").read_text()
    return {
        "run": name,
        "equal": results(outs["ray"] / name) == expected,
        "equal, killed": results(outs["killed"] / name) == expected,
        "starts, killed": len(re.findall(r"^\$ python -m agents", log, re.MULTILINE)),
    }


if __name__ == "__main__":
    run_main(main, Options, __doc__)
