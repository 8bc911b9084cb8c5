"""Confidence intervals that cover seeds and tasks, for scores of a crossed two-way random-effects design.

All seeds are evaluated on the same tasks, so that a score is mu + a[seed] + b[task] + c[seed, task] with independent
effects. The mean of S × T scores has the variance (sigma_a² / S + sigma_b² / T + sigma_c² / (S T)), which the mean
squares of the two-way analysis of variance estimate without bias as (MS_seed + MS_task - MS_residual) / (S T). Degrees
of freedom are those of Satterthwaite (1946, "An approximate distribution of estimates of variance components",
Biometrics Bulletin 2). Nonlinear statistics are covered through the array of which they are the mean to first order:
winsorised scores, or indicators.

All functions take leading batch axes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from agents.core.confidence import CONFIDENCE

Numbers = Float[np.ndarray, "*batch"]
"""Numbers, each for one table of scores."""
Batch = Numbers | np.float64
"""The same; NumPy reduces a single table to a scalar."""
Tables = Float[np.ndarray, "*batch seed task"]
"""Tables of scores."""


@dataclass(frozen=True)
class Component:
    """Estimated variance that one source contributes to an estimate, with its degrees of freedom."""

    variance: Batch
    dof: int


@dataclass(frozen=True)
class Spread:
    """Estimated variance of an estimate, with its degrees of freedom."""

    variance: Batch
    dof: Batch


@dataclass(frozen=True)
class Interval:
    """Value of a statistic, and the ends of its confidence interval."""

    value: Numbers
    low: Numbers
    high: Numbers


@dataclass(frozen=True)
class Crossed:
    """Analysis of variance of tables: mean squares over S × T, each an estimated variance of the grand mean."""

    seed: Component
    task: Component
    residual: Component


def analyse(values: Tables) -> Crossed:
    """Return the two-way analysis of variance without replication.

    A single seed or task contributes no variance: an interval is then over the other factor only.
    """
    n_seeds, n_tasks = values.shape[-2:]
    by_seed, by_task = values.mean(-1, keepdims=True), values.mean(-2, keepdims=True)
    grand = by_seed.mean(-2, keepdims=True)
    residual = values - by_seed - by_task + grand
    dofs = (n_seeds - 1, n_tasks - 1, (n_seeds - 1) * (n_tasks - 1))
    sums = ((by_seed - grand) ** 2).sum((-1, -2)), ((by_task - grand) ** 2).sum((-1, -2)), (residual**2).sum((-1, -2))
    sizes = (n_seeds, n_tasks, n_seeds * n_tasks)
    parts = (Component(total / (max(dof, 1) * size), dof) for total, dof, size in zip(sums, dofs, sizes, strict=True))
    return Crossed(*parts)


def combine(seeds: tuple[Component, ...], task: Component, residuals: tuple[Component, ...]) -> Spread:
    """Return the variance of an estimate, and Satterthwaite's degrees of freedom.

    The variance is the sum over seeds, of one group or of two, plus that over tasks minus the residuals, which both
    contain. It is never less than that of the seeds or that of the tasks alone: where the residuals exceed one of the
    two, the other is returned.
    """
    of_seeds = np.asarray(sum(part.variance for part in seeds))
    of_residuals = np.asarray(sum(part.variance for part in residuals))
    both = of_seeds + task.variance - of_residuals
    only_seeds = (task.variance <= of_residuals) & (of_seeds >= task.variance)
    only_tasks = (of_seeds <= of_residuals) & ~only_seeds
    variance = np.where(only_seeds, of_seeds, np.where(only_tasks, task.variance, both))
    dof_of_both = _satterthwaite(both, (*seeds, task, *residuals))
    dof_of_one = np.where(only_seeds, _satterthwaite(of_seeds, seeds), max(task.dof, 1))
    return Spread(variance, np.where(only_seeds | only_tasks, dof_of_one, dof_of_both))


def _satterthwaite(variance: Batch, parts: tuple[Component, ...]) -> Batch:
    """Return the degrees of freedom of a linear combination of mean squares, at least 1.

    They are those of the first part if all mean squares are zero.
    """
    uncertainty = np.asarray(sum(part.variance**2 / max(part.dof, 1) for part in parts))
    positive = uncertainty > 0
    dof = np.where(positive, variance**2 / np.where(positive, uncertainty, 1.0), parts[0].dof)
    return np.maximum(dof, 1.0)


def mean_spread(values: Tables) -> Spread:
    """Return the variance of the mean over seeds and tasks."""
    crossed = analyse(values)
    return combine((crossed.seed,), crossed.task, (crossed.residual,))


def trimmed_spread(values: Tables, kept: Float[np.ndarray, "*batch score"]) -> Spread:
    """Return the variance of the trimmed mean over seeds and tasks.

    To first order the trimmed mean is the mean of the scores winsorised at the lowest and highest of those that it
    keeps, over the share of `kept`, which are in order (Tukey and McLaughlin 1963; Yuen 1974, Biometrika 61).
    Components of a factor with n levels have Yuen's small-sample correction for half of them, (n - 1) / (n - 2).
    """
    share = kept.shape[-1] / (values.shape[-1] * values.shape[-2])
    winsorised = np.clip(values, kept[..., :1, None], kept[..., -1:, None]) / share
    crossed, (n_seeds, n_tasks) = analyse(winsorised), values.shape[-2:]
    by_seed, by_task = ((n - 1) / (n - 2) if n > 2 else 1.0 for n in (n_seeds, n_tasks))
    return combine(
        (_scaled(crossed.seed, by_seed),),
        _scaled(crossed.task, by_task),
        (_scaled(crossed.residual, by_seed * by_task),),
    )


def _scaled(part: Component, factor: float) -> Component:
    return Component(part.variance * factor, part.dof)


def student(dof: Batch) -> Numbers:
    """Return the quantile of Student's t distribution for two-sided intervals."""
    return np.asarray(stats.t.ppf((1 + CONFIDENCE) / 2, dof))


def t_interval(value: Batch, spread: Spread) -> Interval:
    """Return Student's t interval."""
    half = student(spread.dof) * np.sqrt(spread.variance)
    return Interval(np.asarray(value), np.asarray(value - half), np.asarray(value + half))


@dataclass(frozen=True)
class Share:
    """Share of seeds × tasks, or of pairs of seeds, with its variance."""

    value: Batch
    spread: Spread

    @property
    def size(self) -> Batch:
        """Number of independent observations whose share would have this variance; infinite for variance 0."""
        variance = self.spread.variance
        positive = variance > 0
        return np.where(positive, self.value * (1 - self.value) / np.where(positive, variance, 1.0), np.inf)


def share_interval(share: Share, central: Share, size_without_variance: float) -> Interval:
    """Return the score interval of a share of dependent observations.

    Wilson (1927, JASA 22), with the effective sample size and Student's quantile of surveys in clusters (Dean and
    Pagano 2015, Journal of Survey Statistics and Methodology 3). The effective size is the smaller of two: that of the
    share, and that of a share near one half of the same scores, `central`. For shares near 0 or 1 all scores of a few
    seeds are on the same side, and the variance between seeds cannot be seen. If neither has a variance, the effective
    size is `size_without_variance`.
    """
    smaller = central.size < share.size
    size = np.where(smaller, central.size, share.size)
    dof = np.where(smaller, central.spread.dof, share.spread.dof)
    weight = student(dof) ** 2 / np.where(np.isinf(size), size_without_variance, size)
    centre = (share.value + weight / 2) / (1 + weight)
    half = np.sqrt(share.value * (1 - share.value) * weight + weight**2 / 4) / (1 + weight)
    low, high = np.clip(centre - half, 0, share.value), np.clip(centre + half, share.value, 1)
    return Interval(np.asarray(share.value), np.asarray(low), np.asarray(high))
