"""Progress of a study: its runs, the time that is left, and a table of both."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agents.experiment.evaluation import Curve
from agents.runs.metrics import Metrics
from agents.study.folder import evaluated_at
from agents.study.plan import PlannedRun
from qrl.common.errors import UsageError
from qrl.common.files import LARGEST_RESULT, from_json

State = Literal["waiting", "running", "done", "failed", "stopped"]


@dataclass
class RunProgress:
    """Progress of a run."""

    run: PlannedRun
    path: Path
    """Run folder."""
    state: State
    iteration: int = 0
    """Completed meta-iterations."""
    started_at: int = 0
    """Completed meta-iterations when this sweep started the run."""
    returns: tuple[float, ...] = ()
    """Mean returns before and after adaptation, of the last meta-iteration, or of the evaluation."""
    start: float = 0.0
    """Time of the start [s]."""
    seconds: float = 0.0
    """Duration in this sweep [s]."""
    reason: str = ""
    """Last line of the log of a failed run."""

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.run.name

    @property
    def total(self) -> int:
        """Length of training [meta-iterations]."""
        return self.run.iterations

    def begin(self) -> None:
        """Note the start of the run."""
        self.read()
        self.state, self.started_at, self.start = "running", self.iteration, time.monotonic()

    def finish(self, code: int) -> bool:
        """Note the exit code of the job; return whether the run is done."""
        self.read()
        if code != 0 or evaluated_at(self.path) is None:
            return False
        self.state = "done"
        self.read()
        return True

    def read(self) -> None:
        """Read what the run has written: of a finished run, its evaluation; else the last row of metrics."""
        if self.state == "running":
            self.seconds = time.monotonic() - self.start
        try:
            if self.state == "done":
                curve = Curve.from_json(from_json(self.path / "evaluation.json", LARGEST_RESULT))
                self.iteration, self.returns = curve.iteration, _ends(curve.mean)
            elif rows := Metrics(self.path / "metrics.jsonl").rows():
                self.iteration, self.returns = rows[-1]["iteration"], _ends(rows[-1]["return_by_step"])
        except (UsageError, KeyError, TypeError):
            return  # A row may be incomplete while it is written.


def _ends(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(values) if len(values) < 2 else (values[0], values[-1])


def time_left(runs: Sequence[RunProgress], jobs: int) -> float | None:
    """Estimate the time until all runs have ended [s]; None before any run tells how long an iteration takes.

    A run consists of its iterations and of one unit more for its start and its evaluation. The pace [s per unit] of a
    combination of plug-ins and options is that of its finished and running runs; without any, that of all runs.
    """
    paces: dict[str, list[float]] = {}
    for each in runs:
        done = each.iteration - each.started_at + (each.state == "done")
        if each.state in ("done", "running") and done > 0 and each.seconds > 0:
            paces.setdefault(each.run.group, []).append(each.seconds / done)
    unfinished = [each for each in runs if each.state in ("waiting", "running")]
    if not unfinished:
        return 0.0
    if not paces:
        return None
    means = {group: sum(values) / len(values) for group, values in paces.items()}
    typical = sum(means.values()) / len(means)
    left = [_units_left(each) * means.get(each.run.group, typical) for each in unfinished]
    return max(sum(left) / min(jobs, len(unfinished)), max(left))


def _units_left(each: RunProgress) -> int:
    return max(each.total - each.iteration, 0) + 1


def table(runs: Sequence[RunProgress], *, jobs: int, columns: int, lines: int) -> list[str]:
    """Return the lines of the table of progress, which fit into a terminal of so many columns and lines.

    If there are too many runs, those that are running or have failed come first, and the rest is counted below.
    """
    shown = list(runs)
    if len(shown) + 3 > lines:  # The cursor is on the line below.
        rank: Mapping[State, int] = {"running": 0, "failed": 1, "stopped": 1, "waiting": 2, "done": 3}
        shown = sorted(shown, key=lambda each: rank[each.state])[: max(lines - 4, 1)]
    width = max(len(each.run.name) for each in shown)
    rows = [f"{'run':{width}}  state     iteration  return            time"]
    rows += [_row(each, width) for each in shown]
    if hidden := len(runs) - len(shown):
        rows.append(f"and {hidden} more")
    rows.append(summary(runs, jobs))
    return [row[: columns - 1].rstrip() for row in rows]


def summary(runs: Sequence[RunProgress], jobs: int) -> str:
    """Return the numbers of runs in each state, and the time that is left."""
    counts = {state: sum(each.state == state for each in runs) for state in ("running", "waiting", "failed")}
    done = sum(each.state == "done" for each in runs)
    parts = [f"{done} of {len(runs)} done", *(f"{count} {state}" for state, count in counts.items() if count)]
    left = time_left(runs, jobs)
    if left:
        parts.append(f"about {clock(left)} left")
    return ", ".join(parts)


def line(each: RunProgress, runs: Sequence[RunProgress], jobs: int) -> str:
    """Return the line about a finished run, for output that is no terminal."""
    returns = f": return {returns_text(each)}" if each.returns and each.state == "done" else ""
    return f"{each.run.name} {each.state}{returns} in {clock(each.seconds)} ({summary(runs, jobs)})"


def returns_text(each: RunProgress) -> str:
    """Return the returns of a run in words."""
    return " -> ".join(f"{value:.2f}" for value in each.returns)


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds, with hours if there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _row(each: RunProgress, width: int) -> str:
    iteration = f"{each.iteration}/{each.total}" if each.total else "-"
    duration = clock(each.seconds) if each.seconds else ""
    return f"{each.run.name:{width}}  {each.state:8}  {iteration:>9}  {returns_text(each):16}  {duration}".rstrip()
