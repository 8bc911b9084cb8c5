"""Studies of the benchmarks, benchmarks/studies/NAME.toml: train their runs and read them."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from agents.cli.main import main as run_command
from agents.compare.groups import RunGroup, group_runs
from agents.compare.runs import EvaluatedRun, find_runs, read_run
from agents.experiment.api import load
from agents.experiment.evaluation import Curve
from agents.experiment.run import Run
from agents.study.file import read_request
from benchmarks.shared.common import RESULTS, RUNS
from benchmarks.shared.main import TrainingOptions

ROOT = RESULTS.parent.parent
STUDIES = ROOT / "benchmarks" / "studies"
QUICK = ("--iterations", "2", "--eval-tasks", "4", "--eval-episodes", "4")
"""Options of `train` for a quick check."""


def train(name: str, options: TrainingOptions, quick: Sequence[str] = QUICK) -> dict[str, RunGroup]:
    """Train the runs of a study that are missing, as `run.py sweep` does, and return its groups by name.

    Exit with the code of `sweep` if a run fails.

    Args:
        name: name of the study file.
        options: seeds, number of parallel runs, and whether this is a quick check.
        quick: options of `train` for a quick check.
    """
    out = RUNS / f"{name}-quick" if options.quick else ROOT / "studies" / name
    seeds = str(options.seeds) if options.quick else _seeds(name, options.seeds)
    words = ["--out", str(out), "--seeds", seeds, "--jobs", str(options.jobs)]
    words += ["--overwrite"] * options.overwrite + [*quick] * options.quick
    if code := run_command(["sweep", str(STUDIES / f"{name}.toml"), *words]):
        sys.exit(code)
    groups = group_runs(name, [read_run(path, "test") for path in find_runs([out], "test").runs])
    return {name_of(group): group for group in groups}


def _seeds(name: str, count: int) -> str:
    """Return the first seeds of a study file as an option of `sweep`, or 0, 1, ... if it names fewer."""
    named = read_request(STUDIES / f"{name}.toml").seeds[:count]
    is_plain = named == tuple(range(len(named))) or len(named) < max(2, count)
    return str(count) if is_plain else ",".join(map(str, named))


def name_of(group: RunGroup) -> str:
    """Return agent, model and variant, such as "maml mlp 150"; "random" for an agent without a model."""
    return group.folder_name.removeprefix(f"{group.runs[0].curve.env}-").replace("-", " ")


def returns(group: RunGroup) -> Float[np.ndarray, "seed task x"]:
    """Return the returns of all seeds on all test tasks."""
    return np.array([run.curve.per_task for run in group.runs])


def evaluated_again(group: RunGroup, evaluate: Callable[[Run], Curve]) -> RunGroup:
    """Return the group with another evaluation of each run."""
    return RunGroup(tuple(replace(run, curve=evaluate(load(run.path))) for run in group.runs))


def seed_rows(group: RunGroup) -> list[dict[str, Any]]:
    """Return what a result records of each seed."""
    return [_row(run) for run in group.runs]


def _row(run: EvaluatedRun) -> dict[str, Any]:
    config, evaluation = run.folder.config, run.curve.to_json()
    # Untrained references have no checkpoint.
    trained = run.folder.checkpoints.last_meta() or {"seconds": 0.0, "env_steps": 0}
    return {
        "seed": run.seed,
        "n_policy_parameters": run.curve.policy["n_parameters"] if run.curve.policy else 0,
        "training_seconds": trained["seconds"],
        "env_steps": trained["env_steps"],
        "evaluation": {key: value for key, value in evaluation.items() if key != "per_task"},
        "spec": run.folder.spec,
        **{key: config[key] for key in ("versions", "commit", "started")},
    }
