"""Trackio: a database in the folder TRACKIO_DIR, by default in Hugging Face's cache; `trackio show` opens it."""

from collections.abc import Mapping

import trackio

from agents.tracking.tracker import PROJECT, TrackedRun


class Trackio:
    """Run in Trackio. A resumed run continues the run of the same name."""

    def __init__(self, run: TrackedRun) -> None:
        name = f"{run.path.name}-{run.key[:8]}"
        self._run = trackio.init(project=PROJECT, name=name, resume="allow", config=dict(run.hyperparameters))

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Record values after an iteration."""
        self._run.log(dict(values), step=iteration)

    def close(self, *, finished: bool) -> None:
        """End the run."""
        self._run.finish()


def start(run: TrackedRun) -> Trackio:
    """Start or continue a run."""
    return Trackio(run)
