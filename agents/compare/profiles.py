"""Performance profile: the share of seeds × tasks above each threshold, with a pointwise interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from agents.compare.intervals import (
    Interval,
    Spread,
    Tables,
    effective_size,
    mean_spread,
    student,
    wilson_interval,
)
from agents.compare.scores import MIN_SEEDS, Scores, check_scores
from qrl.common.errors import UsageError

Thresholds = Float[np.ndarray, " threshold"]


@dataclass(frozen=True)
class Profile:
    """Share of seeds × tasks above each threshold, with a pointwise 95 % interval; None below MIN_SEEDS seeds."""

    thresholds: Thresholds
    values: Thresholds
    low: Thresholds | None
    high: Thresholds | None


def performance_profile(scores: Scores, thresholds: Thresholds | Sequence[float]) -> Profile:
    """Return the share of seeds × tasks whose score is greater than each threshold.

    The score distribution of Agarwal et al. 2021, section 4.2. Intervals are for each threshold on its own, not for the
    whole profile at once.

    Raises:
        UsageError: as `check_scores`, or a threshold is not a finite number.
    """
    scores = check_scores("scores", scores)
    at = np.asarray(thresholds, dtype=float)
    if at.ndim != 1 or not np.isfinite(at).all():
        raise UsageError("thresholds: expected a list of finite numbers")
    found = profile_interval(scores, at)
    if len(scores) < MIN_SEEDS:
        return Profile(at, found.value, None, None)
    return Profile(at, found.value, found.low, found.high)


def profile_interval(tables: Tables, thresholds: Float[np.ndarray, " threshold"]) -> Interval:
    """Return the profile of each table [*batch, threshold], with its interval.

    The effective sample size is the smaller of two: the one at the threshold, and the one at the median score. Near the
    ends of the profile all scores of a few seeds are on the same side, and the variance between seeds cannot be seen.
    """
    above = (tables[..., None, :, :] > thresholds[:, None, None]).astype(float)
    share, here = above.mean((-1, -2)), mean_spread(above)
    size, quantile = effective_size(share, here), student(here)
    half, middle = _median_split(tables)
    median_size, median_quantile = effective_size(half, middle)[..., None], student(middle)[..., None]
    # Without any variance at the median either, seeds are the only independent observations to count.
    median_size = np.where(np.isinf(median_size), tables.shape[-2], median_size)
    smaller = median_size < size
    return wilson_interval(share, np.where(smaller, median_size, size), np.where(smaller, median_quantile, quantile))


def _median_split(tables: Tables) -> tuple[Float[np.ndarray, "*batch"], Spread]:
    """Return the share nearest to one half that a threshold leaves above it, and the variance of that share."""
    flat = np.sort(tables.reshape(*tables.shape[:-2], -1), axis=-1)
    median = flat[..., (flat.shape[-1] - 1) // 2, None, None]
    above, from_it_on = (tables > median).astype(float), (tables >= median).astype(float)
    further = abs(above.mean((-1, -2)) - 0.5) > abs(from_it_on.mean((-1, -2)) - 0.5)
    nearest = np.where(further[..., None, None], from_it_on, above)
    return nearest.mean((-1, -2)), mean_spread(nearest)
