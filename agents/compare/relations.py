"""Relations between measured groups: differences, improvement, reference lines, sample complexity."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from agents.compare.format import number_text
from agents.compare.groups import RunGroup
from agents.compare.measure import scores_at
from agents.compare.result import Group, Lines, Target
from agents.compare.statistics import (
    Estimate,
    difference,
    probability_of_improvement,
    sample_complexity,
)

OPTIMA = ("bayes", "gittins", "oracle")
"""References whose return is optimal for what they know, by preference."""
LOWER = "random"
"""Reference whose return is the lower line."""


def with_differences(group: Group, own: RunGroup, reference: Group, other: RunGroup) -> Group:
    """Return the group with its paired difference from the reference, and its probability of improvement.

    Both groups have been evaluated on the same tasks.
    """
    i, j = group.x.index(group.at.x), reference.x.index(reference.at.x)
    improved = probability_of_improvement(scores_at(own.evaluations, i), scores_at(other.evaluations, j))
    return replace(group, difference=paired_difference((group, own), (reference, other)), improvement=improved)


def paired_difference(one: tuple[Group, RunGroup], other: tuple[Group, RunGroup]) -> Estimate | None:
    """Return the difference of means, paired over tasks and over the seeds that both have; None without such seeds.

    A deterministic group, whose seeds are all alike, pairs with every seed.
    """
    mine, theirs = ({run.seed: run.curve for run in each.runs} for _, each in (one, other))
    if other[1].is_deterministic:
        theirs = dict.fromkeys(mine, other[1].evaluations[0])
    if one[1].is_deterministic:
        mine = dict.fromkeys(theirs, one[1].evaluations[0])
    shared = [seed for seed in mine if seed in theirs]
    if not shared:
        return None
    if one[1].is_deterministic and other[1].is_deterministic:  # copies of one difference
        shared = shared[:1]
    i, j = (group.x.index(group.at.x) for group, _ in (one, other))
    return difference(scores_at([mine[s] for s in shared], i), scores_at([theirs[s] for s in shared], j))


def reference_lines(groups: Sequence[Group]) -> Lines:
    """Return the reference lines at the compared x, from references or from groups, all on the same tasks.

    The lower line is that of random actions; without it, a return of 0, if the optimum is positive.
    """
    top, top_name = _line(groups, OPTIMA)
    low, low_name = _line(groups, (LOWER,))
    if low is None and top is not None and top > 0:
        low, low_name = 0.0, "a return of 0"
    return Lines(top, top_name, low, low_name)


def with_share(group: Group, lines: Lines) -> Group:
    """Return the group with its share of the way between the lines, which are taken as known."""
    if lines.optimum is None or lines.zero is None or lines.optimum <= lines.zero:
        return group
    zero, width = lines.zero, lines.optimum - lines.zero
    mean = group.at.mean
    low, high = (None if end is None else (end - zero) / width for end in (mean.low, mean.high))
    return replace(group, share=Estimate((mean.value - zero) / width, low, high))


def learning_target(groups: Sequence[Group], epsilon: float, delta: float, threshold: float | None = None) -> Target:
    """Return the threshold of the sample complexity on the scale of the learning curves, unless it is given.

    It is 1 - ε of the way from the return of random actions, or else the lowest return at the start of training, to the
    optimum where it is known, or else to the best group's mean at the end of training. There is none where the curves
    of some groups are of whole trials, and those of others of single episodes; nor for a single group whose optimum is
    not known, since its own end would be its threshold.
    """
    curves = [group.learning.mean for group in groups if group.learning is not None]
    if not curves:
        return Target(epsilon, delta, None, "no group has a learning curve")
    if scales_differ(groups):
        return Target(epsilon, delta, None, "the learning curves have different scales")
    if threshold is not None:
        return Target(epsilon, delta, threshold, "")
    top, top_name = _total(groups, OPTIMA)
    if top is None and len(curves) == 1:
        return Target(epsilon, delta, None, "a group alone has no threshold but its own end: give --threshold")
    if top is None:
        top, top_name = max(curve[-1].value for curve in curves), "the best group's mean at the end of training"
    start, start_name = _total(groups, (LOWER,))
    if start is None:
        start, start_name = min(curve[0].value for curve in curves), "the lowest mean at the start of training"
    ends = f"from {start_name} ({number_text(start, 2)}) to {top_name} ({number_text(top, 2)})"
    if top <= start:
        return Target(epsilon, delta, None, f"there is no rise {ends}")
    return Target(epsilon, delta, top - epsilon * (top - start), ends)


def scales_differ(groups: Sequence[Group]) -> bool:
    """Return whether the learning curves of some groups are of whole trials, and those of others of single episodes."""
    return len({group.axis == "gradient_steps" for group in groups if group.learning is not None}) > 1


def with_sample_complexity(group: Group, target: Target) -> Group:
    """Return the group with its sample complexity; None without a learning curve or a threshold."""
    if group.learning is None or target.threshold is None:
        return group
    table = np.array(group.learning.per_seed)
    found = sample_complexity(group.learning.env_steps, table, target.threshold, target.delta)
    return replace(group, sample_complexity=found)


def _line(groups: Sequence[Group], names: Sequence[str]) -> tuple[float | None, str]:
    """Return the return of the first of these references that is known, at the compared x, and its name."""
    for name in names:
        for group in groups:
            if name in group.references:
                return group.references[name][group.x.index(group.at.x)], name
            if group.agent == name:
                return group.at.mean.value, name
    return None, ""


def _total(groups: Sequence[Group], names: Sequence[str]) -> tuple[float | None, str]:
    """Return the same on the scale of learning curves: of a whole trial for in-context agents."""
    trials = any(group.axis != "gradient_steps" and group.learning is not None for group in groups)
    for name in names:
        for group in groups:
            values = group.references.get(name)
            if values is None and group.agent == name:
                values = tuple(estimate.value for estimate in group.means)
            if values is not None:
                return (sum(values) if trials and group.axis == "episodes" else values[-1]), name
    return None, ""
