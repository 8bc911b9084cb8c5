"""Finding of a comparison in one sentence, which claims no more than the intervals allow."""

from collections.abc import Sequence

from agents.compare.format import estimate_text, number_text
from agents.compare.result import Group, Score
from agents.compare.statistics import Estimate


def finding_of(groups: Sequence[Group], reference: str, digits: int) -> str:
    """Return the finding: of several groups, the best mean and its difference from the reference; else the gain."""
    if len(groups) == 1:
        return _single(groups[0], digits)
    best = max(groups, key=lambda group: group.at.mean.value)
    after = _after(best)
    mean = f"{best.label} has the highest mean return {after}, {estimate_text(best.at.mean, digits)}"
    if best.label != reference:
        return f"{mean}{_versus(best.difference, f'than {reference}', digits)}"
    others = [group for group in groups if group.label != reference]
    second = max(others, key=lambda group: group.at.mean.value)
    return f"{mean}{_versus(_negated(second.difference), f'than {second.label}', digits)}"


def _single(group: Group, digits: int) -> str:
    first, last = group.first, group.at
    if first.x == last.x:
        return f"{group.label}: mean return {estimate_text(last.mean, digits)}"
    gained = last.mean.value - first.mean.value
    change = f"rises by {gained:.{digits}f}" if gained >= 0 else f"falls by {-gained:.{digits}f}"
    seeds = f"{group.n_seeds} seed{'s' * (group.n_seeds != 1)}"
    return (
        f"{group.label}: the mean return {change}, from {_at(first, digits)} to {_at(last, digits)} "
        f"{_after(group)} ({seeds}, {group.n_tasks} tasks)"
    )


def _versus(difference: Estimate | None, than: str, digits: int) -> str:
    if difference is None:
        return "; it was not evaluated on the tasks and seeds of the reference"
    shown = estimate_text(difference, digits, sign=True)
    if difference.low is None or difference.high is None:
        return f", {shown} {_more(difference)} {than}; the seeds are too few for a claim"
    if difference.low > 0:
        return f", {shown} higher {than}"
    return f"; its difference {_from(than)}, {shown}, cannot be told from zero"


def _more(difference: Estimate) -> str:
    return "higher" if difference.value >= 0 else "lower"


def _from(than: str) -> str:
    return f"from {than.removeprefix('than ')}"


def _negated(estimate: Estimate | None) -> Estimate | None:
    if estimate is None:
        return None
    low = None if estimate.high is None else -estimate.high
    return Estimate(-estimate.value, low, None if estimate.low is None else -estimate.low)


def _at(score: Score, digits: int) -> str:
    return number_text(score.mean.value, digits)


def _after(group: Group) -> str:
    x = group.at.x
    if group.axis == "gradient_steps":
        return f"after {x} gradient step{'s' * (x != 1)}" if x else "before adaptation"
    return f"in episode {x} of a trial" if group.axis == "episodes" else f"after {x} evaluations"
