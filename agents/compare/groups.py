"""Groups of runs that differ only in their seed, with labels that name what differs between the groups."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.compare.runs import EvaluatedRun
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
    """Return the options in which groups of the same agent and model differ, with their values in this group.

    An option that this group lacks, such as the weights from which it starts, has no place in its label.
    """
    names = differing_options([other.options for other in groups if other.name == group.name])
    if len(names) > MOST_DIFFERENCES:
        return [group.folder_name if short else group.runs[0].path.name]
    return [
        f"{_without_prefix(name) if short else name} {group.options[name]}" for name in names if name in group.options
    ]


def _without_prefix(name: str) -> str:
    """Return the name of an option without the role of its plug-in."""
    return name.partition(".")[2] or name
