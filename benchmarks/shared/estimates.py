"""Means and differences with their 95 % intervals, as they stand in results and in tables.

Intervals cover seeds and tasks (`agents.compare.statistics`), and are left out below five seeds.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from agents.compare.format import estimate_text
from agents.compare.statistics import Estimate, difference, mean
from agents.experiment.evaluation import bootstrap_interval


def means(values: Float[np.ndarray, "seed task x"]) -> list[dict[str, Any]]:
    """Return the mean over seeds and tasks at each x, with its interval."""
    return [plain(mean(each)) for each in np.moveaxis(values, -1, 0)]


def differences(
    values: Float[np.ndarray, "seed task x"], reference: Float[np.ndarray, "seed task x"]
) -> list[dict[str, Any]]:
    """Return the mean paired difference at each x, with its interval: the same seeds, the same tasks."""
    pairs = zip(np.moveaxis(values, -1, 0), np.moveaxis(reference, -1, 0), strict=True)
    return [plain(difference(ours, theirs)) for ours, theirs in pairs]


def single(numbers: Sequence[float]) -> dict[str, Any]:
    """Return the mean of one number for each seed, or for each independent unit, with Student's t interval."""
    return plain(mean(np.array(numbers, dtype=float)[:, None]))


def bootstrapped(values: Float[np.ndarray, "row x"]) -> list[dict[str, Any]]:
    """Return the mean over rows at each x, with its bootstrap interval: rows are the independent units."""
    ends = zip(values.mean(0).tolist(), *bootstrap_interval(values), strict=True)
    return [plain(Estimate(*each)) for each in ends]


def plain(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as it stands in results."""
    return {"mean": estimate.value, "low": estimate.low, "high": estimate.high}


def text(value: dict[str, Any], digits: int = 1) -> str:
    """Format a mean and its interval, such as "1.50 [1.20, 1.80]"."""
    return estimate_text(Estimate(value["mean"], value["low"], value["high"]), digits)
