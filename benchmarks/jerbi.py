"""Reproduction of Jerbi et al. 2021: a softmax policy of a quantum circuit learns CartPole-v1 by REINFORCE.

    python -m benchmarks.jerbi --jobs 2          ten seeds of 1000 episodes, about ten minutes; --quick to try it

Published (in the TensorFlow Quantum tutorial of that paper): the mean return of the ten episodes of an update reaches
500 after 470 episodes, in one run. Here: the number of episodes until then and the learning curve of every seed.
Circuit, read-out (94 parameters in total), learning rates and scales of the observations are the published ones; the
environment is our cart-pole at its nominal task, which equals CartPole-v1 to 1e-6. The control is a perceptron with as
many parameters through the same code.

Each run is a regular training run (results/runs/jerbi-MODEL-SEED); the command of a single one is

    python run.py --env cartpole --env.no-varies --env.horizon 500 --agent reinforce --model jerbi --iterations 100 \\
        --policy.readout-start alternating --policy.no-readout-bias --policy.inverse-temperature fixed

Results: results/jerbi.json, docs/jerbi.png.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.core.spec import Spec
from agents.experiment.api import load
from benchmarks.shared.common import RUNS, table
from benchmarks.shared.curves import draw, overview, reached
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.runs import Job, check_names, publish, run_all
from envs.core.registry import ENVS
from qrl.models import MODELS
from qrl.policies.actor import PolicyConfig

N_SEEDS = 10
N_EPISODES = 1000
WITHIN = 1000
"""Episodes within which a seed should reach the goal."""
AT_LEAST = 8
GOAL = 500.0
N_PARAMETERS = 94
PUBLISHED = 470
COMPARED = ("jerbi", "mlp")


def spec(model: str, seed: int, quick: bool) -> Spec:
    """Return the spec of a run."""
    env = ENVS.load("cartpole").Config(horizon=500, varies=False)
    options: dict[str, Any] = {"env_config": env, "iterations": N_EPISODES // 10, "seed": seed, "threads": 1}
    if model == "jerbi":
        options["policy"] = PolicyConfig(readout_start="alternating", readout_bias=False, inverse_temperature="fixed")
    else:
        options["model_config"] = MODELS.load(model).Config(budget=N_PARAMETERS)
    result = Spec.default(env="cartpole", agent="reinforce", model=model, eval_tasks=5, eval_steps=1, **options)
    return replace(result, iterations=3, eval_tasks=2, eval_episodes=4) if quick else result


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS

    models: tuple[str, ...] = COMPARED
    """Names of the models: the circuit and the control."""


def main(options: Options) -> None:
    """Train every model from every seed."""
    check_names("jerbi", "model", options.models, COMPARED)
    plan = {
        model: [
            Job(
                "cartpole",
                model,
                seed,
                spec(model, seed, options.quick),
                RUNS / _name(model, seed, options.quick),
                "benchmarks.jerbi",
            )
            for seed in range(options.seeds)
        ]
        for model in options.models
    }
    run_all("jerbi", [job for part in plan.values() for job in part], options.jobs, options.overwrite)
    measured = {model: summary(part) for model, part in plan.items()}
    print(table([{"model": model, **row["table"]} for model, row in measured.items()]))
    publish("jerbi", measured, COMPARED, _draw, draft=options.quick or options.seeds < N_SEEDS)


def _name(model: str, seed: int, quick: bool) -> str:
    return f"jerbi-{model}-{seed}{'-quick' if quick else ''}"


def summary(jobs: list[Job]) -> dict[str, Any]:
    """Return the learning curve of every seed, the episodes until the goal, and their summary over seeds."""
    rows = []
    for job in jobs:
        run = load(job.folder)
        returns = [row["return_by_step"][0] for row in run.metrics()]
        rows.append(
            {
                "seed": job.seed,
                "episodes": reached(returns, GOAL, episodes_per_point=10),
                "returns": returns,
                "n_parameters": run.agent.policy.n_parameters,
                "env_steps": run.folder.checkpoints.load().meta["env_steps"],
                "training_seconds": run.folder.checkpoints.load().meta["seconds"],
                **{key: run.folder.config[key] for key in ("versions", "commit", "started")},
            }
        )
    return {"table": overview(rows, at_least=AT_LEAST, within=WITHIN), "seeds": rows, "spec": jobs[0].spec.to_json()}


def _draw(results: dict[str, Any], path: Path) -> None:
    curves = {model: [row["returns"] for row in part["seeds"]] for model, part in results.items()}
    draw(curves, path, episodes_per_point=10, goal=GOAL, published=PUBLISHED, title="CartPole-v1, REINFORCE")


if __name__ == "__main__":
    run_main(main, Options, __doc__, _draw)
