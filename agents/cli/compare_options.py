"""Options of `compare` and `report`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agents.cli.options import TrustOptions
from agents.compare.defaults import DELTA, EPSILON
from agents.core.limits import LARGEST_EPISODES
from qrl.common.checks import check_count


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Options of `compare`."""

    runs: tuple[Path, ...]
    """Run folders, or studies: folders of run folders. Runs that differ only in their seed are one group."""

    reference: str | None = None
    """Group that the others are compared with: its label, or its agent or model; by default the first complete one."""

    at: int | None = None
    """Gradient steps, or episode of a trial, at which returns are compared; by default the last."""

    epsilon: float = EPSILON
    """Sample complexity: the threshold is 1 - epsilon of the way to the optimum, or to the best group's return."""

    delta: float = DELTA
    """Sample complexity: share of the seeds that must exceed the threshold (Meyer et al. 2025)."""

    threshold: float | None = None
    """Sample complexity: return to exceed, in place of the one that epsilon defines."""

    split: Literal["train", "validation", "test", "ood"] = "test"
    """Split of the evaluated tasks."""

    checkpoint: Literal["last", "best"] = "last"
    """Evaluated checkpoint: the last one, or the best one on validation tasks, as in `evaluate`."""

    out: tuple[Path, ...] = ()
    """Files to write; suffix .html, .csv, .tex, .json, or that of a picture. By default, the comparison of one study is
    written into its folder."""

    video: bool = False
    """Also make the animation of the page, of the first seed of each group."""

    trust: bool = False
    """Trust all code outside this library that the runs name; it is executed to draw circuits and animations."""

    def __post_init__(self) -> None:
        if self.at is not None:
            check_count("--at", self.at, least=0, most=LARGEST_EPISODES)


@dataclass(frozen=True, kw_only=True)
class ReportOptions(TrustOptions):
    """Options of `report`."""

    run: Path
    """Run folder."""

    out: Path | None = None
    """New file to write, instead of report.html in the run folder; its suffix is that of any output of `compare`."""

    at: int | None = None
    """Gradient steps, or episode of a trial, of the headline; by default the last."""

    threshold: float | None = None
    """Sample complexity: return to exceed; a run alone has none otherwise, unless its optimum is known."""

    split: Literal["train", "validation", "test", "ood"] = "test"
    """Split of the evaluated tasks."""

    checkpoint: Literal["last", "best"] = "last"
    """Evaluated checkpoint: the last one, or the best one on validation tasks, as in `evaluate`."""

    video: bool = False
    """Also make the animation before and after adaptation."""

    def __post_init__(self) -> None:
        if self.at is not None:
            check_count("--at", self.at, least=0, most=LARGEST_EPISODES)
