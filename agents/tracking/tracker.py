"""Interface of experiment trackers, and the values that they receive."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from agents.core.spec import Spec
from agents.experiment.evaluation import Curve

PROJECT = "qrl-meta"
"""Name of the project, or experiment, in trackers that have some."""

MOST_POINTS = 20
"""Largest number of points of a curve that are tracked, evenly spaced."""


@dataclass(frozen=True)
class TrackedRun:
    """Run as a tracker sees it when it is opened."""

    path: Path
    """Run folder."""
    spec: Spec
    key: str
    """Digest that identifies the run, also after a resume."""
    iteration: int
    """Number of iterations that are completed: 0, unless the run is resumed."""

    @property
    def hyperparameters(self) -> dict[str, str | int | float | bool]:
        """Options of the spec by dotted name; lists as text, None as "None"."""
        return dict(_flat(self.spec.to_json()))


@runtime_checkable
class Tracker(Protocol):
    """Open tracker of one run."""

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Record values after an iteration."""

    def close(self, *, finished: bool) -> None:
        """End the recording; `finished` tells whether the run has come to its end."""


@runtime_checkable
class TrackerModule(Protocol):
    """Module of a tracker."""

    def start(self, run: TrackedRun) -> Tracker:
        """Open the tracker for a run, and record its hyperparameters."""


def row_values(row: Mapping[str, object]) -> dict[str, float]:
    """Return the numbers of a row of metrics by name, those of a list by its index: `train/return_by_step/0`."""
    return {f"train/{name}": value for name, value in _numbers(row) if name != "iteration"}


def curve_values(curve: Curve) -> dict[str, float]:
    """Return the score of a curve, and its mean and the mean of the worst decile at each x: `validation/mean/3`."""
    indices = np.unique(np.linspace(0, len(curve.x) - 1, MOST_POINTS).round().astype(int))
    values = {f"{curve.split}/score": curve.score}
    for name in ("mean", "worst_decile"):
        statistic = getattr(curve, name)
        values |= {f"{curve.split}/{name}/{curve.x[index]}": statistic[index] for index in indices.tolist()}
    return values


def _numbers(row: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        if isinstance(value, list | tuple):
            yield from _numbers({f"{name}/{index}": item for index, item in enumerate(value)})
        elif isinstance(value, Mapping):
            yield from _numbers({f"{name}/{key}": item for key, item in value.items()})
        elif isinstance(value, int | float):
            yield name, float(value)


def _flat(options: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str | int | float | bool]]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str | int | float | bool) else str(value)
