"""End of training: at the last iteration, or at a validation that exhausts the patience.

Each function takes the spec of a run as a JSON object, with or without changes that a resume is to make.
"""

from collections.abc import Mapping

from agents.runs.metrics import Metrics
from agents.runs.validation import Scores, has_stopped, is_due, scores
from qrl.common.errors import UsageError


def ended_early(spec: Mapping[str, object], validation: Metrics, iteration: int) -> bool:
    """Return whether training ends after this iteration because the patience is exhausted.

    Damaged rows of validations exhaust no patience: the resume drops them.
    """
    found = _scores(validation, iteration)
    return found is not None and has_stopped(found, _count(spec, "patience"))


def is_over(spec: Mapping[str, object], validation: Metrics, iteration: int) -> bool:
    """Return whether training ends after this iteration: a resume would not train."""
    last = _count(spec, "iterations")
    return 0 < last <= iteration or ended_early(spec, validation, iteration)


def is_complete(spec: Mapping[str, object], validation: Metrics, iteration: int) -> bool:
    """Return whether training is over, and no validation is due either."""
    found = _scores(validation, iteration)
    if found is None or not is_over(spec, validation, iteration):
        return False
    return not is_due(found, iteration, every=_count(spec, "validate_every"), last=_count(spec, "iterations"))


def _scores(validation: Metrics, iteration: int) -> Scores | None:
    """Return the scores until an iteration; None if a row is damaged."""
    try:
        return {each: score for each, score in scores(validation).items() if each <= iteration}
    except UsageError:
        return None


def _count(spec: Mapping[str, object], name: str) -> int:
    """Return a number of the spec; 0 for one that is missing, such as in a run of an earlier version, or invalid."""
    value = spec.get(name)
    return value if isinstance(value, int) else 0
