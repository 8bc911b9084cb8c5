"""Scores of several seeds on the same tasks: the table, its checks, and an estimate with its interval."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from qrl.common.errors import UsageError

Scores = Float[np.ndarray, "seed task"]
"""Return of each seed on each task; the tasks are the same for every seed."""

MIN_SEEDS = 5
"""Smallest number of seeds for which an interval is given."""
LARGEST_SCORE = 1e100
"""Upper bound of magnitudes; squares of much larger numbers exceed the range of floats."""


@dataclass(frozen=True)
class Estimate:
    """Estimate with its confidence interval; `low` and `high` are None where too few seeds give no interval."""

    value: float
    low: float | None
    high: float | None


def estimate(value: float, low: float, high: float, n_seeds: int) -> Estimate:
    """Return the estimate, without its interval below MIN_SEEDS seeds."""
    if n_seeds < MIN_SEEDS:
        return Estimate(float(value), None, None)
    return Estimate(float(value), float(low), float(high))


def check_scores(name: str, scores: Scores) -> Scores:
    """Return the scores as an array of floats.

    Raises:
        UsageError: there is no seed or no task, or a score is not a finite number; the message calls them `name`.
    """
    values = check_table(name, scores, "seed", "task")
    if not values.size:
        raise UsageError(f"{name}: expected at least one seed and one task, found {_size(values.shape)}")
    return values


def check_table(name: str, table: Float[np.ndarray, "row column"], row: str, column: str) -> np.ndarray:
    """Return a table as an array of floats.

    Raises:
        UsageError: the table does not have two axes, named `row` and `column`, or a value is not a finite number, or
            its magnitude exceeds LARGEST_SCORE.
    """
    try:
        values = np.asarray(table, dtype=float)
    except (TypeError, ValueError):
        raise UsageError(f"{name}: expected a table of numbers [{row}, {column}]") from None
    if values.ndim != 2:
        raise UsageError(f"{name}: expected a table [{row}, {column}], found {values.ndim} axes")
    if not (finite := np.isfinite(values)).all():
        i, j = np.argwhere(~finite)[0]
        raise UsageError(f"{name}: expected finite numbers, found {values[i, j]} at {row} {i}, {column} {j}")
    if values.size and (largest := abs(values).max()) > LARGEST_SCORE:
        raise UsageError(f"{name}: expected numbers of magnitude {LARGEST_SCORE:g} at most, found {largest:g}")
    return values


def check_pair(
    scores: Scores, reference: Float[np.ndarray, "other other_task"], *, same_seeds: bool
) -> tuple[Scores, Float[np.ndarray, "other other_task"]]:
    """Return two tables of scores on the same tasks as arrays of floats.

    Raises:
        UsageError: `check_scores` refuses one of them, or the numbers of tasks differ, or, with `same_seeds`, those of
            seeds.
    """
    first, second = check_scores("scores", scores), check_scores("reference", reference)
    if first.shape[1] != second.shape[1] or (same_seeds and len(first) != len(second)):
        wanted = "seeds and tasks" if same_seeds else "tasks"
        raise UsageError(
            f"reference: expected the same {wanted} as the scores, {_size(first.shape)}; found {_size(second.shape)}"
        )
    return first, second


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} seeds × {shape[1]} tasks"
