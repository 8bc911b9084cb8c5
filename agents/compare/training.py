"""Training of a run: its learning curve, and what training took."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from agents.compare.runs import EvaluatedRun
from agents.core.plain import check_value
from qrl.common.errors import UsageError


@dataclass(frozen=True)
class LearningPoint:
    """Return during training: on validation tasks if the run has them, otherwise on the training tasks."""

    iteration: int
    env_steps: int
    """Environment steps since the start of training [steps]."""
    value: float
    """Return after the updates of an iteration; of a whole trial for an in-context agent."""
    updates: int | None
    """Number of these updates [gradient steps]; None for a trial."""


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


def all_validated(runs: Iterable[EvaluatedRun]) -> bool:
    """Return whether all trained runs have been evaluated on validation tasks during training.

    Otherwise the learning curves of all have to be those on training tasks, to be comparable.
    """
    trained = [run for run in runs if run.folder.metrics.last_iteration()]
    return bool(trained) and all(run.folder.validation.last_iteration() for run in trained)


def read_training(run: EvaluatedRun, *, validated: bool) -> Training:
    """Read the training of a run, with its learning curve on validation tasks or on training tasks.

    Raises:
        UsageError: the metrics are damaged, or hold values of the wrong type.
    """
    metrics, validation = run.folder.metrics, run.folder.validation
    rows = metrics.rows()
    state = run.folder.checkpoints.last_meta() or {}
    seconds, steps = state.get("seconds"), state.get("env_steps")
    if not isinstance(steps, int):
        steps = _integer(rows[-1], "env_steps", metrics.path) if rows else 0
    counts = [_integer(row, "circuits", metrics.path) for row in rows if "circuits" in row]
    trial = run.curve.axis != "gradient_steps"
    points = (
        [_validation_point(row, validation.path) for row in validation.rows()]
        if validated
        else [_metrics_point(row, metrics.path, trial=trial) for row in rows if "return_by_step" in row]
    )
    return Training(
        tuple(points),
        validated,
        steps,
        float(seconds) if isinstance(seconds, int | float) else None,
        sum(counts) if counts else None,
    )


def _metrics_point(row: Mapping[str, object], path: Path, *, trial: bool) -> LearningPoint:
    returns = _numbers(row, "return_by_step", path)
    return _point(row, returns[-1], None if trial else len(returns) - 1, path)


def _validation_point(row: Mapping[str, object], path: Path) -> LearningPoint:
    """Return the point of a validation on the scale of the metrics: after all updates, or of a whole trial."""
    means = _numbers(row, "mean", path)
    axis = row.get("axis")
    updates = len(means) - 1 if axis == "gradient_steps" else None
    return _point(row, sum(means) if axis == "episodes" else means[-1], updates, path)


def _point(row: Mapping[str, object], value: float, updates: int | None, path: Path) -> LearningPoint:
    steps = _integer(row, "env_steps", path)
    return LearningPoint(_integer(row, "iteration", path), steps, value, updates)


def _numbers(row: Mapping[str, object], name: str, path: Path) -> list[float]:
    """Return numbers of a row. Raises UsageError if they are missing, or no list of numbers with at least one."""
    if not (found := cast(list[float], _value(list[float], row, name, path))):
        raise UsageError(f"{path}: {name} of iteration {row['iteration']} is empty")
    return [float(each) for each in found]


def _integer(row: Mapping[str, object], name: str, path: Path) -> int:
    return cast(int, _value(int, row, name, path))


def _value(kind: object, row: Mapping[str, object], name: str, path: Path) -> object:
    """Return a value of a row. Raises UsageError if it is missing or not of this kind."""
    if name not in row:
        raise UsageError(f"{path}: the row of iteration {row['iteration']} has no {name}")
    check_value(kind, row[name], f"{path}: {name}")
    return row[name]
