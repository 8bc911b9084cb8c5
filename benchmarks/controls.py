"""Quantum policies and every control through the same code: adaptation and its cost.

    python -m benchmarks.controls --jobs 2                       everything: three families of tasks, with the number of
                                                                 seeds in SEEDS
    python -m benchmarks.controls --envs navigation --seeds 1    a part; --quick to try it

Each run is a regular training run (results/runs/ENV-CONTROL-SEED, as written by `run.py train`) in its own process with
one thread; when the benchmark is restarted, finished runs are reused and interrupted runs are resumed.
results/controls.json contains the adaptation curve of each seed on the same 100 test tasks, with 40 episodes per
update; means over seeds with 95 % t-intervals; and paired differences from the re-uploading circuit with the same seed
on the same tasks. docs/controls.png is drawn from it.

Every control is first tuned in the same way, with a separate seed on train tasks: the best of six configurations by
mean return after one to three updates. For meta-learners these are two initial step sizes, which are then
meta-learned, times three decay factors of later updates; for `scratch`, without meta-training, six step sizes. All
other options have their defaults, which were chosen on train tasks of navigation and cartpole_target with the
re-uploading circuit. Two controls on navigation are trained for 150 iterations instead of 60, and one circuit there has
an entropy bonus.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.api import load
from agents.experiment.evaluation import EvaluationPlan, adaptation_curve, paired_gain
from agents.experiment.style import MARKERS, PALETTE
from benchmarks.shared.common import RUNS, default_spec, set_up, table
from benchmarks.shared.curves import grid, save
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.runs import Job, check_names, outcome, process_pool, publish, train, train_all
from benchmarks.shared.statistics import differences, interval, median_of, over_seeds
from qrl.models import MODELS

SEEDS = {"navigation": 5, "cartpole_target": 5, "cartpole": 3}
"""Number of seeds, 0, 1, ..., of each family of tasks."""
REFERENCE = "maml reuploading"
BENCHMARK = "benchmarks.controls"
FIRST_STEPS = (0.1, 0.3)
"""Candidates for `inner_step_size`, the initial value of learned step sizes (Finn et al. 2017: 0.1)."""
LATER_STEPS = (0.5, 0.3, 0.15)
"""Candidates for `extra_step_decay`."""
ONLY_STEPS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Candidates for `inner_step_size` of `scratch`, whose step size is fixed."""
TUNING_SEED = 1000
TUNING_TASKS = 40
TARGETS = {"navigation": {1: -11.7, 3: -6.0}, "cartpole_target": {}, "cartpole": {}}
"""Least mean return after x updates of the best quantum policy of at most 100 parameters."""

AgentOptions = dict[str, float]
"""Options of an agent, by name."""


@dataclass(frozen=True)
class Control:
    """An agent and a model, with options that differ from their defaults."""

    agent: str
    model: str = "reuploading"
    options: dict[str, Any] = field(default_factory=dict)
    quantum: bool = False
    iterations: int | None = None
    """Length of training, if not the default [meta-iterations]."""
    learning: AgentOptions = field(default_factory=dict)
    """Options of the agent."""
    like: str = ""
    """Control that this one trains for longer; its tuned options are reused."""
    families: tuple[str, ...] = tuple(SEEDS)

    def spec(self, env: str, seed: int, tuned: AgentOptions, quick: bool) -> Spec:
        """Return the spec of a run; a classical model without options is matched in parameters."""
        options = {"model_config": MODELS.load(self.model).Config(**self.options)} if self.options else {}
        spec = default_spec(env, self.model, agent=self.agent, seed=seed, **options)
        spec = spec if self.iterations is None else replace(spec, iterations=self.iterations)
        changes: dict[str, Any] = {**self.learning, **tuned}
        if quick:
            spec = replace(spec, iterations=2, eval_tasks=4, eval_episodes=4)
            known = {"meta_batch": 2, "episodes": 4}
            changes |= {name: value for name, value in known.items() if hasattr(spec.agent_config, name)}
        return replace(spec, agent_config=replace(spec.agent_config, **changes))


CONTROLS = {
    REFERENCE: Control("maml", quantum=True),
    "maml unentangled": Control("maml", "unentangled", quantum=True),
    "maml strongly_entangling": Control("maml", "strongly_entangling", quantum=True),
    "maml fourier": Control("maml", "fourier"),
    "maml mlp": Control("maml", "mlp"),
    "maml mlp 100x100": Control("maml", "mlp", {"hidden": (100, 100)}),
    "finetune reuploading": Control("finetune", quantum=True),
    "finetune fourier": Control("finetune", "fourier"),
    "finetune mlp": Control("finetune", "mlp"),
    "scratch reuploading": Control("scratch", quantum=True),
    "scratch mlp": Control("scratch", "mlp"),
    "random": Control("random"),
    "maml unentangled explores": Control(
        "maml", "unentangled", learning={"entropy_bonus": 0.01}, quantum=True, families=("navigation",)
    ),
    "maml unentangled 150": Control(
        "maml", "unentangled", quantum=True, iterations=150, like="maml unentangled", families=("navigation",)
    ),
    "maml mlp 150": Control("maml", "mlp", iterations=150, like="maml mlp", families=("navigation",)),
}
"""Controls whose name ends in a number are trained for that many iterations, as in the prototypes and the literature;
`explores` has an entropy bonus."""


@dataclass(frozen=True)
class Tuned:
    """Configurations evaluated for a control in a family of tasks, each with its `score`, and the best."""

    best: AgentOptions
    evaluated: list[AgentOptions]


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = max(SEEDS.values())
    """Maximum number of seeds of each family, 0, 1, ...; with fewer than in SEEDS, the result goes to results/runs."""

    envs: tuple[str, ...] = tuple(SEEDS)
    """Families of tasks."""

    controls: tuple[str, ...] = tuple(CONTROLS)
    """Names of the controls; the reference is always included."""


def main(options: Options) -> None:
    """Tune, train, evaluate and report every control from every seed.

    Complete families replace their part of the committed result; incomplete ones go to results/runs.
    """
    check_names(BENCHMARK, "control", options.controls, CONTROLS)
    check_names(BENCHMARK, "family", options.envs, SEEDS)
    families = [env for env in SEEDS if env in options.envs]
    chosen = [name for name in CONTROLS if name in {*options.controls, REFERENCE}]
    results = {}
    with process_pool(BENCHMARK, options.jobs) as pool:
        for env in families:
            available = [name for name in chosen if env in CONTROLS[name].families]
            tunable = list(dict.fromkeys(CONTROLS[name].like or name for name in available))
            best = pool.map(tune, itertools.repeat(env), tunable, itertools.repeat(options.quick))
            found = dict(zip(tunable, best, strict=True))
            tuned = {name: found[CONTROLS[name].like or name] for name in available}
            every = list(jobs_of(env, available, options.seeds, tuned, options.quick))
            train_all(pool, every, options.overwrite)
            results[env] = summary(every, tuned)
    for env, result in results.items():
        print(f"\n{env}")
        print(table([table_row(name, row) for name, row in result["controls"].items()]))
        for key, value in result["targets"].items():
            print(f"{key}: {value}")
    draft = options.quick or len(chosen) < len(CONTROLS) or options.seeds < max(SEEDS[env] for env in families)
    publish("controls", results, SEEDS, draw, draft=draft)


def jobs_of(env: str, controls: list[str], seeds: int, tuned: dict[str, Tuned], quick: bool) -> Iterator[Job]:
    """Yield all runs of a family, seed by seed, so that an interrupted benchmark is already a comparison."""
    for seed, name in itertools.product(range(min(seeds, SEEDS[env])), controls):
        spec = CONTROLS[name].spec(env, seed, tuned[name].best, quick)
        yield Job(env, name, seed, spec, folder(env, name, str(seed), quick), BENCHMARK)


def folder(env: str, control: str, seed: str, quick: bool) -> Path:
    """Return the folder of a run."""
    return RUNS / f"{'quick-' if quick else ''}{env}-{control.replace(' ', '-')}-{seed}"


def tune(env: str, name: str, quick: bool) -> Tuned:
    """Select the best of six configurations on train tasks by mean return after one to three updates."""
    set_up(threads=1)
    control = CONTROLS[name]
    if control.agent == "random":
        return Tuned({}, [])
    evaluated: list[dict[str, float]] = []
    if control.agent == "scratch":
        for size in ONLY_STEPS:
            options = {"inner_step_size": size}
            evaluated.append(options | {"score": score(*build(control.spec(env, TUNING_SEED, options, quick)), quick)})
    else:
        for size in FIRST_STEPS:
            # Training ends with an evaluation on test tasks; two suffice, as they are not used for the selection.
            spec = replace(control.spec(env, TUNING_SEED, {"inner_step_size": size}, quick), eval_tasks=2)
            job = Job(env, name, TUNING_SEED, spec, folder(env, name, f"tuning-{size}", quick), BENCHMARK)
            train(job, overwrite=False)
            run = load(job.folder)
            for factor in LATER_STEPS:
                run.agent.config = replace(run.agent.config, extra_step_decay=factor)
                options = {"inner_step_size": size, "extra_step_decay": factor}
                evaluated.append(options | {"score": score(run.distribution, run.agent, quick)})
    best = max(evaluated, key=lambda each: each["score"])
    return Tuned({key: value for key, value in best.items() if key != "score"}, evaluated)


def score(distribution: Any, agent: Any, quick: bool) -> float:
    """Return the mean return after one to three updates on train tasks."""
    tasks = 4 if quick else TUNING_TASKS
    curve = adaptation_curve(agent, distribution, EvaluationPlan(n_tasks=tasks, split="train", seed=TUNING_SEED))
    return float(np.mean(curve.mean[1:]))


# --- the result ------------------------------------------------------------------------------------------------------


def summary(jobs: list[Job], tuned: dict[str, Tuned]) -> dict[str, Any]:
    """Summarise the controls of a family: each seed, and statistics over seeds."""
    rows = {name: [report(job) for job in jobs if job.control == name] for name in {job.control: 0 for job in jobs}}
    env = jobs[0].env
    controls = {
        name: {
            "tuned": tuned[name].best,
            "tried": tuned[name].evaluated,
            "seeds": seeds,
            "over_seeds": over_seeds(seeds),
            "worst_decile": over_seeds(seeds, "worst_decile"),
            "minus_reference": differences(seeds, rows[REFERENCE]),
        }
        for name, seeds in rows.items()
    }
    return {"reference": REFERENCE, "controls": controls, "targets": targets(env, controls)}


def report(job: Job) -> dict[str, Any]:
    """Return the row of a seed."""
    _, curve, row = outcome(job)
    gains = {f"0 to {x}": dict(zip(("mean", "ci_low", "ci_high"), paired_gain(curve, x), strict=True)) for x in (1, 3)}
    return row | {"gains": gains}


def targets(env: str, controls: dict[str, Any]) -> dict[str, Any]:
    """Compare the best quantum policy of at most 100 parameters with each target."""
    small = {
        name: row
        for name, row in controls.items()
        if CONTROLS[name].quantum and row["seeds"][0]["n_policy_parameters"] <= 100
    }
    result = {}
    for x, least in TARGETS[env].items():
        best = max(small, key=lambda name: small[name]["over_seeds"][x]["mean"])
        reached = small[best]["over_seeds"][x]["mean"]
        result[f"after {x}"] = {"least": least, "best": best, "mean": reached, "pass": reached >= least}
    return result


def table_row(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a control in the printed table."""
    seeds = row["seeds"]
    after = {f"after {x}": interval(each) for x, each in enumerate(row["over_seeds"])}
    worst = {f"worst 10 % after {x}": round(row["worst_decile"][x]["mean"], 1) for x in (1, 3)}
    return {
        "control": name,
        "parameters": seeds[0]["n_policy_parameters"],
        "+ step sizes": seeds[0]["n_step_sizes"],
        "seconds": median_of(seeds, "training_seconds"),
        "env steps": int(median_of(seeds, "env_steps")),
        **after,
        **worst,
        "minus reference after 3": interval(row["minus_reference"][3]),
    }


def draw(results: dict[str, Any], path: Path) -> None:
    """Plot a panel per family and a row per control: mean after 0, 1 and 3 updates with t-intervals, worst decile."""
    most = max(len(result["controls"]) for result in results.values())
    figure, panel_axes = grid(len(results), columns=1, size=(10.0, 1.1 + 0.32 * most))
    for axes, (env, result) in zip(panel_axes, results.items(), strict=True):
        for index, x in enumerate((0, 1, 3)):
            _draw_after(axes, x, list(result["controls"].values()), PALETTE[index], MARKERS[index])
        for y, row in enumerate(result["controls"].values()):
            seeds = row["seeds"]
            size = f"{seeds[0]['n_policy_parameters']} + {seeds[0]['n_step_sizes']}"
            cost = f"{median_of(seeds, 'training_seconds'):.0f} s, {median_of(seeds, 'env_steps') / 1e6:.1f} M steps"
            axes.text(1.01, y, f"{size}; {cost}", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        axes.set_yticks(range(len(result["controls"])), list(result["controls"]))
        axes.invert_yaxis()
        axes.set_title(f"{env}: mean over {SEEDS[env]} seeds with 95 % t-interval", loc="left")
        axes.text(1.01, 1.02, "parameters + step sizes; training", transform=axes.transAxes, fontsize=8)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("return on test tasks")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.11), borderaxespad=0, ncols=3)
    save(figure, path)


def _draw_after(axes: Any, x: int, rows: list[dict[str, Any]], colour: str, marker: str) -> None:
    """Plot the means of all controls after `x` updates, and the means of their worst decile of tasks."""
    means = [row["over_seeds"][x]["mean"] for row in rows]
    errors = [0.0 if (each := row["over_seeds"][x])["low"] is None else each["high"] - each["mean"] for row in rows]
    worst = [row["worst_decile"][x]["mean"] for row in rows]
    after = f"after {x} update{'' if x == 1 else 's'}"
    axes.errorbar(means, range(len(rows)), xerr=errors, fmt=marker, color=colour, capsize=3, label=after)
    axes.plot(worst, range(len(rows)), "|", color=colour, markersize=9, label=f"worst tenth of tasks {after}")


if __name__ == "__main__":
    run_main(main, Options, __doc__, draw)
