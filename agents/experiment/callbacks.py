"""Callbacks of training: functions of the user that are called after each iteration and after each evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from agents.core.agent import Agent, missing_members
from agents.core.spec import Spec
from agents.experiment.evaluation import Curve
from qrl.common.errors import UsageError


@dataclass(frozen=True)
class TrainingInfo:
    """Run that is being trained, as callbacks see it."""

    path: Path
    """Run folder."""
    spec: Spec
    agent: Agent[object]
    """Agent in its present state; a callback must not change it."""


@runtime_checkable
class Callback(Protocol):
    """Callback of training.

    An exception in it ends the run: the iteration's checkpoint is saved, then the exception propagates unchanged.
    """

    def on_iteration(self, run: TrainingInfo, row: Mapping[str, object]) -> None:
        """Receive the metrics of an iteration, a row of `metrics.jsonl`, once they are written."""

    def on_evaluation(self, run: TrainingInfo, curve: Curve) -> None:
        """Receive the curve of an evaluation: on validation tasks during training, on test tasks at its end.

        `curve.split` tells which, `curve.iteration` after how many iterations.
        """


def check_callbacks(callbacks: object) -> tuple[Callback, ...]:
    """Return the callbacks as a tuple. Raises UsageError for anything that is no sequence of callbacks."""
    if not isinstance(callbacks, list | tuple):
        raise UsageError(f"callbacks: expected a list of callbacks, found {callbacks!r}")
    for callback in callbacks:
        if missing := missing_members(callback, Callback):
            raise UsageError(f"callbacks: {type(callback).__name__} has no {', '.join(missing)}")
    return tuple(callbacks)
