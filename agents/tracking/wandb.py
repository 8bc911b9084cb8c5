"""Weights & Biases. Its own environment variables apply, such as WANDB_MODE=offline, WANDB_PROJECT and WANDB_SILENT.

Files of the run are in its folder `wandb`; `wandb sync RUN/wandb/offline-run-...` uploads an offline run.
"""

import os
from collections.abc import Mapping

import wandb

from agents.tracking.tracker import PROJECT, TrackedRun


class WeightsAndBiases:
    """Run in Weights & Biases. A resumed run continues the same one."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.path.name,
            id=run.key[:32],
            resume="allow",
            dir=str(run.path),
            config=dict(run.hyperparameters),
        )
        # Its own step must not decrease, as it would when a resumed run repeats iterations.
        self._run.define_metric("iteration")
        self._run.define_metric("*", step_metric="iteration")

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Record values after an iteration."""
        self._run.log({**values, "iteration": iteration})

    def close(self, *, finished: bool) -> None:
        """End the run, and upload the rest unless offline."""
        self._run.finish(exit_code=0 if finished else 1)


def start(run: TrackedRun) -> WeightsAndBiases:
    """Start or continue a run."""
    return WeightsAndBiases(run)
