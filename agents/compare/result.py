"""Result of a comparison, of which tables, figures and pages are views: plain numbers and texts, JSON-able."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agents.compare.certification import GroupCertificate
from agents.compare.statistics import MIN_SEEDS, Estimate

FORMAT = "qrl-comparison"
VERSION = 1


@dataclass(frozen=True)
class Member:
    """Run of a group."""

    path: Path
    seed: object
    command: tuple[str, ...]
    """Command line that trained it; empty if unknown."""
    changes: tuple[str, ...]
    """Lines about later changes of its options by `resume`."""
    provenance: Mapping[str, str]
    """Commit, engine, and versions of packages, by name."""
    means: tuple[Estimate, ...]
    """Mean return at each x, with the interval of its evaluation, over tasks."""


@dataclass(frozen=True)
class Score:
    """Statistics of a group at one x of its adaptation curve."""

    x: int
    mean: Estimate
    iqm: Estimate
    worst_decile: float
    """Mean over the worst tenth of tasks, averaged over seeds."""
    per_task: tuple[float, ...]
    """Mean over seeds [task]."""


@dataclass(frozen=True)
class Learning:
    """Returns during training at the iterations that all seeds have."""

    validated: bool
    """Whether they are on validation tasks; else on training tasks."""
    updates: int | None
    """Number of updates in a task before each return [gradient steps]; None for returns of whole trials."""
    env_steps: tuple[float, ...]
    """Environment steps up to each point, averaged over seeds [steps]."""
    mean: tuple[Estimate, ...]
    """Mean over seeds at each point, with a t-interval over seeds."""
    per_seed: tuple[tuple[float, ...], ...]
    """[seed, point]."""


@dataclass(frozen=True)
class Profile:
    """Share of seeds × tasks whose return exceeds each threshold."""

    thresholds: tuple[float, ...]
    shares: tuple[Estimate, ...]


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed."""

    label: str
    agent: str
    model: str
    """Empty for an agent without a network."""
    members: tuple[Member, ...]
    options: Mapping[str, object]
    """All options that define the training, by their names on the command line."""
    axis: str
    x: tuple[int, ...]
    episodes: tuple[int, ...]
    """Episodes spent in a task before each x [episodes]."""
    n_tasks: int
    means: tuple[Estimate, ...]
    """Mean return at each x."""
    first: Score
    """At the first x."""
    at: Score
    """At the x that is compared."""
    references: Mapping[str, tuple[float, ...]]
    """Mean returns of reference agents on the same tasks at each x; exact ones over all tasks where known."""
    profile: Profile
    learning: Learning | None
    n_parameters: int | None
    circuits: str
    """Circuits of the policy in words; empty without circuits."""
    circuit_runs: float | None
    """Circuits that a device would have run in training, averaged over seeds [circuits]."""
    env_steps: float
    """Environment steps of training, averaged over seeds [steps]."""
    seconds: float | None
    """Duration of training, averaged over seeds [s]."""
    is_deterministic: bool = False
    """Whether all seeds have equal returns on every task, so that they count as one."""
    gain: Estimate | None = None
    """Paired difference of the mean at the compared x from that at the first one; None if these are one."""
    difference: Estimate | None = None
    """Paired difference of means from the reference group; None for the reference itself, or if nothing is paired."""
    improvement: Estimate | None = None
    """Probability that a seed's return exceeds that of a seed of the reference group, on average over tasks."""
    sample_complexity: Estimate | None = None
    """Environment steps until the threshold is exceeded; infinite if it never is [steps]."""
    share: Estimate | None = None
    """Share of the way from the lower reference line to the optimum."""
    certificate: GroupCertificate | None = None
    """Success rate on quantum data against any classical memory; None on other data."""

    @property
    def n_seeds(self) -> int:
        """Number of seeds; equal results of several seeds count as one."""
        return 1 if self.is_deterministic else len(self.members)

    @property
    def seeds(self) -> tuple[object, ...]:
        """Seeds of the runs."""
        return tuple(member.seed for member in self.members)

    @property
    def has_intervals(self) -> bool:
        """Whether there are enough seeds for intervals."""
        return self.n_seeds >= MIN_SEEDS


@dataclass(frozen=True)
class Lines:
    """Reference lines at the x that is compared: the optimum is 1, the lower line 0."""

    optimum: float | None
    optimum_name: str
    zero: float | None
    zero_name: str


@dataclass(frozen=True)
class Target:
    """Threshold of the sample complexity, 1 - ε of the way from the start to the top of the learning curves."""

    epsilon: float
    delta: float
    threshold: float | None
    """None if there is no sample complexity."""
    basis: str
    """From where to where the way leads, in words, or why there is no threshold; empty for one that was given."""


@dataclass(frozen=True)
class Section:
    """Comparison of the groups of one environment in one task setting."""

    env: str
    setting: str
    """In what the tasks or their evaluation differ from those of other sections; empty if there are none."""
    split: str
    checkpoint: str
    """Checkpoints that were evaluated: the last ones, or the best ones on validation tasks."""
    reference: str
    """Label of the group that others are compared with; empty for a single group."""
    groups: tuple[Group, ...]
    lines: Lines
    target: Target
    differing: tuple[str, ...]
    """Names of the options in which groups differ."""
    finding: str
    """Result in one sentence."""
    warnings: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the environment, with the task setting where there are several."""
        return f"{self.env}, {self.setting}" if self.setting else self.env

    @property
    def has_several_seeds(self) -> bool:
        """Whether a group has more than one seed."""
        return any(group.n_seeds > 1 for group in self.groups)

    @property
    def digits(self) -> int:
        """Number of printed decimals of returns: more for small values, as in a curve."""
        return 2 if max(abs(mean.value) for group in self.groups for mean in group.means) >= 2 else 4

    @property
    def certificates(self) -> tuple[GroupCertificate, ...]:
        """Certificates of the groups that have one."""
        return tuple(group.certificate for group in self.groups if group.certificate is not None)

    def group(self, label: str) -> Group:
        """Return the group of this label."""
        return next(group for group in self.groups if group.label == label)


@dataclass(frozen=True)
class Results:
    """Results of a comparison, one section for each task setting of each environment."""

    sections: tuple[Section, ...]
    notes: tuple[str, ...]
    """Notes on all sections, and on runs that are left out."""
    studies: tuple[Path, ...]
    """Studies that were given."""
    paths: tuple[Path, ...]
    """Run folders and studies as they were given."""
    options: tuple[str, ...] = ()
    """Further words of the command line that makes this comparison."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of all sections, each once, and the notes."""
        several = len(self.sections) > 1
        found = [f"{each.name}: {text}" if several else text for each in self.sections for text in each.warnings]
        return tuple(dict.fromkeys([*found, *self.notes]))

    def to_json(self) -> dict[str, object]:
        """Return the comparison as a JSON object; an infinite number of steps, never reached, is the text "inf"."""
        content = asdict(self)
        return {"format": FORMAT, "version": VERSION, **_plain_object(content), "warnings": list(self.warnings)}


def _plain_object(content: Mapping[str, object]) -> dict[str, object]:
    return {str(key): _plain(value) for key, value in content.items()}


def _plain(value: object) -> object:
    match value:
        case Path():
            return str(value)
        case float() if math.isinf(value):
            return "inf"
        case Mapping():
            return _plain_object(value)
        case str() | int() | float() | None:
            return value
        case Sequence():
            return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")
