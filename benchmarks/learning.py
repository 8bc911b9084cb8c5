"""Quantum policies learn to adapt: MAML with its defaults from several seeds, all of them reported.

    python -m benchmarks.learning --env navigation [--seeds 0 1 2] [--jobs 2]
    python -m benchmarks.learning --env cartpole_target [--seeds 0 1 2] [--jobs 2]
    python -m benchmarks.learning --env navigation --model mlp       a control with as many parameters

Each seed is an ordinary run (results/runs/ENV-MODEL-SEED, what `run.py train` leaves) in a process of its own with one
thread; started again, finished runs are taken as they are and others resumed. results/learning-ENV.json (controls:
learning-ENV-MODEL.json) holds each seed's adaptation curve on 100 test tasks with 40 episodes a step, and its gains. On
navigation the mean return after 0, 1 and 3 steps should be at least -45, -13 and -9; on cartpole_target the 95 %
intervals of the gains should exclude 0.
"""

import contextlib
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from scipy import stats

from agents._api import load, run_resume, run_training
from agents._config import Spec
from agents._evaluate import Curve, paired_gain
from agents._files import from_json
from agents._inner import STEP_PREFIX
from agents._run import RunFolder
from benchmarks._common import RUNS, default_spec, set_up, table, write_result
from qrl.errors import UsageError

TARGETS = {"navigation": {0: -45.0, 1: -13.0, 3: -9.0}}
"""Least mean return after x steps."""
GAINS = (1, 3)


def main(
    env: Literal["navigation", "cartpole_target"],
    model: str = "reuploading",
    seeds: tuple[int, ...] = (0, 1, 2),
    jobs: int = 1,
    overwrite: bool = False,
    quick: bool = False,
) -> None:
    """Train, evaluate and report every seed.

    Args:
        env: the tasks.
        model: the policy network; classical ones get as many parameters as the quantum policy has.
        seeds: the seeds.
        jobs: seeds trained side by side [processes].
        overwrite: train again what is there already.
        quick: two iterations each, evaluated on four tasks; the result goes to results/runs.
    """
    set_up(threads=1)
    specs = [default_spec(env, model, seed=seed) for seed in seeds]
    if quick:
        small = {"iterations": 2, "eval_tasks": 4, "eval_episodes": 2}
        specs = [replace(s, **small, agent_config=replace(s.agent_config, meta_batch=2, episodes=2)) for s in specs]
    prefix = f"quick-{env}-{model}" if quick else f"{env}-{model}"
    folders = [RUNS / f"{prefix}-{seed}" for seed in seeds]
    RUNS.mkdir(parents=True, exist_ok=True)
    # Each seed has a fresh process, as a run of its own would.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        try:
            list(pool.map(train, specs, folders, [overwrite] * len(specs)))
        except UsageError as error:
            sys.exit(f"benchmarks.learning: {error}")
    rows = [report(folder) for folder in folders]
    result = {"env": env, "model": model, "seeds": rows, "over_seeds": over_seeds(rows)}
    print(table([shown(row) for row in rows]))
    for key, value in result["over_seeds"].items():
        print(f"{key}: {value}")
    name = f"learning-{env}" if model == "reuploading" else f"learning-{env}-{model}"
    write_result(name, result, quick=quick)


def train(spec: Spec, folder: Path, overwrite: bool) -> None:
    """One run, or what is left of it. Its progress is in the file beside its folder."""
    set_up(threads=1)
    log = folder.with_suffix(".log")
    with log.open("a") as stream, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        if overwrite or not folder.exists():
            code = run_training(spec, folder, overwrite=overwrite, command=["benchmarks.learning"])
        elif Spec.from_json(RunFolder.open(folder).config["spec"]) != spec:
            raise UsageError(f"{folder} is a run with other options; --overwrite trains it again")
        elif (folder / "evaluation.json").exists():
            return
        else:
            code = run_resume(folder)
    if code:
        raise RuntimeError(f"the run {folder} ended with code {code}; see {log}")


def report(folder: Path) -> dict[str, Any]:
    """What one seed gave."""
    run = load(folder)
    curve = Curve(**from_json(folder / "evaluation.json"))
    last = run.metrics()[-1]
    params = run.agent.params
    gains = {f"0 to {x}": dict(zip(("mean", "ci_low", "ci_high"), paired_gain(curve, x), strict=True)) for x in GAINS}
    return {
        "seed": run.spec.seed,
        "n_policy_parameters": run.agent.policy.n_parameters,
        "n_step_sizes": sum(value.numel() for name, value in params.items() if name.startswith(STEP_PREFIX)),
        "training_seconds": last["seconds"],
        "env_steps": last["env_steps"],
        "evaluation": {key: value for key, value in curve.to_json().items() if key != "per_task"},
        "gains": gains,
        "pass": passes(curve, gains),
        "spec": run.spec.to_json(),
        "versions": run.folder.config["versions"],
        "commit": run.folder.config["commit"],
        "started": run.folder.config["started"],
    }


def passes(curve: Curve, gains: dict[str, dict[str, float]]) -> bool:
    """Whether a seed reaches what it should."""
    if curve.env in TARGETS:
        return all(curve.mean[curve.x.index(x)] >= least for x, least in TARGETS[curve.env].items())
    return all(gain["ci_low"] > 0 for gain in gains.values())


def over_seeds(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Means over seeds of returns and gains, with the 95 % t-interval of each from two seeds on."""
    steps = rows[0]["evaluation"]["x"]
    values = {f"return after {x}": [row["evaluation"]["mean"][i] for row in rows] for i, x in enumerate(steps)}
    values |= {f"gain {key}": [row["gains"][key]["mean"] for row in rows] for key in rows[0]["gains"]}
    return {key: t_interval(numbers) for key, numbers in values.items()}


def t_interval(numbers: list[float]) -> dict[str, Any]:
    """Mean and 95 % interval of Student's t; none from a single number."""
    mean = float(np.mean(numbers))
    if len(numbers) < 2:
        return {"mean": mean, "low": None, "high": None}
    half = float(stats.sem(numbers) * stats.t.ppf(0.975, len(numbers) - 1))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A seed as a line of the table."""
    returns = zip(row["evaluation"]["x"], row["evaluation"]["mean"], strict=True)
    gains = {f"gain {k}": "{mean:+.2f} [{ci_low:+.2f}, {ci_high:+.2f}]".format(**g) for k, g in row["gains"].items()}
    sizes = {"parameters": row["n_policy_parameters"], "step sizes": row["n_step_sizes"]}
    after = {f"after {x}": mean for x, mean in returns}
    return {"seed": row["seed"], **sizes, "seconds": row["training_seconds"], **after, **gains, "pass": row["pass"]}


if __name__ == "__main__":
    tyro.cli(main)
