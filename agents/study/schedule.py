"""Schedule of jobs: start them, several at a time, and follow them to their end."""

import shlex
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from agents.runs.interrupt import Interrupted, Interrupts
from agents.study.executor import Executor, Handle, Job, Lost
from agents.study.progress import State
from qrl.common.errors import UsageError
from qrl.common.files import LARGEST_RESULT, read_regular

POLL = 0.05
"""Time between two looks at the running jobs [s]."""

MOST_LOSSES = 3
"""How often a unit is submitted again after the machine of its job has died."""


@runtime_checkable
class Unit(Protocol):
    """Work of one job: a run of a study, or the part of a worker in a search."""

    state: State
    reason: str
    """Reason why it failed."""

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    def begin(self) -> None:
        """Note that the job is being started."""
        ...

    def finish(self, code: int) -> bool:
        """Note the exit code of the job; return whether the unit is done, and set its state in that case."""
        ...


AnyUnit = TypeVar("AnyUnit", bound=Unit)
ShownUnit = TypeVar("ShownUnit", bound=Unit, contravariant=True)


@runtime_checkable
class Report(Protocol[ShownUnit]):
    """Report of the progress to the user."""

    def update(self) -> None:
        """Show what is new, if it is time."""
        ...

    def finished(self, unit: ShownUnit, text: str = "", /) -> None:
        """Show that a unit has ended; `text` is a line about one that failed."""
        ...

    def note(self, text: str) -> None:
        """Show a line."""
        ...

    def close(self) -> None:
        """Show what is new for the last time."""
        ...


Again = Callable[[AnyUnit], Job | None]
"""Function that returns the job which continues a unit; None if that is complete."""


def run_jobs(
    waiting: Sequence[tuple[AnyUnit, Job]],
    executor: Executor,
    jobs: int,
    report: Report[AnyUnit],
    again: Again[AnyUnit],
) -> None:
    """Run the jobs, at most `jobs` at a time, in their order; set the states of their units.

    A job that fails does not stop the others. One that is lost with its machine is replaced by that of `again`. After
    SIGINT or SIGTERM, no further job is started, and the running ones save their checkpoints and end; then Interrupted
    is raised. A second SIGINT ends them at once.

    Raises:
        Interrupted: after a signal.
    """
    left, running = deque(waiting), dict[int, tuple[AnyUnit, Job, Handle]]()
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
                    unit, job = left.popleft()
                    if (started := _start(unit, job, executor, report)) is not None:
                        running[id(unit)] = (unit, job, started)
                for key, (unit, job, handle) in list(running.items()):
                    try:
                        code = handle.poll()
                    except Lost as lost:
                        del running[key]
                        losses[key] += 1
                        if stopping:
                            unit.state = "stopped"
                        elif (next_job := _after_loss(unit, job, lost, losses[key], again, report)) is not None:
                            left.appendleft((unit, next_job))
                        continue
                    if code is not None:
                        del running[key]
                        _settle(unit, job, code, report, stopping=stopping)
                report.update()
                time.sleep(POLL)
        finally:
            for _, _, handle in running.values():
                handle.cancel(at_once=True)
            report.close()
    if stop.signal is not None:
        raise Interrupted(stop.signal)


def _after_loss(
    unit: AnyUnit, job: Job, lost: Lost, count: int, again: Again[AnyUnit], report: Report[AnyUnit]
) -> Job | None:
    """Return the job that continues a unit whose job is lost; None if that is complete, or has failed."""
    try:
        next_job = again(unit)
    except UsageError as error:
        _fail(unit, job, str(error), report)
        return None
    if next_job is None:
        _settle(unit, job, 0, report, stopping=False)
        return None
    if count > MOST_LOSSES:
        _fail(unit, job, f"lost {count} times, at last: {lost}", report)
        return None
    report.note(f"lost: {unit.name}: {lost}; submitted again ({count} of {MOST_LOSSES} times)")
    unit.state = "waiting"
    return next_job


def _fail(unit: AnyUnit, job: Job, reason: str, report: Report[AnyUnit]) -> None:
    unit.state, unit.reason = "failed", reason
    report.finished(unit, failure(unit, job.log))


def _start(unit: AnyUnit, job: Job, executor: Executor, report: Report[AnyUnit]) -> Handle | None:
    unit.begin()
    try:
        return executor.submit(job)
    except (UsageError, OSError) as error:
        unit.state, unit.reason = "failed", str(error)
        report.finished(unit, f"failed: {unit.name}: {error}")
        return None


def _settle(unit: AnyUnit, job: Job, code: int, report: Report[AnyUnit], *, stopping: bool) -> None:
    """Set the state of a unit whose job has ended, and show it."""
    if unit.finish(code):
        report.finished(unit)
    elif stopping:
        unit.state = "stopped"
    else:
        _fail(unit, job, _reason(job.log, code), report)


def failure(unit: Unit, log: Path) -> str:
    """Return the line about a unit that failed."""
    return f"failed: {unit.name}: {unit.reason}; log: {shlex.quote(str(log))}"


def _reason(log: Path, code: int) -> str:
    """Return why a job failed: the last line of its log, and the signal that ended it, if one did."""
    try:
        lines = read_regular(log, LARGEST_RESULT).decode(errors="replace").split("\n")
    except UsageError as error:
        lines = [str(error)]
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return f"ended by signal {-code}, after: {last}" if code < 0 else last
