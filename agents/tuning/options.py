"""Options of a search besides those of its trainings."""

from dataclasses import dataclass
from pathlib import Path

from agents.core.limits import LARGEST_THREADS
from qrl.common.checks import check_count


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Options of a search besides the spec of its trials, as on the command line."""

    trials: int = 40
    """Trials of all processes together [trials]."""

    storage: str | None = None
    """journal:FILE, or the URL of a database, such as sqlite:///studies/search.db or postgresql://HOST/NAME, which
    processes and machines may share (default: journal:OUT/trials.log)."""

    tune_seeds: int = 1
    """Trainings of a trial, each from another seed; their scores are averaged [seeds]."""

    tune_tasks: int = 20
    """Train tasks of a score [tasks]."""

    score_every: int = 0
    """Interval of the scores by which trials are pruned [meta-iterations]; 0: a quarter of the training."""

    held_out_seeds: int = 5
    """Trainings of the best and of the default options in the comparison at the end [seeds]; 0: no comparison."""

    out: Path | None = None
    """Folder of the search (default: studies/tune-<env>-<agent>-<model>)."""

    take_over: bool = False
    """Continue trials that were begun in other folders, whose processes are gone."""

    jobs: int | None = None
    """Processes that share the trials, each with one thread unless --threads is given [processes] (default: 1; on Ray,
    as many as its CPUs allow)."""

    ray: bool | str = False
    """Train on Ray (extra ray): on the cluster at HOST:PORT, on the one of which this machine is part (auto), or,
    without an address, on a Ray that is started on this machine."""

    @property
    def has_workers(self) -> bool:
        """Whether other processes train, in place of this one."""
        return self.ray is not False or self.jobs not in (None, 1)

    def __post_init__(self) -> None:
        if self.jobs is not None:
            check_count("--jobs", self.jobs, most=LARGEST_THREADS)
