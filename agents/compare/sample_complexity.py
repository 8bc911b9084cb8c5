"""Sample complexity of a training algorithm over several seeds."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from agents.compare.scores import MIN_SEEDS, Estimate, check_table
from qrl.common.checks import finite_number
from qrl.common.errors import UsageError

SAMPLE_COMPLEXITY_CONFIDENCE = 0.90
"""Confidence of the interval of the sample complexity: from the 5th to the 95th percentile, as published."""
RESAMPLES = 10_000
"""Bootstrap resamples of the seeds."""


def sample_complexity(
    env_steps: Float[np.ndarray, " point"] | Sequence[float | int],
    performance: Float[np.ndarray, "seed point"],
    threshold: float,
    delta: float,
) -> Estimate:
    """Return the number of environment steps spent before a seed's performance exceeds a threshold with probability δ.

    Estimator Ŝ(ε, δ) of Meyer et al. 2025, "Benchmarking quantum reinforcement learning" (arXiv 2501.15893), as in the
    authors' program (github.com/nicomeyer96/qrl-benchmark, plot/sampling_complexity.py). Points are evaluations during
    training; the threshold is their 1 - ε, in units of the performance. A point succeeds if the share of seeds above
    the threshold is at least δ. Ŝ is the sum of the environment steps up to each point, from the point before it, over
    all points that do not succeed; steps in which performance is lost again count too. An evaluation before training
    does not count.

    Where no point succeeds, Ŝ is not known to be finite: the value is `math.inf`, "not reached". The authors report
    their budget there. An end of the interval is infinite if that holds for more than 5 % of the resamples.

    The interval is the authors' (plot/cluster_bootstrapping.py): 5th to 95th percentile of Ŝ over resamples of whole
    seeds, extended to the value. It is a percentile bootstrap, whose coverage varies: 79 to 96 % at five seeds, 88 to
    95 % at ten (`benchmarks.coverage`). It is None below MIN_SEEDS seeds.

    Args:
        env_steps: environment steps of one seed's training up to each point [steps].
        performance: performance of each seed at each point, for example its mean return on validation tasks.
        threshold: performance that must be exceeded.
        delta: required probability δ in (0, 1].

    Raises:
        UsageError: a value is not finite, steps do not increase from 0 or more, there is no point after the start, the
            numbers of points differ, there is no seed, or δ is out of range.
    """
    table = check_table("performance", performance, "seed", "point")
    spent = _steps(env_steps, table)
    threshold, delta = finite_number("threshold", threshold), finite_number("delta", delta)
    if not 0 < delta <= 1:
        raise UsageError(f"delta: expected a probability in (0, 1], not {delta}")
    success = (table > threshold)[:, spent > 0]
    spent = spent[spent > 0]
    n_seeds = len(success)
    value = float(complexities(spent, success, np.ones((1, n_seeds)), delta)[0])
    if n_seeds < MIN_SEEDS:
        return Estimate(value, None, None)
    draws = np.random.default_rng(0).multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=RESAMPLES)
    resampled = complexities(spent, success, draws.astype(float), delta)
    tail = (1 - SAMPLE_COMPLEXITY_CONFIDENCE) / 2
    # Order statistics: interpolation between a finite and an infinite one is not defined.
    low = np.quantile(resampled, tail, method="inverted_cdf")
    high = np.quantile(resampled, 1 - tail, method="inverted_cdf")
    return Estimate(value, min(float(low), value), max(float(high), value))


def complexities(
    spent: Float[np.ndarray, " point"],
    success: Bool[np.ndarray, "seed point"],
    counts: Float[np.ndarray, "resample seed"],
    delta: float,
) -> Float[np.ndarray, " resample"]:
    """Return Ŝ of resamples that contain each seed this many times, from the steps spent up to each point."""
    # A quotient of whole numbers is the float nearest to it, and so equals a δ such as 0.7 where it should.
    succeeds = counts @ success / len(success) >= delta
    return np.where(succeeds.any(1), (~succeeds) @ spent, math.inf)


def _steps(env_steps: Float[np.ndarray, " point"] | Sequence[float | int], table: np.ndarray) -> np.ndarray:
    """Return the steps spent between points [point]. Raises UsageError as `sample_complexity`."""
    steps = np.asarray(env_steps, dtype=float)
    if steps.ndim != 1 or not np.isfinite(steps).all():
        raise UsageError("env_steps: expected a list of finite numbers")
    if table.shape[1] != len(steps):
        raise UsageError(f"performance: expected a value for each of {len(steps)} points, found {table.shape[1]}")
    spent = np.diff(steps, prepend=0.0)
    if not len(steps) or steps[0] < 0 or (spent[1:] <= 0).any() or steps[-1] <= 0:
        raise UsageError(f"env_steps: expected increasing numbers from 0 on, found {steps.tolist()}")
    if not len(table):
        raise UsageError("performance: expected at least one seed")
    return spent
