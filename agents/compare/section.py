"""Comparison of groups in one task setting: measure, relate, summarise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from agents.compare.cautions import warnings_of
from agents.compare.defaults import DELTA, EPSILON
from agents.compare.finding import Rival, finding_of
from agents.compare.groups import RunGroup, differing_options, short_labels
from agents.compare.measure import measure, scores_at
from agents.compare.relations import (
    learning_target,
    paired_difference,
    reference_lines,
    with_differences,
    with_sample_complexity,
    with_share,
)
from agents.compare.result import Group, Section
from agents.compare.settings import AlikeGroups
from agents.compare.training import all_validated, read_training
from qrl.common.errors import UsageError, suggest

N_THRESHOLDS = 101
"""Number of thresholds of a performance profile from the smallest to the largest return."""


@dataclass(frozen=True)
class Request:
    """Arguments of a comparison; see `agents.compare.api.compare`."""

    reference: str | None = None
    at: int | None = None
    epsilon: float = EPSILON
    delta: float = DELTA
    threshold: float | None = None
    split: str = "test"
    checkpoint: str = "last"


def section_of(alike: AlikeGroups, request: Request, reference: str | None) -> Section:
    """Return the comparison of groups with one task setting.

    Args:
        alike: the groups.
        request: arguments of the comparison.
        reference: name of the reference group; by default the first group whose runs were trained to their end.

    Raises:
        UsageError: the reference or the compared place does not exist, or the record of a training is damaged.
    """
    own = alike.groups
    labels = short_labels(own)
    runs = [run for group in own for run in group.runs]
    validated = all_validated(runs)
    trainings = [[read_training(run, validated=validated) for run in group.runs] for group in own]
    chosen = _default_reference(own) if reference is None else labels.index(_named(reference, own, labels))
    places = [_place(label, group, own, request.at) for label, group in zip(labels, own, strict=True)]
    thresholds = _thresholds(own, places)
    groups = [measure(*each, thresholds) for each in zip(labels, own, trainings, places, strict=True)]
    target = learning_target(groups, request.epsilon, request.delta, request.threshold)
    lines = reference_lines(groups)
    reference_group = groups[chosen]
    groups = [
        group if one is own[chosen] else with_differences(group, one, reference_group, own[chosen])
        for group, one in zip(groups, own, strict=True)
    ]
    groups = [with_share(with_sample_complexity(group, target), lines) for group in groups]
    section = Section(
        env=own[0].runs[0].curve.env,
        setting=alike.setting,
        split=request.split,
        checkpoint=request.checkpoint,
        reference=labels[chosen] if len(labels) > 1 else "",
        groups=tuple(groups),
        lines=lines,
        target=target,
        differing=tuple(differing_options([group.options for group in own])),
        finding="",
        warnings=warnings_of(groups, own),
    )
    rivals = _rivals(groups, own, chosen)
    return replace(section, finding=finding_of(groups, rivals, section.digits))


def names_a_group(name: str, groups: Sequence[RunGroup]) -> bool:
    """Return whether a name is that of a group, or of the agent or model of one or several groups."""
    return name in short_labels(groups) or bool(_with_plugin(name, groups))


def reference_error(name: str, groups: Sequence[RunGroup]) -> UsageError:
    """Return the error for a name of none of these groups."""
    return UsageError(f"--reference: no group {name!r}{suggest(name, short_labels(groups), quoted=True)}")


def _rivals(groups: Sequence[Group], own: Sequence[RunGroup], reference: int) -> list[Rival]:
    """Return the paired differences of the best group from the next one and from the reference."""
    best, *others = sorted(range(len(groups)), key=lambda index: -groups[index].at.mean.value)
    compared = dict.fromkeys([*others[:1], *(index for index in others if index == reference)])
    return [
        Rival(groups[index].label, paired_difference((groups[best], own[best]), (groups[index], own[index])))
        for index in compared
    ]


def _default_reference(own: Sequence[RunGroup]) -> int:
    complete = (index for index, group in enumerate(own) if not any(run.shortfall for run in group.runs))
    return next(complete, 0)


def _named(name: str, own: Sequence[RunGroup], labels: Sequence[str]) -> str:
    """Return the label of the reference group. Raises UsageError for a name of none, or of several groups."""
    if name in labels:
        return name
    named = [label for label, group in zip(labels, own, strict=True) if group in _with_plugin(name, own)]
    if not named:
        raise reference_error(name, own)
    if len(named) > 1:
        raise UsageError(f"--reference: {name!r} names {len(named)} groups: {', '.join(map(repr, named))}")
    return named[0]


def _with_plugin(name: str, groups: Sequence[RunGroup]) -> list[RunGroup]:
    """Return the groups with this agent, this model, or both."""
    curves = [group.runs[0].curve for group in groups]
    return [
        group for group, curve in zip(groups, curves, strict=True) if name in (curve.agent, curve.model, curve.label)
    ]


def _place(label: str, group: RunGroup, every: Sequence[RunGroup], at: int | None) -> int:
    """Return the x at which a group is compared: by default the last that all groups with its axis have."""
    x = group.runs[0].curve.x
    if at is not None:
        if at not in x:
            raise UsageError(f"--at: {label!r} was not evaluated at {at}; it was at {', '.join(map(str, x))}")
        return at
    alike = [other.runs[0].curve for other in every if other.runs[0].curve.axis == group.runs[0].curve.axis]
    return max(set.intersection(*(set(curve.x) for curve in alike)), default=x[-1])


def _thresholds(own: Sequence[RunGroup], places: Sequence[int]) -> Float[np.ndarray, " threshold"]:
    """Return returns from below the smallest to the largest of any group, at which profiles are computed.

    At the first one, every profile is 1.
    """
    scores = []
    for group, x in zip(own, places, strict=True):
        curves = [run.curve for run in group.runs]
        scores.append(scores_at(curves, curves[0].x.index(x)).ravel())
    every = np.concatenate(scores)
    at = np.linspace(every.min(), every.max(), N_THRESHOLDS)
    step = at[1] - at[0] or 1.0
    return np.concatenate([[at[0] - step], at])
