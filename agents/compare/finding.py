"""Finding of a comparison in one sentence, which claims no more than the intervals allow."""

from collections.abc import Sequence
from dataclasses import dataclass

from agents.compare.format import estimate_text, number_text
from agents.compare.result import Group
from agents.compare.statistics import MIN_SEEDS, Estimate

MOST_NAMED = 4
"""Maximum number of groups whose means a finding names."""


@dataclass(frozen=True)
class Rival:
    """Group that the best one is compared with."""

    label: str
    difference: Estimate | None
    """Paired difference of the best group from it; None without common seeds."""


def finding_of(groups: Sequence[Group], rivals: Sequence[Rival], digits: int) -> str:
    """Return the finding: of several groups, the best mean and its differences from its rivals; else the gain.

    Below MIN_SEEDS seeds, it only lists the means: nothing is known there about other seeds.

    Args:
        groups: the groups.
        rivals: the next best group, and the reference if that is another one; none for a single group.
        digits: number of decimals of returns.
    """
    if len(groups) == 1:
        return _single(groups[0], digits)
    best = max(groups, key=lambda group: group.at.mean.value)
    seeds = {group.label: group.n_seeds for group in groups}
    if any(_too_few(rival, min(best.n_seeds, seeds[rival.label])) for rival in rivals):
        return _means(groups, digits)
    mean = f"{best.label} has the highest mean return {_after(best)}, {estimate_text(best.at.mean, digits)}"
    return "; ".join([mean, *(_versus(rival, digits) for rival in rivals)])


def _single(group: Group, digits: int) -> str:
    first, last, gain = group.first, group.at, group.gain
    size = f"{group.n_seeds} seed{'s' * (group.n_seeds != 1)}, {group.n_tasks} tasks"
    if gain is None:
        return f"{group.label}: mean return {estimate_text(last.mean, digits)}; {size}"
    start, end = (number_text(score.mean.value, digits) for score in (first, last))
    if gain.low is None or gain.high is None:
        return f"{group.label}: mean return {start} {_place(group, first.x)} and {end} {_after(group)}; {size}"
    change = estimate_text(gain, digits, sign=True)
    ends = f"from {start} to {end} {_after(group)}"
    if gain.low <= 0 <= gain.high:
        return f"{group.label}: the change of the mean return, {change}, {ends}, is {_UNCLEAR}; {size}"
    return f"{group.label}: the mean return {'rises' if gain.low > 0 else 'falls'}, {change}, {ends}; {size}"


_UNCLEAR = "not distinguishable from zero"


def _means(groups: Sequence[Group], digits: int) -> str:
    named = sorted(groups, key=lambda group: -group.at.mean.value)
    means = [f"{group.label} {number_text(group.at.mean.value, digits)}" for group in named[:MOST_NAMED]]
    more = [f"{len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
    places = {_after(group) for group in groups}
    where = f" {places.pop()}" if len(places) == 1 else ""
    return f"mean returns{where}: {', '.join([*means, *more])}; a difference needs {MIN_SEEDS} common seeds"


def _too_few(rival: Rival, n_seeds: int) -> bool:
    difference = rival.difference
    return n_seeds < MIN_SEEDS if difference is None else difference.low is None


def _versus(rival: Rival, digits: int) -> str:
    difference = rival.difference
    if difference is None or difference.low is None:
        return f"no common seed tells whether it differs from {rival.label}"
    shown = estimate_text(difference, digits, sign=True)
    if difference.low > 0:
        return f"{shown} higher than {rival.label}"
    return f"its difference from {rival.label}, {shown}, is {_UNCLEAR}"


def _after(group: Group) -> str:
    return _place(group, group.at.x)


def _place(group: Group, x: int) -> str:
    if group.axis == "gradient_steps":
        return f"after {x} gradient step{'s' * (x != 1)}" if x else "before"
    return f"in episode {x} of a trial" if group.axis == "episodes" else f"after {x} evaluation{'s' * (x != 1)}"
