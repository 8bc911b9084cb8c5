"""Nothing is lost and nothing changes: a run that was stopped in any way ends in the bits of the uninterrupted one.

    python -m benchmarks.recovery [--quick] [--seed S]      results/recovery.json

Kills at random instants, stops before every single system call, signals and Ctrl-C during writes, mutated checkpoints,
disks that fill, two processes on one run folder. Compared byte by byte with the uninterrupted run, once it has ended:
tensors, counters and generator states of the last checkpoint, `metrics.jsonl`, `evaluation.json`, `adaptation.png`; all
but the time that training took (`seconds` in a checkpoint's state).
"""

import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fault_injection.calls import stopped
from benchmarks.fault_injection.damage import MUTATIONS, mutated, resumed_from_mutated
from benchmarks.fault_injection.disk import ROOMS, full_disks
from benchmarks.fault_injection.outside import again, killed, rivals, second_process, signalled
from benchmarks.fault_injection.runs import Row, small_runs, uninterrupted
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    seed: int = 0
    """Seed of all random instants and mutations."""

    jobs: int = 2
    """Processes at a time [processes]."""


def main(options: Options) -> None:
    """Stop runs in every way there is and compare how they end."""
    set_up(threads=1)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        work = Path(folder)
        whole = uninterrupted(work / "whole", iterations=12 if options.quick else 30)
        original, strangers = small_runs(work)

        def each(trial: Callable[..., Row], count: int, *arguments: Any) -> Iterator[Row]:
            return pool.map(lambda index: trial(whole, work, index, options.seed, *arguments), range(count))

        # One after the other: a stop before a system call is one of the whole process.
        planned: dict[str, Callable[[], Iterable[Row]]] = {
            "same command again": lambda: [again(whole, work)],
            "stopped before a system call": lambda: stopped(original, work),
            "mutated checkpoint, loaded": lambda: mutated(
                original, strangers, work, 60 if options.quick else 300, options.seed
            ),
            "mutated checkpoint, run.py": lambda: each(
                resumed_from_mutated, 2 if options.quick else len(MUTATIONS), strangers
            ),
            "SIGKILL at a random instant": lambda: each(killed, 4 if options.quick else 30),
            "SIGTERM during a write": lambda: each(signalled, 2 if options.quick else 10, (signal.SIGTERM,)),
            "Ctrl-C twice during a write": lambda: each(
                signalled, 1 if options.quick else 4, (signal.SIGINT, signal.SIGINT)
            ),
            "disk that fills": lambda: full_disks(whole, work, (0, 44) if options.quick else ROOMS, pool),
            "second process refused": lambda: [second_process(whole, work)],
            "two starts at once": lambda: [rivals(whole, work, index) for index in range(1 if options.quick else 3)],
        }
        sections = {}
        for name, trials in planned.items():
            sections[name] = list(trials())
            print(f"{name}: {found(sections[name])}", flush=True)
    rows = [summary(name, trials) for name, trials in sections.items()]
    print(table(rows))
    failed = {name: bad for name, trials in sections.items() if (bad := [row for row in trials if row.get("failed")])}
    for name, bad in failed.items():
        print(f"FAIL {name}: {bad[0]}")
    result = {
        "seed": options.seed,
        "seconds of the uninterrupted run": whole.seconds,
        "summary": rows,
        "pass": not failed,
    }
    result |= {"found": {name: found(trials) for name, trials in sections.items()}}
    result |= {"trials": {name: [line(row) for row in trials] for name, trials in sections.items()}}
    write_result("recovery", result | {"minutes": round((time.perf_counter() - begun) / 60, 1)}, quick=options.quick)
    sys.exit(bool(failed))


def summary(name: str, trials: Sequence[Row]) -> Row:
    """One line of the table. A trial is as it should be if it has no "failed"."""
    done = [row for row in trials if "skipped" not in row]
    bad = sum(bool(row.get("failed")) for row in done)
    return {"what": name, "trials": len(done), "as it should be": len(done) - bad, "not": bad, "pass": not bad}


def found(trials: Sequence[Row]) -> str:
    """Where the trials struck, counted; or why there were none."""
    if "skipped" in trials[0]:
        return f"skipped: {trials[0]['skipped']}"
    struck = Counter(where for row in trials for where in row.get("struck", ()))
    return ", ".join(f"{where} {count}" for where, count in sorted(struck.items()))


def line(trial: Row) -> str:
    """A trial in one line: with the seed, all that is needed to repeat it."""
    shown = {key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in trial.items()}
    return "; ".join(f"{key} {value}" for key, value in shown.items() if value != "")


if __name__ == "__main__":
    run_main(main, Options, __doc__)
