"""Selectors: runs of `algorithm_selection` that propose algorithms."""

import hashlib
from pathlib import Path

from agents.core.agent import InContextAgent, Learner, OracleAgent
from agents.experiment.report import open_run
from agents.experiment.run import Run
from agents.runs.folder import RunFolder
from agents.runs.messages import warn
from agents.select import selector as shipped
from envs.automl.algorithms import supports_class_weights
from envs.automl.lookup_tasks import LookupTasks
from envs.automl.metrics import Metric
from qrl.common.errors import UsageError
from qrl.common.files import read_regular
from qrl.common.memory import largest_file
from qrl.common.trust import Trust


def selector_of(path: Path | None, trust: Trust | None = None) -> Run:
    """Load the selector of a run folder; by default, the one shipped with this library.

    Raises:
        UsageError: the run is not one of `algorithm_selection`, or its agent needs to know the scores or does not adapt
            between evaluations, or it names code that is not trusted.
    """
    folder = shipped.FOLDER if path is None else path
    if (env := RunFolder.open(folder).spec.get("env")) != "algorithm_selection":
        raise UsageError(f"--selector {path}: must be a run of algorithm_selection, not of {env}")
    run = open_run(folder, trust or Trust())
    if path is None and not shipped.trained_on_this_table():
        warn("the shipped selector was trained on another table of scores than the installed one")
    if isinstance(run.agent, OracleAgent):
        raise UsageError(f"--selector {path}: agent {run.spec.agent} needs to know the scores of all algorithms")
    if not isinstance(run.agent, InContextAgent):
        raise UsageError(
            f"--selector {path}: agent {run.spec.agent} does not adapt between evaluations; use a run of rl2 or of a "
            "search policy, such as nearest_tasks"
        )
    return run


def best_single(family: LookupTasks, metric: Metric) -> str:
    """Return the algorithm with the largest mean improvement in accuracy over the training datasets.

    If balanced accuracy is the metric, only algorithms that support class weights are considered.
    """
    table = family.table
    improvement = dict(zip(table.candidates, table.improvement[: table.n_train].mean(0), strict=True))
    candidates = (name for name in improvement if metric != "balanced_accuracy" or supports_class_weights(name))
    return max(candidates, key=improvement.__getitem__)


def selector_json(run: Run, path: Path | None) -> dict[str, object]:
    """Return the JSON that identifies the selector."""
    name = "shipped" if path is None else str(path)
    identity = {"run": name, "agent": run.spec.agent, "config": run.folder.config["digest"]}
    if not isinstance(run.agent, Learner):
        return identity
    weights = run.folder.path / "checkpoint" / f"{run.iteration:08d}" / "state.safetensors"
    digest = hashlib.sha256(read_regular(weights, largest_file())).hexdigest()
    return {**identity, "model": run.spec.model, "iterations": run.iteration, "sha256": digest}
