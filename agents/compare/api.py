"""Comparison of runs and studies: read, group, measure, relate."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Float

from agents.compare.cautions import warnings_of
from agents.compare.comparison import Comparison
from agents.compare.defaults import DELTA, EPSILON
from agents.compare.finding import finding_of
from agents.compare.groups import RunGroup, differing_options, group_runs, short_labels
from agents.compare.measure import check_alike, measure, scores_at
from agents.compare.relations import (
    learning_target,
    reference_lines,
    same_distribution,
    same_tasks,
    with_differences,
    with_sample_complexity,
    with_share,
)
from agents.compare.result import Group, Section
from agents.compare.runs import EvaluatedRun, find_runs, read_run
from agents.compare.training import all_validated, read_training
from agents.experiment.run import Which
from envs.core.distribution import Split
from qrl.common.checks import check_choice, finite_number
from qrl.common.errors import UsageError, suggest

N_THRESHOLDS = 101
"""Number of thresholds of a performance profile."""


def compare(
    paths: Sequence[Path | str] | Path | str,
    reference: str | None = None,
    *,
    at: int | None = None,
    epsilon: float = EPSILON,
    delta: float = DELTA,
    split: str = "test",
    checkpoint: Which = "last",
) -> Comparison:
    """Compare evaluated runs, grouped by what differs besides the seed. Reading executes no code of the runs.

    Args:
        paths: run folders, and studies: folders of run folders.
        reference: group that the others are compared with, by its label, or by its agent or model if that names one
            group; by default the first group.
        at: x of the adaptation curve, gradient steps or episodes, at which returns are compared; by default the last.
        epsilon: ε of the sample complexity in (0, 1): the threshold is 1 - ε of the way to the optimum.
        delta: δ of the sample complexity in (0, 1]: share of the seeds that must exceed the threshold.
        split: split of the evaluated tasks.
        checkpoint: "last", or "best" for the evaluations of the best checkpoints on validation tasks.

    Raises:
        UsageError: a path is no run and no study, an evaluation is missing or damaged, runs of different environments
            are given one by one, a configuration has the same seed twice, the seeds of a group were not evaluated
            alike, or an argument is invalid.
    """
    check_choice("compare", "split", split, get_args(Split))
    check_choice("compare", "checkpoint", checkpoint, get_args(Which))
    if not 0 < finite_number("epsilon", epsilon) < 1:
        raise UsageError(f"epsilon must be between 0 and 1, not {epsilon}")
    if not 0 < finite_number("delta", delta) <= 1:
        raise UsageError(f"delta must be greater than 0 and at most 1, not {delta}")
    given = _paths(paths)
    found = find_runs(given, split, checkpoint)
    runs = [read_run(path, split, checkpoint) for path in found.runs]
    by_env: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        by_env.setdefault(run.curve.env, []).append(run)
    if len(by_env) > 1 and len(found.studies) < len(given):
        listed = ", ".join(f"{env} ({each[0].path})" for env, each in by_env.items())
        raise UsageError(f"compare: runs of different environments cannot share a table: {listed}")
    sections = tuple(
        replace(_section(each, reference, at, epsilon, delta, split), checkpoint=checkpoint) for each in by_env.values()
    )
    words = _words(reference=reference, at=at, epsilon=epsilon, delta=delta, split=split, checkpoint=checkpoint)
    return Comparison(sections, found.notes, found.studies, given, words)


def _paths(paths: object) -> tuple[Path, ...]:
    """Return the paths. Raises UsageError for anything else than a path or a sequence of paths."""
    every = [paths] if isinstance(paths, Path | str) else paths
    if not isinstance(every, Sequence) or not all(isinstance(path, Path | str) for path in every):
        raise UsageError(f"compare: expected the paths of run folders or studies, found {paths!r}")
    return tuple(map(Path, every))


def _section(
    runs: Sequence[EvaluatedRun], reference: str | None, at: int | None, epsilon: float, delta: float, split: str
) -> Section:
    own = group_runs("compare", runs)
    labels = short_labels(own)
    validated = all_validated(runs)
    trainings = [[read_training(run, validated=validated) for run in group.runs] for group in own]
    for label, group in zip(labels, own, strict=True):
        check_alike(label, group)
    chosen = labels.index(_reference(reference, own, labels))
    places = [_place(label, group, own, at) for label, group in zip(labels, own, strict=True)]
    thresholds = _thresholds(own, places)
    groups = [measure(*each, thresholds) for each in zip(labels, own, trainings, places, strict=True)]
    learned = [same_distribution(one, own[chosen]) for one in own]
    evaluated = [same_tasks(one, own[chosen]) for one in own]
    lines = reference_lines([*compress(groups, evaluated)])
    target = learning_target([*compress(groups, learned)], epsilon, delta)
    groups = [
        with_sample_complexity(each, target) if same else each for each, same in zip(groups, learned, strict=True)
    ]
    groups = [
        with_share(_related(group, one, groups[chosen], own[chosen]), lines) if same else group
        for group, one, same in zip(groups, own, evaluated, strict=True)
    ]
    section = Section(
        env=runs[0].curve.env,
        split=split,
        reference=labels[chosen] if len(labels) > 1 else "",
        groups=tuple(groups),
        lines=lines,
        target=target,
        differing=tuple(differing_options([group.options for group in own])),
        finding="",
        warnings=warnings_of(groups, own),
    )
    return replace(section, finding=finding_of(groups, section.reference, section.digits))


def _related(group: Group, own: RunGroup, reference: Group, other: RunGroup) -> Group:
    return group if own is other else with_differences(group, own, reference, other)


def _reference(name: str | None, own: Sequence[RunGroup], labels: Sequence[str]) -> str:
    """Return the label of the reference group. Raises UsageError for a name of none, or of several groups."""
    if name is None or name in labels:
        return labels[0] if name is None else name
    curves = [group.runs[0].curve for group in own]
    named = [
        label for label, curve in zip(labels, curves, strict=True) if name in (curve.agent, curve.model, curve.label)
    ]
    if len(named) == 1:
        return named[0]
    if named:
        raise UsageError(f"--reference: {name!r} names {len(named)} groups: {', '.join(map(repr, named))}")
    raise UsageError(f"--reference: no group {name!r}{suggest(name, labels)}")


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
    """Return returns from the smallest to the largest of any group, at which profiles are computed."""
    scores = []
    for group, x in zip(own, places, strict=True):
        curves = [run.curve for run in group.runs]
        scores.append(scores_at(curves, curves[0].x.index(x)).ravel())
    every = np.concatenate(scores)
    return np.linspace(every.min(), every.max(), N_THRESHOLDS)


def _words(**options: object) -> tuple[str, ...]:
    """Return the options that differ from their defaults as words of a command line."""
    defaults: dict[str, object] = {"reference": None, "at": None, "epsilon": EPSILON, "delta": DELTA}
    defaults |= {"split": "test", "checkpoint": "last"}
    return tuple(
        word for name, value in options.items() if value != defaults[name] for word in (f"--{name}", str(value))
    )
