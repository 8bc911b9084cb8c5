"""Series: a line of a plot, from the curves of one configuration over seeds."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from agents.core.confidence import CONFIDENCE
from agents.experiment.evaluation import Curve
from qrl.common.errors import UsageError

Against = Literal["x", "episodes", "env_steps"]
"""Horizontal axis: the curves' own x, or the episodes or environment steps previously spent in the task."""


def t_interval(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean over seeds of values [seed, ...], and the ends of its 95 % interval by Student's t.

    The ends are NaN for a single seed, and where all seeds have the same value: the episodes were the same then, as
    those of random actions are, and not independent.
    """
    mean, n = values.mean(0), len(values)
    if n < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * values.std(0, ddof=1) / n**0.5
    half = np.where(np.ptp(values, axis=0) > 0, half, np.nan)
    return mean, mean - half, mean + half


@dataclass(frozen=True)
class Series:
    """One line of a plot: the curves of one configuration, one for each training seed.

    The line of several curves is their mean, with a 95 % t-interval over seeds; a single curve has its own interval,
    over tasks. Raises UsageError for curves that differ in more than their seeds can make them.
    """

    label: str
    curves: tuple[Curve, ...]

    def __post_init__(self) -> None:
        first = self.curves[0]
        for curve in self.curves:
            for name in ("axis", "x", "episodes"):
                mine, theirs = getattr(first, name), getattr(curve, name)
                if mine != theirs:
                    raise UsageError(
                        f"plot: the seeds of {self.label!r} differ in {name}, {mine} and {theirs}: evaluate them alike"
                    )

    @property
    def over_seeds(self) -> bool:
        """Whether the interval is over seeds, not over tasks."""
        return len(self.curves) > 1

    def where(self, against: Against) -> list[float]:
        """Return the horizontal positions; environment steps are means over seeds."""
        return self.mean_of([getattr(curve, against) for curve in self.curves])

    @property
    def band(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean, and the ends of its interval; NaN where there is none."""
        if self.over_seeds:
            return t_interval(np.array([curve.mean for curve in self.curves]))
        (curve,) = self.curves
        return np.array(curve.mean), np.array(curve.ci_low), np.array(curve.ci_high)

    @property
    def worst_decile(self) -> list[float]:
        """Mean of the worst tenth of tasks, averaged over seeds."""
        return self.mean_of([curve.worst_decile for curve in self.curves])

    @property
    def references(self) -> dict[str, list[float]]:
        """Mean returns of the references that every curve has, averaged over seeds."""
        names = [name for name in self.curves[0].references if all(name in curve.references for curve in self.curves)]
        return {name: self.mean_of([curve.references[name] for curve in self.curves]) for name in names}

    @property
    def exact(self) -> dict[str, list[float]]:
        """Exactly known mean returns of references."""
        return self.curves[0].exact

    def mean_of(self, values: Sequence[Sequence[float | int]]) -> list[float]:
        """Return the mean over curves; values that are all the same stay as they are, without rounding."""
        if all(each == values[0] for each in values):
            return list(map(float, values[0]))
        return np.mean(values, axis=0).tolist()


def as_series(curves: Curve | Sequence[Curve] | Mapping[str, Curve | Sequence[Curve]]) -> list[Series]:
    """Return the lines of curves.

    A sequence gives a line for each curve: a curve does not say from which options and which seed its agent was
    trained, so that curves are never merged by their labels. Lines with equal labels are numbered. A mapping gives a
    line for each label, over the curves that the caller declares to be seeds of one configuration.
    """
    if isinstance(curves, Mapping):
        return [
            Series(label, (given,) if isinstance(given, Curve) else tuple(given))
            for label, given in curves.items()
            if isinstance(given, Curve) or given
        ]
    chosen = [curves] if isinstance(curves, Curve) else list(curves)
    labels = distinct([curve.label for curve in chosen])
    return [Series(label, (curve,)) for label, curve in zip(labels, chosen, strict=True)]


def distinct(labels: Sequence[str]) -> list[str]:
    """Return the labels, those that occur several times with a number behind them.

    >>> distinct(["maml", "rl2", "maml"])
    ['maml (1)', 'rl2', 'maml (2)']
    """
    numbers = {label: itertools.count(1) for label in labels}
    return [f"{label} ({next(numbers[label])})" if labels.count(label) > 1 else label for label in labels]
