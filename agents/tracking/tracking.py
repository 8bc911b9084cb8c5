"""Trackers of a training, as callbacks that never end it: one that fails is reported once, then records nothing."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Literal, cast, get_args

from agents.core.global_generators import restored_generators
from agents.experiment.callbacks import TrainingInfo
from agents.experiment.evaluation import Curve
from agents.runs.messages import warn
from agents.tracking.tracker import TrackedRun, Tracker, TrackerModule, curve_values, row_values
from qrl.common.checks import check_choice
from qrl.common.errors import describe
from qrl.common.importing import check_installed

TrackerName = Literal["tensorboard", "wandb", "mlflow", "trackio"]
"""Name of a tracker: of its file, of its package, and of the extra that installs it."""

TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)


def check_trackers(names: Sequence[str]) -> None:
    """Raise UsageError for an unknown tracker, and for one that is not installed, with the way to install it."""
    for name in names:
        check_choice("track", "tracker", name, TRACKERS)
        check_installed(f"--track {name}", name)


def tracker_module(name: str) -> TrackerModule:
    """Import the module of a tracker."""
    return cast(TrackerModule, importlib.import_module(f"agents.tracking.{name}"))


@contextmanager
def tracked(names: Sequence[str], run: TrackedRun) -> Iterator[tuple["Tracking", ...]]:
    """Open trackers for a run, as callbacks; close them at exit."""
    trackings = tuple(Tracking(name, run) for name in dict.fromkeys(names))
    finished = False
    try:
        yield trackings
        finished = True
    finally:
        for tracking in trackings:
            tracking.close(finished=finished)


class Tracking:
    """Tracker as a callback of training."""

    def __init__(self, name: str, run: TrackedRun) -> None:
        self.name = name
        self._tracker: Tracker | None = None
        self._attempt(lambda: self._open(run))

    def on_iteration(self, run: TrainingInfo, row: Mapping[str, object]) -> None:
        """Record the metrics of an iteration."""
        self._log(row_values(row), cast(int, row["iteration"]))

    def on_evaluation(self, run: TrainingInfo, curve: Curve) -> None:
        """Record points of the curve of an evaluation."""
        self._log(curve_values(curve), curve.iteration)

    def close(self, *, finished: bool) -> None:
        """End the recording."""
        if (tracker := self._tracker) is not None:
            self._attempt(lambda: tracker.close(finished=finished))
        self._tracker = None

    def _open(self, run: TrackedRun) -> None:
        self._tracker = tracker_module(self.name).start(run)

    def _log(self, values: Mapping[str, float], iteration: int) -> None:
        if (tracker := self._tracker) is not None:
            self._attempt(lambda: tracker.log(MappingProxyType(dict(values)), iteration))

    def _attempt(self, action: Callable[[], object]) -> None:
        """Run third-party code; whatever it raises must not end the training, nor may it draw from its generators."""
        try:
            with restored_generators():
                action()
        except Exception as error:
            self._tracker = None
            warn(f"tracker {self.name}: {describe(error)}; it records nothing more of this run")
