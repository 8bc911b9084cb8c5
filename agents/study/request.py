"""Request of a study: the plug-ins, options, grid and seeds whose product is to be trained."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agents.core.limits import LARGEST_THREADS
from agents.core.registry import REGISTRIES
from agents.study.setting import Setting
from qrl.common.checks import abbreviated, check_count, check_seed, shown
from qrl.common.errors import UsageError

MOST_RUNS = 10_000
"""Maximum number of runs of a study; larger numbers are rejected as typos."""

RESERVED = {
    "out": "out",
    "overwrite": "--overwrite",
    "help": "--help",
    "seed": "seeds",
    "seeds": "seeds",
    "jobs": "jobs",
    "ray": "--ray",
    **{role: f"{role}s" for role in REGISTRIES},
}
"""Options that are those of the whole study: their place."""


@dataclass(frozen=True)
class Variant:
    """Named set of options, crossed with everything else."""

    name: str = ""
    """Name, part of the names of the runs; "" for one that its plug-ins tell apart, and for the only one of a study."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Plug-ins by role, in place of those of the study."""
    settings: tuple[Setting, ...] = ()

    @property
    def label(self) -> str:
        """Plug-ins and name, in words."""
        return " ".join([*self.names.values(), *([self.name] if self.name else [])])


@dataclass(frozen=True, kw_only=True)
class Request:
    """Request of a study.

    Raises:
        UsageError: a list is empty or names something twice, there are too many runs, or an option is given in two
            places.
    """

    seeds: tuple[int, ...] = (0,)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Plug-ins by role; the default one for a role without names."""
    settings: tuple[Setting, ...] = ()
    """Options of `train` for all runs."""
    grid: Mapping[str, tuple[Setting, ...]] = field(default_factory=dict)
    """Settings of each axis, by the name of the option."""
    variants: tuple[Variant, ...] = (Variant(),)
    out: Path | None = None
    """Folder of the study; by default one in studies/."""
    jobs: int | None = None
    """Number of parallel processes [processes]; by default, as many as the executor has room for."""
    ray: bool | str = False
    """Whether the runs are trained on a Ray of this machine, or the address of another one."""
    overwrite: bool = False
    """Replace runs of another configuration."""
    trust: bool = False
    """Trust all code that the files of the request name."""
    file: Path | None = None
    """Study file from which names of plug-ins may come."""
    typed: frozenset[str] = frozenset()
    """Roles whose names do not come from the study file."""

    def __post_init__(self) -> None:
        if self.jobs is not None:
            check_count("jobs", self.jobs, most=LARGEST_THREADS)
        if not self.seeds:
            raise UsageError("seeds: expected at least one, found none: there would be no runs")
        for seed in self.seeds:
            check_seed("seeds", seed)
        check_distinct("seeds", self.seeds)
        for role, names in self.names.items():
            if not names:
                raise UsageError(f"{role}s: expected at least one, found none: there would be no runs")
            check_distinct(f"{role}s", [REGISTRIES[role].canonical(name) for name in names])
        for name, axis in self.grid.items():
            if not axis:
                raise UsageError(f"grid: {name} has no values: there would be no runs")
            check_distinct(f"grid: {name}", [each.text for each in axis])
        if not self.variants:
            raise UsageError("variants: expected at least one, found none: there would be no runs")
        check_distinct("variants", [variant.label for variant in self.variants])
        self._check_places()
        count = len(self.seeds) * len(self.variants)
        for values in (*self.names.values(), *self.grid.values()):
            count *= len(values)
        if count > MOST_RUNS:
            raise UsageError(f"a study has at most {MOST_RUNS:,} runs, not {count:,}")

    def _check_places(self) -> None:
        """Check that each option is given in one place, and that none is one of the whole study."""
        given = {each.name for each in self.settings}
        for variant in self.variants:
            own = {each.name for each in variant.settings}
            if both := sorted(own & self.grid.keys()):
                raise UsageError(
                    f"{both[0]} is an axis of the grid and an option of variant {variant.label!r}: drop one"
                )
            given |= own - given
        if both := sorted({each.name for each in self.settings} & self.grid.keys()):
            raise UsageError(f"{both[0]} is an axis of the grid and an option of all runs: drop one")
        for name in sorted(given | self.grid.keys()):
            if name in RESERVED:
                raise UsageError(f"{name} is no option of single runs in a study: give {RESERVED[name]}")


def check_distinct(what: str, values: Iterable[object]) -> None:
    """Raise UsageError if a value is given twice."""
    (value, count), *_ = [*Counter(values).most_common(1), (None, 0)]
    if count > 1:
        text = abbreviated(value) if isinstance(value, str) else shown(value)
        raise UsageError(f"{what}: {text} is given twice")


def parse_seeds(value: object, where: str) -> tuple[int, ...]:
    """Return the seeds that a number, 10 for the seeds 0 to 9, or a list stands for: "3,5,7", or numbers.

    Raises:
        UsageError: the value is none of these, or there would be no seeds.
    """
    several = isinstance(value, Sequence) and not isinstance(value, str)
    words: Sequence[object] = [value]
    if isinstance(value, Sequence):
        words = value.split(",") if isinstance(value, str) else value
    try:
        numbers = [int(word) for word in words if isinstance(word, int | str) and not isinstance(word, bool)]
    except ValueError:
        numbers = []
    if len(numbers) != len(words) or isinstance(value, bool | float):
        raise UsageError(
            f"{where}: expected a number of seeds, such as 10, or seeds, such as 3,5,7; found {shown(value)}"
        )
    if several or len(words) > 1:
        return tuple(numbers)
    check_count(where, numbers[0], most=MOST_RUNS)
    return tuple(range(numbers[0]))
