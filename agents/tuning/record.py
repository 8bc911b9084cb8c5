"""Record of a search, search.json: what was searched, every trial, and the comparison at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agents.core.plain import from_plain, to_plain
from agents.runs.provenance import versions_in
from agents.runs.seal import SEARCH, read_config, sealed, write_sealed
from agents.tuning.ranges import Range, Value
from agents.tuning.training import Protocol

State = Literal["waiting", "running", "complete", "pruned", "diverged", "refused"]
"""State of a trial. A pruned one was worse than half of the others at the same iteration."""


@dataclass(frozen=True)
class TrialRecord:
    """Trial of a search."""

    number: int
    state: State
    options: dict[str, Value]
    """Tuned options by name."""
    score: float | None = None
    """Mean score of its trainings at their end; None unless the trial is complete."""
    scores: tuple[tuple[int, float], ...] = ()
    """Scores by iteration."""
    reason: str = ""
    """Reason why the trial diverged, or was refused."""

    @property
    def has_ended(self) -> bool:
        """Whether the trial has ended, also before the end of its training."""
        return self.state not in ("waiting", "running")


@dataclass(frozen=True)
class HeldOut:
    """Comparison of the best options with the defaults, on train tasks and from seeds that the search has not seen."""

    trial: int
    """Number of the best trial."""
    seeds: tuple[int, ...]
    tasks: int
    best: float
    """Mean score with the best options."""
    default: float
    difference: float
    """Mean difference, best minus default, paired over tasks and seeds."""
    low: float | None = None
    """End of its 95 % interval, which covers new tasks and new seeds; None below five seeds."""
    high: float | None = None


@dataclass(frozen=True)
class Record:
    """Content of search.json besides its seal and the provenance of the last start."""

    name: str
    """Name of the search in its storage."""
    storage: str
    """Storage, without a password."""
    spec: dict[str, object]
    """Spec of the trials, with the default values of the tuned options."""
    ranges: tuple[Range, ...]
    protocol: Protocol
    defaults: dict[str, Value]
    wanted: int
    """Number of trials that were asked for last."""
    trials: tuple[TrialRecord, ...] = ()
    importance: dict[str, float] = field(default_factory=dict)
    """Importance of each option, by functional analysis of variance of a random forest; they sum to 1."""
    held_out: HeldOut | None = None

    @property
    def best(self) -> TrialRecord | None:
        """Complete trial with the highest score, the first of equal ones; None without a complete trial."""
        return best_of(self.trials)

    @property
    def n_ended(self) -> int:
        """Number of trials that have ended."""
        return sum(each.has_ended for each in self.trials)

    def write(self, folder: Path, about: Mapping[str, object]) -> None:
        """Write search.json. Raises UsageError if the operating system refuses."""
        write_sealed(folder, sealed({**about, "search": to_plain(self)}, SEARCH), SEARCH)

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """Read search.json.

        Raises:
            UsageError: the folder is none of a search, or its search.json is damaged or was edited.
        """
        return from_plain(cls, read_config(folder, SEARCH).get("search"), str(folder / SEARCH.file))


def best_of(trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the complete trial with the highest score, the first of equal ones; None without a complete trial."""
    complete = [(each.score, -each.number, each) for each in trials if each.score is not None]
    return max(complete, key=lambda each: each[:2])[-1] if complete else None


def line_about(record: Record, number: int) -> str:
    """Return the line about a trial that has ended."""
    trial = next(each for each in record.trials if each.number == number)
    score = "" if trial.score is None else f", score {trial.score:.4g}"
    reason = f" ({trial.reason})" if trial.reason else ""
    best = record.best
    so_far = f"; the best so far is trial {best.number}, {best.score:.4g}" if best is not None else ""
    return f"trial {number} {trial.state}{score}{reason}{so_far}; {record.n_ended} of {record.wanted} done"


def versions_of(folder: Path) -> dict[str, str]:
    """Return the versions of what a search last ran with, by name. Raises UsageError for a folder of no search."""
    return versions_in(read_config(folder, SEARCH))
