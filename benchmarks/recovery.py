"""Fault injection: runs interrupted in any way end bitwise identical to an uninterrupted run.

    python -m benchmarks.recovery [--quick] [--seed S]      results/recovery.json

Kills of every trained agent at random instants and at every kind of file operation, also while it is resumed; stops
before every system call, signals and Ctrl-C during writes, mutated checkpoints, full disks, two processes on one run
folder. The finished run is compared byte by byte with the uninterrupted one: tensors, counters and generator states of
the last checkpoint, `metrics.jsonl`, `evaluation.json` and `adaptation.png`, except for the training time (`seconds` in
a checkpoint's state).
"""

import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_injection import kills
from benchmarks.fault_injection.calls import stopped
from benchmarks.fault_injection.damage import MUTATIONS, mutated, resume_mutated
from benchmarks.fault_injection.disk import ROOMS, fill_disks
from benchmarks.fault_injection.forked import in_parallel
from benchmarks.fault_injection.kills import references
from benchmarks.fault_injection.outside import (
    kill_and_resume,
    repeat_command,
    second_process,
    signal_and_resume,
    start_simultaneously,
)
from benchmarks.fault_injection.runs import Row, small_runs, uninterrupted
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    seed: int = 0
    """Seed of all random instants and mutations."""

    jobs: int = 2
    """Number of parallel processes [processes]."""


def main(options: Options) -> None:
    """Interrupt runs in every way and compare their final state."""
    set_up(threads=1)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        work = Path(folder)
        reference = uninterrupted(work / "whole", iterations=12 if options.quick else 30)
        original, foreign_runs = small_runs(work)

        def each(trial: Callable[..., Row], count: int, *arguments: Any) -> Iterator[Row]:
            return pool.map(lambda index: trial(reference, work, index, options.seed, *arguments), range(count))

        # One section after the other, because system calls are patched for the whole process.
        wholes = references(work)
        kill = partial(kills.kill_and_resume, wholes, work, options.seed)

        planned: dict[str, Callable[[], Iterable[Row]]] = {
            "same command again": lambda: [repeat_command(reference, work)],
            "stopped before a system call": lambda: stopped(original, work),
            "mutated checkpoint, loaded": lambda: mutated(
                original, foreign_runs, work, 60 if options.quick else 300, options.seed
            ),
            "mutated checkpoint, run.py": lambda: each(
                resume_mutated, 2 if options.quick else len(MUTATIONS), foreign_runs
            ),
            "SIGKILL of a process": lambda: each(kill_and_resume, 4 if options.quick else 9),
            "SIGTERM during a write": lambda: each(signal_and_resume, 2 if options.quick else 10, (signal.SIGTERM,)),
            "Ctrl-C twice during a write": lambda: each(
                signal_and_resume, 1 if options.quick else 4, (signal.SIGINT, signal.SIGINT)
            ),
            "disk that fills": lambda: fill_disks(reference, work, (0, 44) if options.quick else ROOMS, pool),
            "second process refused": lambda: [second_process(reference, work)],
            "two starts at once": lambda: [
                start_simultaneously(reference, work, index) for index in range(1 if options.quick else 3)
            ],
        }
        planned["SIGKILL of every agent"] = lambda: in_parallel(kill, range(6 if options.quick else 104), options.jobs)
        sections = {}
        for name, trials in planned.items():
            sections[name] = list(trials())
            print(f"{name}: {interruption_counts(sections[name])}", flush=True)
    rows = [summary(name, trials) for name, trials in sections.items()]
    print(table(rows))
    failed = {
        name: failures
        for name, trials in sections.items()
        if (failures := [row for row in trials if row.get("failed")])
    }
    for name, failures in failed.items():
        print(f"FAIL {name}: {failures[0]}")
    result = {
        "seed": options.seed,
        "seconds of the uninterrupted run": reference.seconds,
        "summary": rows,
        "pass": not failed,
    }
    result |= {"found": {name: interruption_counts(trials) for name, trials in sections.items()}}
    result |= {"trials": {name: [format_trial(row) for row in trials] for name, trials in sections.items()}}
    write_result("recovery", result | {"minutes": round((time.perf_counter() - started) / 60, 1)}, quick=options.quick)
    sys.exit(bool(failed))


def summary(name: str, trials: Sequence[Row]) -> Row:
    """Return a row of the table. A trial passes if its "failed" is empty."""
    done = [row for row in trials if "skipped" not in row]
    failures = sum(bool(row.get("failed")) for row in done)
    return {
        "what": name,
        "trials": len(done),
        "as it should be": len(done) - failures,
        "not": failures,
        "pass": not failures,
    }


def interruption_counts(trials: Sequence[Row]) -> str:
    """Count the points of interruption, or return why the section was skipped."""
    if "skipped" in trials[0]:
        return f"skipped: {trials[0]['skipped']}"
    struck = Counter(where for row in trials for where in row.get("struck", ()))
    return ", ".join(f"{where} {count}" for where, count in sorted(struck.items()))


def format_trial(trial: Row) -> str:
    """Format a trial as one line, which with the seed suffices to repeat it."""
    shown = {key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in trial.items()}
    return "; ".join(f"{key} {value}" for key, value in shown.items() if value != "")


if __name__ == "__main__":
    run_main(main, Options, __doc__)
