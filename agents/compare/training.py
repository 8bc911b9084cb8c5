"""Training of a run: its learning curve, and what training took."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.compare.runs import EvaluatedRun
from agents.core.plain import check_value
from agents.runs.metrics import Metrics
from qrl.common.errors import UsageError

VALIDATION = "validation.jsonl"
"""File with a row for each evaluation on validation tasks during training."""


@dataclass(frozen=True)
class LearningPoint:
    """Return during training: on validation tasks if the run has them, otherwise on the training tasks."""

    iteration: int
    env_steps: int
    """Environment steps since the start of training [steps]."""
    value: float
    """Return after the updates of an iteration; of a whole trial for an in-context agent."""


@dataclass(frozen=True)
class Training:
    """Learning curve and cost of one run."""

    points: tuple[LearningPoint, ...]
    """Empty for an agent that is not trained."""
    validated: bool
    """Whether the points are on validation tasks."""
    env_steps: int
    """Environment steps of the whole training [steps]."""
    seconds: float | None
    """Duration of training [s]; None if no checkpoint says it."""
    circuits: int | None
    """Circuits that a device would have run, each shot counted; None without circuits."""


def read_training(run: EvaluatedRun) -> Training:
    """Read the training of a run.

    Raises:
        UsageError: the metrics are damaged, or hold values of the wrong type.
    """
    metrics = run.folder.metrics
    rows = metrics.rows()
    validation = Metrics(run.path / VALIDATION)
    checked = validation.rows()
    state = run.folder.checkpoints.last_meta() or {}
    seconds, steps = state.get("seconds"), state.get("env_steps")
    if not isinstance(steps, int):
        steps = _number(int, rows[-1], "env_steps", metrics.path) if rows else 0
    counts = [_number(int, row, "circuits", metrics.path) for row in rows if "circuits" in row]
    return Training(
        _validation_points(checked, validation.path) if checked else _metrics_points(rows, metrics.path),
        bool(checked),
        steps,
        float(seconds) if isinstance(seconds, int | float) else None,
        sum(counts) if counts else None,
    )


def _metrics_points(rows: list[dict[str, Any]], path: Path) -> tuple[LearningPoint, ...]:
    points = []
    for row in (row for row in rows if "return_by_step" in row):
        check_value(list[float], row["return_by_step"], f"{path}: return_by_step")
        if not row["return_by_step"]:
            raise UsageError(f"{path}: return_by_step of iteration {row['iteration']} is empty")
        points.append(_point(row, float(row["return_by_step"][-1]), path))
    return tuple(points)


def _validation_points(rows: list[dict[str, Any]], path: Path) -> tuple[LearningPoint, ...]:
    return tuple(_point(row, float(_number(float, row, "mean", path)), path) for row in rows)


def _point(row: Mapping[str, Any], value: float, path: Path) -> LearningPoint:
    return LearningPoint(row["iteration"], _number(int, row, "env_steps", path), value)


def _number(kind: type, row: Mapping[str, Any], name: str, path: Path) -> Any:
    """Return a number of a row. Raises UsageError if it is missing or no number of this kind."""
    if name not in row:
        raise UsageError(f"{path}: the row of iteration {row['iteration']} has no {name}")
    check_value(kind, row[name], f"{path}: {name}")
    return row[name]
