"""Time to meta-train a quantum policy compared with classical networks.

    python -m benchmarks.cost [--quick] [--threads N]      results/cost.json

Seconds per meta-iteration with the agent's defaults, including rollouts, inner steps and all PPO epochs.

MAML on navigation, second order: a circuit of 4 wires x 3 layers over MLP 100 x 100 (the network of Finn et al. 2017;
the ratio should be at most 1.5), over an MLP and over Fourier features with as many parameters as the circuit.
RL^2 on the bandit, 2000 trials of ten pulls: `qgru` over `gru` (at most 6).
The policies of a family alternate, one iteration at a time.
"""

import statistics
from dataclasses import replace
from typing import Any

from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.loop import Training
from benchmarks.shared.common import default_spec, set_up, table, write_result
from benchmarks.shared.main import TimingOptions, run_main
from qrl.models.mlp import Config as MlpConfig
from qrl.models.reuploading import Config as CircuitConfig

TARGETS = {"mlp 100 x 100": 1.5, "gru": 6.0}
"""Upper bound of the time of a family's first policy over this policy [ratio]."""


def main(options: TimingOptions) -> None:
    """Time meta-iterations."""
    maml = {
        "circuit 4 x 3": default_spec("navigation", model_config=CircuitConfig(n_wires=4, n_layers=3)),
        "mlp 100 x 100": default_spec("navigation", "mlp", model_config=MlpConfig(hidden=(100, 100))),
        "mlp, matched": default_spec("navigation", "mlp"),
        "fourier, matched": default_spec("navigation", "fourier"),
    }
    rl2 = {model: Spec.default(env="bandit", agent="rl2", model=model) for model in ("qgru", "gru")}
    maml_sizes = {"meta_batch": 4, "episodes": 4} if options.quick else {}
    rows = [
        *time_policies(
            "maml",
            {name: start(spec, options.threads, maml_sizes) for name, spec in maml.items()},
            options.threads,
            options.quick,
        ),
        *time_policies(
            "rl2",
            {name: start(s, options.threads, {"meta_batch": 2000}) for name, s in rl2.items()},
            options.threads,
            options.quick,
        ),
    ]
    print(table(rows))
    write_result("cost", rows, quick=options.quick)


def time_policies(family: str, trainings: dict[str, Training], threads: int, quick: bool) -> list[dict[str, Any]]:
    """Time alternating policies; return their rows."""
    set_up(threads)
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    for _ in range(2 if quick else 12):
        for name, training in trainings.items():
            before = training.seconds
            training.step()
            seconds[name].append(training.seconds - before)
    # The first iteration is a warm-up.
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    return [row(family, name, training, medians) for name, training in trainings.items()]


def start(spec: Spec, threads: int, sizes: dict[str, int]) -> Training:
    """Start a training without early stopping of epochs, so that every policy does the same work."""
    changes: dict[str, Any] = {"target_kl": 0.0} | sizes
    spec = replace(spec, threads=threads, agent_config=replace(spec.agent_config, **changes))
    return Training(spec, *build(spec))


def row(family: str, name: str, training: Training, medians: dict[str, float]) -> dict[str, Any]:
    """Return a row of the result."""
    ratio = next(iter(medians.values())) / medians[name]
    target = TARGETS.get(name)
    return {
        "agent": family,
        "policy": name,
        "parameters": training.agent.policy.n_parameters,
        "env steps per iteration": training.env_steps // training.iteration,
        "seconds per iteration": medians[name],
        "first of the family / this": ratio,
        "target": target,
        "pass": None if target is None else ratio <= target,
    }


if __name__ == "__main__":
    run_main(main, TimingOptions, __doc__)
