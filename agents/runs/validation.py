"""Scores of a run on validation tasks: the best iteration, and early stopping.

Everything follows from the rows of `validation.jsonl`, so a resumed run decides as an uninterrupted one.
"""

from collections.abc import Mapping

from agents.runs.metrics import Metrics
from qrl.common.errors import UsageError

Scores = Mapping[int, float]
"""Score of each validation by its iteration, in order."""


def scores(validation: Metrics) -> dict[int, float]:
    """Return the scores of all rows.

    Raises:
        UsageError: a row is damaged, out of order, or has no score.
    """
    found = {}
    for row in validation.rows():
        score = row.get("score")
        if not isinstance(score, float | int) or isinstance(score, bool):
            raise UsageError(f"{validation.path}: the row of iteration {row['iteration']} has no score")
        found[row["iteration"]] = float(score)
    return found


def best_iteration(scores: Scores, until: int | None = None) -> int | None:
    """Return the first iteration with the largest score, also of those until an iteration; None without scores."""
    known = [iteration for iteration in scores if until is None or iteration <= until]
    return max(known, key=lambda iteration: scores[iteration]) if known else None


def is_due(scores: Scores, iteration: int, *, every: int, last: int) -> bool:
    """Return whether a validation is due after an iteration: at each interval and at the last one, each once.

    Args:
        scores: scores so far.
        iteration: number of completed iterations.
        every: interval of validations [meta-iterations]; 0: none.
        last: length of training [meta-iterations].
    """
    if not every or not iteration or iteration in scores:
        return False
    return iteration % every == 0 or iteration == last


def has_stopped(scores: Scores, patience: int) -> bool:
    """Return whether the last `patience` validations are no improvement; never for a patience of 0."""
    best = best_iteration(scores)
    return best is not None and 0 < patience <= sum(iteration > best for iteration in scores)
