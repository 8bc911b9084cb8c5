"""MLflow, where its own settings say, such as MLFLOW_TRACKING_URI; by default, a database in the current folder."""

import os
import time
from collections.abc import Mapping

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from agents.tracking.tracker import PROJECT, TrackedRun

KEY = "qrl_run"
"""Tag with the digest that identifies the run."""

MOST_PARAMETERS = 100
"""Largest number of parameters of a request."""


class MLflow:
    """Run in MLflow. A resumed run continues the same one. The client has no global state, such as an active run."""

    def __init__(self, run: TrackedRun) -> None:
        self._client = MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        identity = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        found = self._client.search_runs([identity], f"tags.{KEY} = '{run.key}'", max_results=1)
        if found:
            self._id = found[0].info.run_id
            self._client.set_terminated(self._id, "RUNNING")
        else:
            self._id = self._client.create_run(identity, run_name=run.path.name, tags={KEY: run.key}).info.run_id
            parameters = [Param(name, str(value)) for name, value in run.hyperparameters.items()]
            for first in range(0, len(parameters), MOST_PARAMETERS):
                self._client.log_batch(self._id, params=parameters[first : first + MOST_PARAMETERS])

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Record values after an iteration."""
        now = int(1000 * time.time())
        self._client.log_batch(self._id, [Metric(name, value, now, iteration) for name, value in values.items()])

    def close(self, *, finished: bool) -> None:
        """End the run."""
        self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")


def start(run: TrackedRun) -> MLflow:
    """Start or continue a run."""
    return MLflow(run)
