"""Confidence intervals over seeds and over tasks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from agents.experiment.evaluation import bootstrap_interval


def t_interval(numbers: list[float]) -> dict[str, Any]:
    """Mean and 95 % t-interval; no interval for a single number or equal numbers (random actions)."""
    mean = float(np.mean(numbers))
    if len(set(numbers)) < 2:
        return {"mean": mean, "low": None, "high": None}
    half = float(stats.sem(numbers) * stats.t.ppf(0.975, len(numbers) - 1))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def interval(value: dict[str, Any], digits: int = 1) -> str:
    """Format a mean and the half-width of its interval."""
    mean = f"{value['mean']:.{digits}f}"
    return mean if value["low"] is None else f"{mean} ± {(value['high'] - value['low']) / 2:.{digits}f}"


def bootstrapped(values: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Mean over the rows of an array [row, x] at each x, with its 95 % bootstrap interval."""
    ends = zip(values.mean(0).tolist(), *bootstrap_interval(values), strict=True)
    return [{"mean": mean, "low": low, "high": high} for mean, low, high in ends]


def median_of(rows: list[dict[str, Any]], key: str) -> float:
    """Median of a key over seeds."""
    return float(np.median([row[key] for row in rows]))


def over_seeds(rows: list[dict[str, Any]], key: str = "mean") -> list[dict[str, Any]]:
    """Mean over seeds after each number of updates, with its 95 % t-interval."""
    return [t_interval([row["evaluation"][key][i] for row in rows]) for i in range(len(rows[0]["evaluation"]["x"]))]


def differences(rows: list[dict[str, Any]], reference: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean over seeds, with t-interval, of the paired difference from the reference: same seed, same tasks."""
    pairs = list(zip(rows, reference, strict=True))
    steps = range(len(rows[0]["evaluation"]["x"]))
    return [t_interval([a["evaluation"]["mean"][i] - b["evaluation"]["mean"][i] for a, b in pairs]) for i in steps]
