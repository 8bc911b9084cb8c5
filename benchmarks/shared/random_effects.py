"""Distributions of scores of crossed random effects, a[seed] + b[task] + c[seed, task], and their true values."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DOMINATED = {"seeds": (1.0, 0.2, 0.2), "tasks": (0.2, 1.0, 0.2), "neither": (1.0, 1.0, 1.0)}
"""Standard deviations of seeds, tasks and residuals."""
EFFECTS = ("normal", "log-normal", "failing seeds", "Student t3")
SHIFT = 1.0
"""Improvement over the reference, in standard deviations of a score."""
SHARES = (0.5, 0.9)
"""True shares above the thresholds of the profile."""


@dataclass(frozen=True)
class Case:
    """Distribution of the scores, and the numbers of seeds and tasks."""

    effects: str
    dominated_by: str
    seeds: int
    tasks: int

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Return tables of scores [count, seed, task]."""
        return _scores(self, ((count, self.seeds, 1), (count, 1, self.tasks), (count, self.seeds, self.tasks)), rng)


@dataclass(frozen=True)
class Truth:
    """True values of a distribution of scores; the mean is 0."""

    deviation: float
    iqm: float
    improvement: float
    thresholds: Array


def standardised(effects: str, size: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw effects of mean 0 and variance 1."""
    match effects:
        case "log-normal":
            return (rng.lognormal(size=size) - np.e**0.5) / ((np.e - 1) * np.e) ** 0.5
        case "failing":  # 15 % of the seeds are 8 standard deviations of the others below them
            fails = rng.random(size) < 0.15
            return (rng.normal(size=size) - 8 * fails + 8 * 0.15) / (1 + 64 * 0.15 * 0.85) ** 0.5
        case "Student t3":
            return rng.standard_t(3, size=size) / 3**0.5
    return rng.normal(size=size)


def _scores(case: Case, sizes: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> Array:
    names = ("failing", "normal", "normal") if case.effects == "failing seeds" else (case.effects,) * 3
    parts = zip(DOMINATED[case.dominated_by], names, sizes, strict=True)
    seed, task, residual = (deviation * standardised(name, size, rng) for deviation, name, size in parts)
    return seed + task + residual


def population(case: Case, draws: int) -> Truth:
    """Return the true values, from independent draws of single scores."""
    rng = np.random.default_rng(0)
    scores, others = (_scores(case, ((draws,),) * 3, rng) for _ in range(2))
    deviation = float(np.linalg.norm(DOMINATED[case.dominated_by]))
    ordered = np.sort(scores)
    return Truth(
        deviation=deviation,
        iqm=float(ordered[draws // 4 : draws - draws // 4].mean()),
        improvement=float((scores + SHIFT * deviation > others).mean()),
        thresholds=np.quantile(ordered, [1 - share for share in SHARES]),
    )
