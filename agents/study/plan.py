"""Plan of a study: its runs, each with the words of a command line and the spec that follows from them."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from agents.core.plain import to_plain
from agents.core.registry import REGISTRIES
from agents.core.spec import Spec
from agents.experiment.startable import Startable, check_start
from agents.experiment.weights import Origin
from agents.runs.seal import digest
from agents.study import naming
from agents.study.combinations import Combination, combinations, with_settings
from agents.study.request import Request
from agents.study.setting import Setting
from agents.tracking.tracking import check_trackers
from qrl.common.errors import UsageError
from qrl.common.files import to_json
from qrl.common.registry import short_name
from qrl.common.trust import Trust, names_from
from qrl.noise.model import inline_calibrations


@dataclass(frozen=True)
class Parsed:
    """Spec that words of `train` stand for."""

    spec: Spec
    note: str
    """Note for the user, or ""."""
    source: Path | None
    """Configuration that the words name, from which names of plug-ins may come."""
    trust: Trust
    """Code that the words vouch for."""
    weights: Path | None = None
    """Run from whose trained weights to start."""
    track: tuple[str, ...] = ()
    """Trackers."""


@runtime_checkable
class TrainCommand(Protocol):
    """Command line of `train`, as planning needs it."""

    def option_names(self, words: Sequence[str]) -> frozenset[str]:
        """Return the names of all options with the plug-ins that these words choose, such as "--agent.discount"."""
        ...

    def parse(self, words: Sequence[str]) -> Parsed:
        """Return the spec of these words. Raises UsageError if one is invalid."""
        ...


@dataclass(frozen=True)
class PlannedRun:
    """Run of a study."""

    name: str
    """Name of its run folder."""
    group: str
    """Name without the seed."""
    words: tuple[str, ...]
    """Arguments of `train` except the run folder."""
    spec: Spec
    trains: bool
    """Whether the agent learns."""
    origin: Origin | None = None
    """Origin of the initial weights; None for random ones."""
    track: tuple[str, ...] = ()
    """Trackers."""

    @property
    def iterations(self) -> int:
        """Length of training [meta-iterations]; 0 for an agent that does not learn."""
        return self.spec.iterations if self.trains else 0

    @property
    def key(self) -> str:
        """Digest of all that determines the results."""
        return digest([self.spec.to_json(), None if self.origin is None else to_plain(self.origin)])


@dataclass(frozen=True)
class Plan:
    """Runs of a study, and notes for the user."""

    runs: tuple[PlannedRun, ...]
    notes: tuple[str, ...]

    @property
    def default_out(self) -> Path | None:
        """Folder of a study of a single combination of plug-ins; None for several."""
        found = {tuple(short_name(getattr(run.spec, role)) for role in REGISTRIES) for run in self.runs}
        return Path("studies", "-".join(found.pop())) if len(found) == 1 else None


def make_plan(request: Request, train: TrainCommand) -> Plan:
    """Expand a request into its runs, and check that each of them would start. Nothing is written.

    Raises:
        UsageError: an option is unknown to all chosen plug-ins, or a value is invalid; or a combination of plug-ins is
            impossible, or is not trusted; the message names the combination, if there are several.
    """
    return _Planner(request, train).plan()


@dataclass
class _Planner:
    request: Request
    train: TrainCommand
    notes: dict[str, None] = field(default_factory=dict)
    """Distinct notes, in their order."""
    variants: dict[str, str] = field(default_factory=dict)
    """Variant of each run by its name, in words."""
    checked: set[str] = field(default_factory=set)
    """Environments that have been checked."""

    def plan(self) -> Plan:
        found, notes = with_settings(self.request, combinations(self.request), self._known)
        self.notes |= dict.fromkeys(notes)
        runs: dict[str, PlannedRun] = {}
        for combination in found:
            for point in itertools.product(*combination.axes):
                with _located(self._label(combination, point)):
                    for run in self._runs(combination, point):
                        self.variants.setdefault(run.name, combination.variant.label)
                        if runs.setdefault(run.name, run).key != run.key:
                            raise UsageError(f"another run has the same name, {run.name}: rename a variant or a file")
        self._check_different(list(runs.values()))
        if not runs:
            raise UsageError("there are no runs")
        return Plan(tuple(runs.values()), tuple(self.notes))

    def _label(self, combination: Combination, point: Sequence[Setting] = ()) -> str:
        """Return which of several combinations and points is meant; "" if there is only one."""
        several = len(combinations(self.request)) > 1
        return combination.label(point) if several or point else ""

    def _known(self, combination: Combination) -> frozenset[str]:
        """Return the names of all options of a combination."""
        every = (*self.request.settings, *combination.variant.settings)
        with _located(self._label(combination)), self._names(combination.names):
            return self.train.option_names([*_choosing(combination.names), *_words(every)])

    def _runs(self, combination: Combination, point: Sequence[Setting]) -> Iterator[PlannedRun]:
        """Yield the runs of a point of the grid, one for each seed."""
        names, own = combination.names, (*combination.settings, *point)
        parsed, startable = self._start(names, own)
        if not startable.uses_model and (idle := _of_model(names, own)):
            # Runs that differ in a model which the agent does not use are the same.
            self.notes[f"note: {', '.join(idle)}: no effect on agent {parsed.spec.agent}"] = None
            names = {role: name for role, name in names.items() if role != "model"}
            own, point = _without_model(own), _without_model(point)
            parsed, startable = self._start(names, own)
        if parsed.note:
            self.notes[parsed.note] = None
        spec = parsed.spec
        group = naming.stem(spec, combination.variant.name, point, with_model=startable.uses_model)
        roles = [role for role in REGISTRIES if role != "model" or startable.uses_model]
        words = (*_choosing({role: getattr(spec, role) for role in roles}), *_words(_on_one_thread(own)))
        for seed in self.request.seeds:
            seeded = dataclasses.replace(spec, seed=seed)
            name = naming.seeded(group, seed)
            own_words = (*words, "--seed", str(seed))
            yield PlannedRun(name, group, own_words, seeded, startable.trains, startable.origin, parsed.track)

    def _start(self, names: Mapping[str, str], own: Sequence[Setting]) -> tuple[Parsed, Startable]:
        """Parse the words of a run and check that it would start."""
        with self._names(names):
            parsed = self.train.parse([*_choosing(names), *_words(_on_one_thread(own))])
            spec = dataclasses.replace(parsed.spec, noise=inline_calibrations(parsed.spec.noise))
            _check_names(spec)
            check_trackers(parsed.track)
            key = to_json([spec.env, spec.options("env")])
            with names_from(parsed.source, parsed.trust):
                startable = check_start(spec, check_env=key not in self.checked, weights=parsed.weights)
        self.checked.add(key)
        return dataclasses.replace(parsed, spec=spec), startable

    @contextmanager
    def _names(self, names: Mapping[str, str]) -> Iterator[None]:
        """Resolve names that come from the study file: code that it names has to be trusted."""
        request = self.request
        typed = {role: REGISTRIES[role].canonical(name) for role, name in names.items() if role in request.typed}
        with names_from(request.file, Trust(request.trust, typed)):
            for role, name in names.items():
                REGISTRIES[role].load(name)  # Checked here, because words of `train` vouch for what they name.
            yield

    def _check_different(self, runs: Sequence[PlannedRun]) -> None:
        """Raise UsageError if two runs are the same."""
        seen: dict[str, str] = {}
        for run in runs:
            other = seen.setdefault(run.key, run.name)
            if other != run.name:
                one, two = (self.variants[name] for name in (other, run.name))
                why = f": variants {one!r} and {two!r} have the same options there" if one != two else ""
                raise UsageError(f"{other} and {run.name} would be the same run{why}: drop one of the two")


def _check_names(spec: Spec) -> None:
    """Raise UsageError for a plug-in that other processes do not find."""
    for role, registry in REGISTRIES.items():
        name = getattr(spec, role)
        if registry.origin(name)["from"] == "registered in Python":
            raise UsageError(f"{role} {name!r} is registered in this process only, a sweep has others: name its file")


def _choosing(names: Mapping[str, str]) -> list[str]:
    return [word for role, name in names.items() for word in (f"--{role}", name)]


def _words(own: Sequence[Setting]) -> list[str]:
    return [word for each in own for word in each.words]


def _on_one_thread(own: Sequence[Setting]) -> tuple[Setting, ...]:
    """Add --threads 1 unless another number is given."""
    given = any(each.name == "threads" for each in own)
    return (*own, *(() if given else (Setting("threads", ("--threads", "1"), "1"),)))


def _of_model(names: Mapping[str, str], own: Sequence[Setting]) -> list[str]:
    """Return what is chosen about the model."""
    given = [f"--{each.name}" for each in own if each.role in ("model", "policy")]
    return [*(["--model"] if "model" in names else []), *given]


def _without_model(own: Sequence[Setting]) -> tuple[Setting, ...]:
    return tuple(each for each in own if each.role not in ("model", "policy"))


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Name a combination in errors."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{where}: {error}" if where else str(error)) from error
