"""Environments that misbehave cost no run: one line with the environment and its task, and the last checkpoint.

    python -m benchmarks.misbehaving_environments [--quick] [--only WORDS]    results/misbehaving_environments.json

Wrong results of `step` and `reset`, exceptions of every kind, calls that never return, ended processes, changed
settings of the process, signals and kills in the middle of a step; before, during and after training, with and without
worker processes. A trial is as documented if the exit code is right, nothing but one line is printed, no process is
left, nothing is written before training, the last checkpoint is that of the last finished iteration, and the run,
resumed with the well-behaved environment, ends in the same bits as an undisturbed one.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fault_injection.misbehaviour import ITERATIONS, MIDDLE, Trial, misbehave, train, warm_up
from benchmarks.fault_injection.mischief import ACTIONS, RESETS, RESULTS
from benchmarks.fault_injection.runs import Row, outcome
from benchmarks.fault_injection.stopped_steps import SIGNALS, stop_in_a_step
from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main

WORKERS = 2

RARE = ("ValueError", "GeneratorExit", "KeyboardInterrupt", "SystemExit", "sleep for ever", "os._exit", "os.chdir")
"""Actions in constructors and in `close`. Both run in training too, as the environment has no `set_task`."""

PLAN = (
    ("step", 0, (*RESULTS, *ACTIONS)),
    ("step", MIDDLE, (*RESULTS, *ACTIONS)),
    ("step", ITERATIONS, (*RESULTS, *ACTIONS)[::3]),
    ("reset", 0, tuple(RESETS)),
    ("reset", MIDDLE, (*RESETS, *ACTIONS)),
    *((moment, since, RARE) for moment in ("constructor", "close") for since in (0, MIDDLE)),
)
"""Moment, finished iterations before it, and kinds of mischief."""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    only: str = ""
    """Only kinds whose name contains these words."""


def main(options: Options) -> None:
    """Let environments misbehave in every way, and check what becomes of the run."""
    set_up(threads=1)
    started = time.perf_counter()
    planned = [trial for trial in trials() if options.only in trial.kind]
    if options.quick:
        planned = planned[::12]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        warm_up(work)
        reference = undisturbed(work)
        for trial in planned:
            rows.append(misbehave(trial, work, reference))
            show(rows[-1])
        for name in SIGNALS if not options.quick else ():
            for workers in (0, WORKERS):
                if options.only in name:
                    rows.append(stop_in_a_step(name, workers, work, reference))
                    show(rows[-1])
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    print(table([summary(kind, [row for row in rows if row["kind"] == kind]) for kind in kinds]))
    passed = not any(row["failed"] for row in rows)
    result = {"trials": len(rows), "as documented": sum(not row["failed"] for row in rows), "pass": passed}
    minutes = round((time.perf_counter() - started) / 60, 1)
    if not options.only:
        write_result("misbehaving_environments", result | {"rows": rows, "minutes": minutes}, quick=options.quick)
    sys.exit(not passed)


def trials() -> Iterator[Trial]:
    """Yield every trial."""
    for workers in (0, WORKERS):
        for moment, since, kinds in PLAN:
            for kind in kinds:
                if is_documented(trial := Trial(kind, moment, since, workers)):
                    yield trial


def is_documented(trial: Trial) -> bool:
    """Return whether the documentation says what happens."""
    if trial.kind == "sleep of half a minute":  # for signals
        return False
    if trial.kind in ("loop that catches everything", "loop in C"):  # only workers can be ended then
        return trial.workers > 0 and trial.since > 0 and trial.moment != "close"
    return True


def undisturbed(work: Path) -> dict[str, bytes]:
    """Return the outcome of a run with the well-behaved environment."""
    child, run = train(work, None)
    ended = child.finish()
    if ended.code:
        raise RuntimeError(ended.errors)
    return outcome(run)


def show(row: Row) -> None:
    """Print the verdict on a trial."""
    verdict = "; ".join(row["failed"]) if row["failed"] else "as documented"
    print(f"{row['kind']} ({row['where']}), {row['seconds']} s: {verdict}", flush=True)


def summary(kind: str, rows: list[Row]) -> Row:
    """Return a row of the table."""
    failed = sum(bool(row["failed"]) for row in rows)
    return {"kind": kind, "trials": len(rows), "as documented": len(rows) - failed, "pass": not failed}


if __name__ == "__main__":
    run_main(main, Options, __doc__)
