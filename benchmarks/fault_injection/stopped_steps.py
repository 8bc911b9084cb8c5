"""Signals and kills while an environment is in a long step."""

import os
import signal
import time
from pathlib import Path

from benchmarks.fault_injection.misbehaviour import AT_ONCE, MIDDLE, Child, Trial, resume, train
from benchmarks.fault_injection.runs import Row, newest, outcome

SIGNALS: dict[str, tuple[signal.Signals, ...]] = {
    "Ctrl-C twice": (signal.SIGINT, signal.SIGINT),
    "SIGKILL of the main process": (signal.SIGKILL,),
    "SIGTERM, then SIGKILL": (signal.SIGTERM, signal.SIGKILL),
}
"""Signals to the main process in the middle of a step of half a minute."""

BETWEEN = 0.2
"""Time between two signals [s]."""


def stop_in_a_step(name: str, workers: int, work: Path, reference: dict[str, bytes]) -> Row:
    """Send signals to a run in a long step; it must end at once, without orphans, and be resumed at once."""
    child, run = train(work, Trial("sleep of half a minute", "step", MIDDLE, workers))
    while not (run.parent / "started").exists():
        time.sleep(0.01)
    time.sleep(BETWEEN)
    numbers = SIGNALS[name]
    for number in numbers:
        os.kill(child.pid, number)
        last = time.perf_counter()
        time.sleep(BETWEEN if number != numbers[-1] else 0)
    ended = child.finish(within=10)
    seconds = time.perf_counter() - last
    again = resume(run, workers)
    failed = [] if seconds < AT_ONCE else [f"it took {seconds} s to end"]
    expected = 130 if numbers[-1] == signal.SIGINT else -signal.SIGKILL
    failed += [] if ended.code == expected else [f"exit code {ended.code}"]
    failed += ["a traceback"] if "Traceback" in ended.errors else []
    failed += _goes_on(again, run, reference)
    failed += [f"process {pid} is left" for pid in child.orphans()]
    line = ended.errors.splitlines()[-1] if ended.errors else ""
    return {"kind": name, "where": f"step, in training, {workers} workers", "code": ended.code, "line": line,
            "seconds": round(seconds, 2), "struck": ["in training"], "failed": failed}  # fmt: skip


def _goes_on(again: Child, run: Path, reference: dict[str, bytes]) -> list[str]:
    """Return what is not right about a resumption: it must begin at once, and end in the same bits."""
    ended = again.finish()
    if ended.code:
        return [f"resume: exit code {ended.code}: {ended.errors[-300:]}"]
    differ = [f"{key} differs" for key, data in outcome(run).items() if data != reference[key]]
    return differ if newest(run) else ["no checkpoint"]
