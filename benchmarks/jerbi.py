"""Reproduction of Jerbi et al. 2021: a softmax policy of a quantum circuit learns CartPole-v1 by REINFORCE.

    python -m benchmarks.jerbi --jobs 2          ten seeds of 1000 episodes, about ten minutes; --quick to try it

Published (in the TensorFlow Quantum tutorial of that paper): the mean return of the ten episodes of an update reaches
500 after 470 episodes, in one run. Here: the number of episodes until then and the learning curve of every seed.
Circuit, read-out (94 parameters in total), learning rates and scales of the observations are the published ones; the
environment is our cart-pole at its nominal task, which equals CartPole-v1 to 1e-6. The control is a perceptron with as
many parameters through the same code.

The study is benchmarks/studies/jerbi.toml. Results: results/jerbi.json, docs/jerbi.png.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.compare.groups import RunGroup
from benchmarks.shared.common import table
from benchmarks.shared.curves import draw, overview, reached
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.publish import publish
from benchmarks.shared.studies import seed_rows, train

N_SEEDS = 10
WITHIN = 1000
"""Episodes within which a seed should reach the goal."""
AT_LEAST = 8
GOAL = 500.0
PUBLISHED = 470
COMPARED = ("jerbi", "mlp")
QUICK = ("--iterations", "3", "--eval-tasks", "2", "--eval-episodes", "4")
"""Options of a quick check."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS


def main(options: Options) -> None:
    """Train the circuit and the control from every seed."""
    groups = train("jerbi", options, QUICK)
    measured = {model: summary(groups[f"reinforce {model}"]) for model in COMPARED}
    print(table([{"model": model, **row["table"]} for model, row in measured.items()]))
    publish("jerbi", measured, COMPARED, _draw, draft=options.quick or options.seeds < N_SEEDS)


def summary(group: RunGroup) -> dict[str, Any]:
    """Return the learning curve of every seed, the episodes until the goal, and their summary over seeds."""
    rows = []
    for run, row in zip(group.runs, seed_rows(group), strict=True):
        returns = [each["return_by_step"][0] for each in run.folder.metrics.rows()]
        rows.append(
            {
                "seed": row["seed"],
                "episodes": reached(returns, GOAL, episodes_per_point=10),
                "returns": returns,
                "n_parameters": row["n_policy_parameters"],
                **{key: row[key] for key in ("env_steps", "training_seconds", "versions", "commit", "started")},
            }
        )
    spec = group.runs[0].folder.spec
    return {"table": overview(rows, at_least=AT_LEAST, within=WITHIN), "seeds": rows, "spec": spec}


def _draw(results: dict[str, Any], path: Path) -> None:
    curves = {model: [row["returns"] for row in part["seeds"]] for model, part in results.items()}
    draw(curves, path, episodes_per_point=10, goal=GOAL, published=PUBLISHED, title="CartPole-v1, REINFORCE")


if __name__ == "__main__":
    run_main(main, Options, __doc__, _draw)
