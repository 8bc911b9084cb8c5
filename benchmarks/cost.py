"""Time to meta-train a quantum policy compared with classical networks, and with an earlier version of this project.

    python -m benchmarks.cost [--quick] [--threads N] [--earlier FOLDER]      results/cost.json

CPU time of a meta-iteration with the agent's defaults, including rollouts, inner steps and all PPO epochs.

MAML on navigation, second order: a circuit of 4 wires x 3 layers, an MLP 100 x 100 (the network of Finn et al. 2017),
an MLP and Fourier features with as many parameters as the circuit. RL^2 on the bandit, 2000 trials of ten pulls: `qgru`
and `gru`. REINFORCE on cart-pole as in `benchmarks.jerbi`: the circuit of Jerbi et al. 2021 and a perceptron. The
policies of a family alternate, one iteration at a time; so do those of the earlier version, a checkout in FOLDER.

Bounds: the circuit takes at most 1.7 times as long as the matched MLP of the earlier version (before classical networks
were made faster, too), and `qgru` at most twice as long as `gru`. Over themselves in version 493bbf6, which took 55,000
and 4,600 environment steps a second on the machine where the bounds were set, the circuit has to be 150 / 55 times as
fast on navigation, that of REINFORCE 10 / 4.6 times.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.loop import Training
from benchmarks import jerbi
from benchmarks.shared.common import default_spec, set_up, table, write_result
from benchmarks.shared.earlier import NAMES, EarlierVersion
from benchmarks.shared.main import TimingOptions, run_main
from qrl.models.mlp import Config as MlpConfig
from qrl.models.reuploading import Config as CircuitConfig

AT_MOST = {
    "mlp 100 x 100": 1.5,
    "gru": 2.0,
    "mlp, matched, earlier": 1.7,
    "circuit 4 x 3, earlier": 55 / 150,
    "jerbi, earlier": 4.6 / 10,
}
"""Upper bound of the time of a family's first policy over that of this policy [ratio]."""


@dataclass(frozen=True, kw_only=True)
class Options(TimingOptions):
    """Options of this benchmark."""

    earlier: Path | None = None
    """Checkout of an earlier version to be timed in turns."""


def main(options: Options) -> None:
    """Time meta-iterations."""
    maml = {
        "circuit 4 x 3": default_spec("navigation", model_config=CircuitConfig(n_wires=4, n_layers=3)),
        "mlp 100 x 100": default_spec("navigation", "mlp", model_config=MlpConfig(hidden=(100, 100))),
        "mlp, matched": default_spec("navigation", "mlp"),
        "fourier, matched": default_spec("navigation", "fourier"),
    }
    rl2 = {model: Spec.default(env="bandit", agent="rl2", model=model) for model in ("qgru", "gru")}
    published = {model: jerbi.spec(model, seed=0, quick=False) for model in jerbi.COMPARED}
    maml_sizes = {"meta_batch": 4, "episodes": 4} if options.quick else {}
    earlier = EarlierVersion(options.earlier, options.quick) if options.earlier is not None else None
    families = {
        "maml": {name: start(spec, options.threads, maml_sizes) for name, spec in maml.items()},
        "rl2": {name: start(spec, options.threads, {"meta_batch": 2000}) for name, spec in rl2.items()},
        "reinforce": {name: Training(spec, *build(spec)) for name, spec in published.items()},
    }
    rows = [row for family, each in families.items() for row in time_policies(family, each, earlier, options)]
    if earlier is not None:
        earlier.close()
    print(table(rows))
    write_result("cost", rows, quick=options.quick)


def time_policies(
    family: str, trainings: dict[str, Training], earlier: EarlierVersion | None, options: Options
) -> list[dict[str, Any]]:
    """Time alternating policies; return their rows."""
    set_up(options.threads)
    steps: dict[str, Callable[[], tuple[float, int]]] = {name: partial(step, t) for name, t in trainings.items()}
    if earlier is not None:
        steps |= {f"{name}, earlier": partial(earlier.step, name) for name in trainings if name in NAMES}
    taken: dict[str, list[tuple[float, int]]] = {name: [] for name in steps}
    for _ in range(2 if options.quick else 12):
        for name, take in steps.items():
            taken[name].append(take())
    # The first iteration is a warm-up.
    medians = {name: statistics.median(seconds for seconds, _ in values[1:]) for name, values in taken.items()}
    sizes = {name: training.agent.policy.n_parameters for name, training in trainings.items()}
    return [row(family, name, sizes.get(name), taken[name][-1][1], medians) for name in steps]


def step(training: Training) -> tuple[float, int]:
    """Take a meta-iteration; return its CPU time [s] and its environment steps."""
    steps, begun = training.env_steps, time.process_time()
    training.step()
    return time.process_time() - begun, training.env_steps - steps


def start(spec: Spec, threads: int, sizes: dict[str, int]) -> Training:
    """Start a training without early stopping of epochs, so that every policy does the same work."""
    changes: dict[str, Any] = {"target_kl": 0.0} | sizes
    spec = replace(spec, threads=threads, agent_config=replace(spec.agent_config, **changes))
    return Training(spec, *build(spec))


def row(family: str, name: str, n_parameters: int | None, n_steps: int, medians: dict[str, float]) -> dict[str, Any]:
    """Return a row of the result."""
    ratio, most = next(iter(medians.values())) / medians[name], AT_MOST.get(name)
    return {
        "agent": family,
        "policy": name,
        "parameters": n_parameters,
        "env steps per iteration": n_steps,
        "seconds per iteration": medians[name],
        "env steps per second": n_steps / medians[name],
        "first of the family / this": ratio,
        "at most": most,
        "pass": None if most is None else ratio <= most,
    }


if __name__ == "__main__":
    run_main(main, Options, __doc__)
