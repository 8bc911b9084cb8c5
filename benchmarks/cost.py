"""A quantum policy costs little more time to meta-train than the usual network: 4 wires x 3 layers on navigation.

    python -m benchmarks.cost [--quick] [--threads N]      results/cost.json

Seconds per meta-iteration (rollouts, inner steps, all second-order PPO epochs) of MAML with its defaults, against MLP
100 x 100 (the network of Finn et al. 2017; the ratio should be at most 1.5) and against an MLP and Fourier features
with as many parameters as the circuit. The policies take turns, an iteration each.
"""

import statistics
from dataclasses import replace
from typing import Any

import tyro

from agents._config import Spec
from agents._setting import build
from agents._train import Training
from benchmarks._common import default_spec, set_up, table, write_result
from qrl.models.mlp import Config as MlpConfig
from qrl.models.reuploading import Config as CircuitConfig

TARGET = 1.5


def main(quick: bool = False, threads: int = 1) -> None:
    """Time meta-iterations.

    Args:
        quick: two iterations, with a smaller meta-batch; the result goes to results/runs.
        threads: torch threads [threads].
    """
    specs = {
        "circuit 4 x 3": default_spec("navigation", model_config=CircuitConfig(n_wires=4, n_layers=3)),
        "mlp 100 x 100": default_spec("navigation", "mlp", model_config=MlpConfig(hidden=(100, 100))),
        "mlp, matched": default_spec("navigation", "mlp"),
        "fourier, matched": default_spec("navigation", "fourier"),
    }
    trainings = {name: start(spec, threads, quick) for name, spec in specs.items()}
    set_up(threads)
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    for _ in range(2 if quick else 12):
        for name, training in trainings.items():
            before = training.seconds
            training.step()
            seconds[name].append(training.seconds - before)
    rows = [row(name, trainings[name], seconds) for name in trainings]
    print(table(rows))
    write_result("cost", rows, quick=quick)


def start(spec: Spec, threads: int, quick: bool) -> Training:
    """A training that never stops its epochs early, so that every policy does the same work."""
    changes = {"target_kl": 0.0} | ({"meta_batch": 4, "episodes": 4} if quick else {})
    spec = replace(spec, threads=threads, agent_config=replace(spec.agent_config, **changes))
    return Training(spec, *build(spec))


def row(name: str, training: Training, seconds: dict[str, list[float]]) -> dict[str, Any]:
    """A row of the result; the first iteration, a warm-up, is left out."""
    medians = {key: statistics.median(values[1:]) for key, values in seconds.items()}
    ratio = medians["circuit 4 x 3"] / medians[name]
    is_target = name == "mlp 100 x 100"
    return {
        "policy": name,
        "parameters": training.agent.policy.n_parameters,
        "env steps per iteration": training.env_steps // training.iteration,
        "seconds per iteration": medians[name],
        "circuit / this": ratio,
        "target": TARGET if is_target else None,
        "pass": ratio <= TARGET if is_target else None,
    }


if __name__ == "__main__":
    tyro.cli(main)
