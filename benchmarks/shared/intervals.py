"""Interval methods with which `benchmarks.coverage` compares those of the library.

Tables are [repetition, seed, task]; all methods return the value and the ends of a 95 % interval [repetition].
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from agents.compare.intervals import Interval
from agents.core.confidence import CONFIDENCE

Array = NDArray[np.float64]
TAIL = (1 - CONFIDENCE) / 2
RESAMPLES = 400


def over_seeds(by_seed: Array) -> Interval:
    """Return Student's t interval of the mean over seeds [repetition, seed]; tasks are taken for fixed."""
    n_seeds = by_seed.shape[-1]
    value = by_seed.mean(-1)
    half = stats.t.ppf(1 - TAIL, n_seeds - 1) * by_seed.std(-1, ddof=1) / n_seeds**0.5
    return Interval(value, value - half, value + half)


def bootstrap_mean(tables: Array, rng: np.random.Generator) -> Interval:
    """Return the percentile two-level bootstrap interval of the mean: seeds and tasks are resampled."""
    n_seeds, n_tasks = tables.shape[1:]
    seeds, tasks = resample_weights(len(tables), n_seeds, rng), resample_weights(len(tables), n_tasks, rng)
    return percentiles(tables.mean((1, 2)), (seeds @ tables * tasks).sum(-1))


def bootstrap_placements(pairs: Array, rng: np.random.Generator) -> Interval:
    """Return the same interval of the mean of pairs [repetition, seed, other seed, task]; all three are resampled."""
    count, n_seeds, n_others, n_tasks = pairs.shape
    found = np.empty((count, RESAMPLES))
    for i, pair in enumerate(pairs):
        seeds, others, tasks = (resample_weights(1, n, rng)[0] for n in (n_seeds, n_others, n_tasks))
        by_other = (seeds @ pair.reshape(n_seeds, -1)).reshape(-1, n_others, n_tasks)
        found[i] = (by_other * others[..., None] * tasks[:, None]).sum((1, 2))
    return percentiles(pairs.mean((1, 2, 3)), found)


def bootstrap(tables: Array, statistic: Callable[[Array], Array], rng: np.random.Generator) -> Interval:
    """Return the same interval of any statistic of tables."""
    n_seeds, n_tasks = tables.shape[1:]
    found = np.empty((len(tables), RESAMPLES))
    for i, table in enumerate(tables):
        seeds, tasks = (
            rng.integers(n_seeds, size=(RESAMPLES, n_seeds)),
            rng.integers(n_tasks, size=(RESAMPLES, n_tasks)),
        )
        found[i] = statistic(table[seeds[:, :, None], tasks[:, None, :]])
    return percentiles(statistic(tables), found)


def jackknife(tables: Array, statistic: Callable[[Array], Array]) -> Interval:
    """Return the t interval of the two-way delete-one jackknife.

    Its variance is that of leaving out seeds plus that of leaving out tasks, with Satterthwaite's degrees of freedom.
    """
    parts = []
    for axis in (1, 2):
        n = tables.shape[axis]
        without = np.stack([statistic(np.delete(tables, i, axis)) for i in range(n)], axis=-1)
        parts.append(((n - 1) * without.var(-1), n - 1))
    variance = sum(part for part, _ in parts)
    dof = variance**2 / np.maximum(sum(part**2 / n for part, n in parts), np.finfo(float).tiny)
    value, half = statistic(tables), stats.t.ppf(1 - TAIL, np.maximum(dof, 1)) * np.sqrt(variance)
    return Interval(value, value - half, value + half)


def resample_weights(count: int, n: int, rng: np.random.Generator) -> Array:
    """Return the weights of n elements in resamples of them [count, resample, n]; they sum to 1."""
    return rng.multinomial(n, np.full(n, 1 / n), size=(count, RESAMPLES)) / n


def percentiles(value: Array, resampled: Array) -> Interval:
    """Return the percentile interval of resampled values [repetition, resample]."""
    low, high = np.quantile(resampled, [TAIL, 1 - TAIL], axis=-1)
    return Interval(value, low, high)
