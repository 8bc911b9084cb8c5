"""Groups of runs that differ only in their seed, with labels that name what differs between the groups."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.compare.configuration import FROM
from agents.compare.runs import EvaluatedRun
from agents.experiment.evaluation import Curve
from agents.experiment.series import distinct
from agents.runs.messages import escaped
from qrl.common.errors import UsageError
from qrl.common.files import to_json

MOST_DIFFERENCES = 3
"""Maximum number of options that a label names; beyond it, the label has the name of the run folder."""
IDENTITY = ("env", "agent", "model")
"""Options whose values are names of plug-ins."""


@dataclass(frozen=True)
class RunGroup:
    """Runs of one configuration, in the order of their seeds."""

    runs: tuple[EvaluatedRun, ...]

    @property
    def options(self) -> Mapping[str, object]:
        """Options by their names on the command line."""
        return self.runs[0].options

    @property
    def name(self) -> str:
        """Names of agent and model."""
        return self.runs[0].curve.label

    @property
    def is_deterministic(self) -> bool:
        """Whether several seeds have equal returns on every task, so that they are copies of one result."""
        first = self.runs[0].curve
        return len(self.runs) > 1 and all(
            run.curve.per_task == first.per_task and run.curve.x == first.x for run in self.runs
        )

    @property
    def evaluations(self) -> tuple[Curve, ...]:
        """Curve of each seed; the first one only if all are copies of it."""
        return tuple(run.curve for run in self.runs[: 1 if self.is_deterministic else None])

    @property
    def folder_name(self) -> str:
        """Name of the first run folder without its seed."""
        name = self.runs[0].path.resolve().name
        return re.sub(r"[-_.]?(seed)?[-_.]?\d+$", "", name) or name


def group_runs(command: str, runs: Sequence[EvaluatedRun]) -> tuple[RunGroup, ...]:
    """Return the groups, in the order of their first runs; `command` names the caller in errors.

    Raises:
        UsageError: a configuration has the same seed twice.
    """
    groups: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        groups.setdefault(run.curve.label + to_json(dict(sorted(run.options.items()))), []).append(run)
    for group in groups.values():
        by_seed: dict[object, Path] = {}
        for run in group:
            if run.seed in by_seed:
                raise UsageError(
                    f"{command}: {by_seed[run.seed]} and {run.path} are the same configuration and seed: "
                    "give one of them"
                )
            by_seed[run.seed] = run.path
    return tuple(RunGroup(tuple(group)) for group in groups.values())


def full_labels(groups: Sequence[RunGroup]) -> list[str]:
    """Return labels with agent, model and the options in which groups of these differ, for legends on their own."""
    return distinct([", ".join([group.name, *_options_of(group, groups)]) for group in groups])


def short_labels(groups: Sequence[RunGroup]) -> list[str]:
    """Return labels of what differs only: agent and model, where not all groups share them, and options.

    >>> short_labels([])
    []
    """
    curves = [group.runs[0].curve for group in groups]
    agents_differ = len({curve.agent for curve in curves}) > 1
    models_differ = len({curve.model for curve in curves}) > 1
    labels = []
    for group, curve in zip(groups, curves, strict=True):
        names = [curve.agent] if agents_differ or not curve.model else []
        names += [curve.model] if models_differ and curve.model else []
        options = _options_of(group, groups, short=True)
        labels.append(escaped(", ".join(names + options) or group.name))
    return distinct(labels)


def differing_options(groups: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the names of the options in which groups differ; an option that one lacks differs, too."""
    names = dict.fromkeys(name for options in groups for name in options)
    return [name for name in names if any(options.get(name) != groups[0].get(name) for options in groups)]


def _options_of(group: RunGroup, groups: Sequence[RunGroup], *, short: bool = False) -> list[str]:
    """Return the options in which a group differs from others of the same agent and model, with their values.

    Options of the agent that differ from those of the same agent with another model, options of the model likewise, and
    the weights at the start are named, too, unless they are too many.
    """
    names = differing_options([other.options for other in groups if other.name == group.name])
    if len(names) > MOST_DIFFERENCES:
        return [group.folder_name if short else group.runs[0].path.name]
    more = [name for name in _differing_elsewhere(group, groups) if name not in names]
    names += more if len(names) + len(more) <= MOST_DIFFERENCES else []
    return [
        f"{_without_prefix(name) if short else name} {_value_text(name, group.options.get(name))}" for name in names
    ]


def _differing_elsewhere(group: RunGroup, groups: Sequence[RunGroup]) -> list[str]:
    """Return the names of options of one agent or model, and of the start, that differ between groups."""
    own, starts = group.runs[0].curve, {str(other.options.get(FROM)) for other in groups}
    found = [FROM] if len(starts) > 1 and own.iteration else []
    for role, plugin in (("agent", own.agent), ("model", own.model)):
        if not plugin:  # an agent without a network
            continue
        alike = [other.options for other in groups if getattr(other.runs[0].curve, role) == plugin]
        found += [
            name
            for name in differing_options(alike)
            if name.startswith(f"{role}.") and all(name in options for options in alike)
        ]
    return found


def _value_text(name: str, value: object) -> str:
    """Return the value of an option in a label."""
    if name != FROM:
        return str(value)
    if value is None:
        return "random weights"
    run = Path(str(value))
    return f"{run.parent.name}/{run.name}" if run.name == "best" else run.name


def _without_prefix(name: str) -> str:
    """Return the name of an option without the role of its plug-in."""
    return name.partition(".")[2] or name
