"""Tuning of the controls: the best of six configurations of each by its return on train tasks, from a separate seed.

    python -m benchmarks.tuning --jobs 2                      three families of tasks, about an hour; --quick to try it
    python -m benchmarks.tuning --jobs 2 --envs navigation    a part

Every control of a study benchmarks/studies/controls-ENV.toml is tuned in the same way, by its mean return after one to
three updates. For meta-learners the configurations are two initial step sizes, which are then meta-learned, times three
decay factors of later updates; for `scratch`, without meta-training, six step sizes. A control that is trained for
longer than another has the configuration of the other. All other options have their defaults, which were chosen on
train tasks of navigation and cartpole_target with the re-uploading circuit.

Results: results/tuning.json. The study files contain the best configurations.
"""

import itertools
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import agents
from agents.experiment.run import Run
from agents.finetune import Finetune
from agents.maml import MAML
from benchmarks.shared.common import RUNS, set_up, table, write_result
from benchmarks.shared.main import QuickOptions, run_main
from benchmarks.shared.publish import check_names
from benchmarks.shared.studies import STUDIES
from qrl.common.files import read_regular

ENVS = ("navigation", "cartpole_target", "cartpole")
SIZE, DECAY = "agent.inner-step-size", "agent.extra-step-decay"
FIRST_STEPS = (0.1, 0.3)
"""Candidates for the initial value of learned step sizes (Finn et al. 2017: 0.1)."""
LATER_STEPS = (0.5, 0.3, 0.15)
"""Candidates for the decay of later updates."""
ONLY_STEPS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Candidates for the step size of `scratch`, which is fixed."""
SEED = 1000
N_TASKS = 40
"""Number of train tasks."""

Configuration = dict[str, float]
"""Tuned options by name."""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    jobs: int = 1
    """Number of parallel runs [processes]."""

    envs: tuple[str, ...] = ENVS
    """Families of tasks; without all of them, the result goes to results/runs."""


def main(options: Options) -> None:
    """Tune the controls of each family."""
    check_names("benchmarks.tuning", "family", options.envs, ENVS)
    set_up(threads=1)
    results = {}
    for env in options.envs:
        results[env] = tune(env, options)
        best = {name: found["best"] for name, found in results[env].items()}
        print(
            f"\n{env}\n"
            + table([{"control": name, SIZE: each[SIZE], DECAY: each.get(DECAY)} for name, each in best.items()])
        )
    write_result("tuning", results, quick=options.quick or options.envs != ENVS)


def tune(env: str, options: Options) -> dict[str, Any]:
    """Return for each control of a family the configurations with their scores (`tried`), and the best."""
    controls = untuned(env)
    tried: dict[str, list[Configuration]] = {name: [] for name in controls}
    small = {"iterations": 2, "agent_config": {"meta_batch": 2, "episodes": 4}} if options.quick else {}
    for kind, sizes, further in (("scratch", ONLY_STEPS, {}), ("learners", FIRST_STEPS, small)):
        chosen = {name: own for name, own in controls.items() if (own["agent"] == "scratch") == (kind == "scratch")}
        study = agents.sweep(
            RUNS / f"tuning-{env}-{kind}{'-quick' * options.quick}",
            envs=env,
            seeds=[SEED],
            grid={SIZE: sizes},
            variants=chosen,
            jobs=options.jobs,
            # Training ends with an evaluation on test tasks; two suffice, as they are not used for the selection.
            eval_tasks=2,
            **further,
        )
        for (name, size), run in zip(itertools.product(chosen, sizes), study.runs(), strict=True):
            tried[name] += scores(run, size, 4 if options.quick else N_TASKS)
    return {name: {"best": best_of(each), "tried": each} for name, each in tried.items()}


def untuned(env: str) -> dict[str, dict[str, Any]]:
    """Return the options of each control without those that are tuned; not those that another one is tuned for."""
    study = tomllib.loads(read_regular(STUDIES / f"controls-{env}.toml").decode())
    found = {}
    for variant in study["variants"]:
        own = variant["options"]
        if own["agent"] != "random" and "iterations" not in own:
            name = " ".join([own["agent"], own["model"], *([variant["name"]] if "name" in variant else [])])
            found[name] = {key: value for key, value in own.items() if key not in (SIZE, DECAY)}
    return found


def scores(run: Run, size: float, n_tasks: int) -> Iterator[Configuration]:
    """Yield the configurations that a run is evaluated with, each with its `score`: the mean return on train tasks."""
    for decay in [None] if run.spec.agent == "scratch" else LATER_STEPS:
        if decay is not None:
            assert isinstance(run.agent, MAML | Finetune)
            run.agent.config = replace(run.agent.config, extra_step_decay=decay)
        curve = run.evaluate(tasks=n_tasks, split="train", seed=SEED)
        tuned = {SIZE: size} if decay is None else {SIZE: size, DECAY: decay}
        yield tuned | {"score": float(np.mean(curve.mean[1:]))}


def best_of(tried: list[Configuration]) -> Configuration:
    """Return the configuration with the highest score, the first of equal ones."""
    best = max(tried, key=lambda each: each["score"])
    return {name: value for name, value in best.items() if name != "score"}


if __name__ == "__main__":
    run_main(main, Options, __doc__)
