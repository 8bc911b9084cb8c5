"""Request of a search: what is tuned, where, and by which protocol."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.core.limits import LARGEST_ITERATIONS, LARGEST_TASKS
from agents.core.plain import to_plain
from agents.core.registry import REGISTRIES
from agents.core.spec import Spec
from agents.experiment.startable import check_start
from agents.tuning.folder import JOURNAL_NAME
from agents.tuning.options import SearchOptions
from agents.tuning.ranges import Range, Value, Wanted, ranges_of, value_in, with_values
from agents.tuning.storage import JOURNAL
from agents.tuning.training import Protocol, Refused
from qrl.common.checks import check_count
from qrl.common.errors import UsageError
from qrl.common.registry import short_name
from qrl.noise.model import inline_calibrations

FIRST_SEED, FIRST_HELD_OUT_SEED = 10_000, 20_000
"""First training seed of the trials, and of the comparison at the end: those of studies are smaller."""
MOST_SEEDS = 1_000
MOST_TRIALS = 100_000
"""Maximum numbers; larger ones are rejected as typos."""
RUNGS = 4
"""Default number of scores in a training."""


def study_name(spec: Spec) -> str:
    """Return the name of a search by its environment, agent and model."""
    return "-".join(short_name(getattr(spec, role)) for role in REGISTRIES)


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """Request of a search. Raises UsageError if a count is out of range."""

    spec: Spec
    """Spec of the trials; its seed is that of the sampler."""
    ranges: tuple[Range, ...]
    out: Path
    storage: str
    trials: int = 40
    """Number of trials of all processes together."""
    seeds: int = 1
    """Number of trainings of a trial, each from another seed."""
    tasks: int = 20
    """Train tasks of a score [tasks]."""
    score_every: int = 0
    """Interval of scores [meta-iterations]; 0: a quarter of the training."""
    held_out_seeds: int = 5
    """Number of trainings of the best and of the default options in the comparison at the end; 0: no comparison."""
    take_over: bool = False
    """Continue trials that other folders have begun."""

    def __post_init__(self) -> None:
        check_count("--trials", self.trials, most=MOST_TRIALS)
        check_count("--tune-seeds", self.seeds, most=MOST_SEEDS)
        check_count("--tune-tasks", self.tasks, least=2, most=LARGEST_TASKS)
        check_count("--score-every", self.score_every, least=0, most=LARGEST_ITERATIONS)
        check_count("--held-out-seeds", self.held_out_seeds, least=0, most=MOST_SEEDS)

    @property
    def protocol(self) -> Protocol:
        """Protocol of the trials."""
        every = self.score_every or -(-self.spec.iterations // RUNGS)
        seeds = tuple(range(FIRST_SEED, FIRST_SEED + self.seeds))
        return Protocol(seeds=seeds, tasks=self.tasks, score_every=every)

    @property
    def study_name(self) -> str:
        """Name of the search in its storage, which may hold others."""
        return study_name(self.spec)

    @property
    def defaults(self) -> dict[str, Value]:
        """Values of the tuned options in the spec: the trial that the others are compared with."""
        return {each.name: value_in(self.spec, each.name) for each in self.ranges}

    def identity(self) -> dict[str, object]:
        """Return all that the trials of one search have in common, as JSON."""
        ranges = {each.name: to_plain(each) for each in self.ranges}
        return {"spec": self.spec.to_json(), "ranges": ranges, "protocol": to_plain(self.protocol)}

    def specs_of(self, values: Mapping[str, Value]) -> dict[str, Spec]:
        """Return the spec of each training of a trial, by the name of its run folder.

        Raises:
            Refused: the values do not go together.
        """
        try:
            tuned = with_values(self.spec, values)
        except UsageError as error:
            raise Refused(str(error)) from error
        return {f"seed{seed}": dataclasses.replace(tuned, seed=seed) for seed in self.protocol.seeds}


def make_request(spec: Spec, wanted: Sequence[Wanted] | None, options: SearchOptions) -> SearchRequest:
    """Return the request of a search, all of whose ranges are valid, and whose defaults would start.

    Raises:
        UsageError: an option is invalid, has no range or no effect, or a training would not start.
    """
    spec = dataclasses.replace(spec, noise=inline_calibrations(spec.noise))
    startable = check_start(spec)
    ranges = ranges_of(spec, wanted, uses_model=startable.uses_model)
    out = options.out or Path("studies", f"tune-{study_name(spec)}")
    return SearchRequest(
        spec=spec,
        ranges=ranges,
        out=out,
        storage=f"{JOURNAL}{out / JOURNAL_NAME}" if options.storage is None else options.storage,
        trials=options.trials,
        seeds=options.tune_seeds,
        tasks=options.tune_tasks,
        score_every=options.score_every,
        held_out_seeds=options.held_out_seeds,
        take_over=options.take_over,
    )
