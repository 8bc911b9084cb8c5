"""Schedule of a study: start the jobs of its runs, several at a time, and follow them to their end."""

import shlex
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path

from agents.runs.interrupt import Interrupted, Interrupts
from agents.study.display import Display
from agents.study.executor import Executor, Handle, Job, Lost
from agents.study.folder import evaluated_at
from agents.study.progress import RunProgress
from qrl.common.errors import UsageError
from qrl.common.files import LARGEST_RESULT, read_regular

POLL = 0.05
"""Time between two looks at the running jobs [s]."""

MOST_LOSSES = 3
"""How often a run is submitted again after the machine of its job has died."""

Again = Callable[[RunProgress], Job | None]
"""Function that returns the job which continues a run; None if the run is complete."""


def run_jobs(
    waiting: Sequence[tuple[RunProgress, Job]],
    executor: Executor,
    jobs: int,
    display: Display,
    again: Again,
) -> None:
    """Run the jobs, at most `jobs` at a time, in their order; set the states of their runs.

    A job that fails does not stop the others. One that is lost with its machine is replaced by that of `again`. After
    SIGINT or SIGTERM, no further job is started, and the running ones save their checkpoints and end; then Interrupted
    is raised. A second SIGINT ends them at once.

    Raises:
        Interrupted: after a signal.
    """
    left, running = deque(waiting), dict[int, tuple[RunProgress, Job, Handle]]()
    losses = Counter[int]()
    stopping = False
    with Interrupts() as stop:
        try:
            while left or running:
                if stop and not stopping:
                    stopping = True
                    left.clear()
                    for _, _, handle in running.values():
                        handle.cancel()
                while left and len(running) < jobs:
                    progress, job = left.popleft()
                    if (started := _start(progress, job, executor, display)) is not None:
                        running[id(progress)] = (progress, job, started)
                for key, (progress, job, handle) in list(running.items()):
                    try:
                        code = handle.poll()
                    except Lost as lost:
                        del running[key]
                        losses[key] += 1
                        if stopping:
                            progress.state = "stopped"
                        elif (next_job := _after_loss(progress, job, lost, losses[key], again, display)) is not None:
                            left.appendleft((progress, next_job))
                        continue
                    if code is not None:
                        del running[key]
                        _settle(progress, job, code, display, stopping=stopping)
                display.update()
                time.sleep(POLL)
        finally:
            for _, _, handle in running.values():
                handle.cancel(at_once=True)
            display.close()
    if stop.signal is not None:
        raise Interrupted(stop.signal)


def _after_loss(progress: RunProgress, job: Job, lost: Lost, count: int, again: Again, display: Display) -> Job | None:
    """Return the job that continues a run whose job is lost; None if the run is complete, or has failed."""
    progress.read()
    try:
        next_job = again(progress)
    except UsageError as error:
        _fail(progress, job, str(error), display)
        return None
    if next_job is None:
        _settle(progress, job, 0, display, stopping=False)
        return None
    if count > MOST_LOSSES:
        _fail(progress, job, f"lost {count} times, at last: {lost}", display)
        return None
    display.note(f"lost: {progress.run.name}: {lost}; submitted again ({count} of {MOST_LOSSES} times)")
    progress.state = "waiting"
    return next_job


def _fail(progress: RunProgress, job: Job, reason: str, display: Display) -> None:
    progress.state, progress.reason = "failed", reason
    display.finished(progress, failure(progress, job.log))


def _start(progress: RunProgress, job: Job, executor: Executor, display: Display) -> Handle | None:
    progress.begin()
    try:
        return executor.submit(job)
    except (UsageError, OSError) as error:
        progress.state, progress.reason = "failed", str(error)
        display.finished(progress, f"failed: {progress.run.name}: {error}")
        return None


def _settle(progress: RunProgress, job: Job, code: int, display: Display, *, stopping: bool) -> None:
    """Set the state of a run whose job has ended, and show it."""
    progress.read()
    if code == 0 and evaluated_at(progress.path) is not None:
        progress.state = "done"
        progress.read()
        display.finished(progress)
    elif stopping:
        progress.state = "stopped"
    else:
        _fail(progress, job, _reason(job.log, code), display)


def failure(progress: RunProgress, log: Path) -> str:
    """Return the line about a run that failed."""
    return f"failed: {progress.run.name}: {progress.reason}; log: {shlex.quote(str(log))}"


def _reason(log: Path, code: int) -> str:
    """Return why a job failed: the last line of its log, and the signal that ended it, if one did."""
    try:
        lines = read_regular(log, LARGEST_RESULT).decode(errors="replace").split("\n")
    except UsageError as error:
        lines = [str(error)]
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return f"ended by signal {-code}, after: {last}" if code < 0 else last
