"""RL^2 with quantum recurrent cells and their classical controls, against exact optima.

    python -m benchmarks.trials --jobs 2                    every case, model and seed
    python -m benchmarks.trials --cases bandit-10           a part; --quick to try it

Each run is a regular training run (results/runs/trials-CASE-MODEL-SEED, as written by `run.py train --agent rl2`) in
its own process with one thread; when the benchmark is restarted, finished runs are reused and interrupted runs resumed.
results/trials.json contains the return per episode of each seed on the same test tasks, with references and the same
agent whose memory is cleared after every episode; docs/trials.png is drawn from it. All options except those in CASES
have their defaults; the classical models have more parameters than the quantum ones. docs/benchmarks.md describes how
the defaults were chosen, on train tasks from seed 1000.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.core.spec import Spec
from agents.experiment.style import legend_below, line_style, reference_style, set_titles, whole_ticks
from benchmarks.shared.common import RUNS, table
from benchmarks.shared.curves import draw_means, grid, save
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.runs import Job, check_names, outcome, process_pool, publish, train_all
from benchmarks.shared.statistics import interval, median_of, over_seeds, t_interval

SEEDS = 3
BENCHMARK = "benchmarks.trials"


@dataclass(frozen=True)
class Case:
    """Family of tasks, length of trials, and length of training of each model."""

    env: str
    episodes: int
    iterations: dict[str, int]
    """Length of training by model [meta-iterations]."""
    eval_tasks: int = 100
    eval_episodes: int = 40
    least: dict[str, float] = field(default_factory=dict)
    """Target return of a trial, by model."""
    rises: bool = False
    """Whether the return should rise from the first to the last episode, but not with the memory cleared."""
    model_options: dict[str, Any] = field(default_factory=dict)
    """Options of every model that differ from the defaults."""

    def spec(self, model: str, seed: int, quick: bool) -> Spec:
        """Return the spec of a run."""
        spec = Spec.default(env=self.env, agent="rl2", model=model, seed=seed, threads=1)
        agent = replace(spec.agent_config, episodes=self.episodes)
        spec = replace(spec, model_config=replace(spec.model_config, **self.model_options))
        spec = replace(spec, agent_config=agent, iterations=self.iterations[model])
        spec = replace(spec, eval_tasks=self.eval_tasks, eval_episodes=self.eval_episodes)
        if quick:
            agent = replace(agent, meta_batch=8)
            spec = replace(spec, agent_config=agent, iterations=2, eval_tasks=4, eval_episodes=2)
        return spec


OPTIMUM = 6.660
"""Bayes-optimal return of ten pulls of five arms."""
GREEDY = 75.7
"""Return of 100 pulls of five arms with the greedy policy, ties broken at random; Thompson sampling: 74.8."""

CASES = {
    "bandit-10": Case(
        "bandit",
        10,
        {"qgru": 200, "gru": 200, "qlstm": 200, "lstm": 200, "gru_vqc": 200},
        eval_tasks=20_000,
        eval_episodes=1,
        least={"qgru": 0.98 * OPTIMUM, "gru": 6.61},
    ),
    "navigation": Case("navigation", 3, {"qgru": 60, "gru": 60}, rises=True),
    "cartpole_target": Case("cartpole_target", 3, {"qgru": 100, "gru": 100}, rises=True),
    "bandit-100": Case(
        "bandit", 100, {"qgru": 150, "gru": 150}, eval_tasks=20_000, eval_episodes=1, least={"qgru": GREEDY}
    ),
    "tabular_mdp": Case(
        "tabular_mdp",
        10,
        {"qgru": 300, "gru": 300},
        eval_tasks=5_000,
        eval_episodes=1,
        least={"qgru": 138.1},
        # Fifty rewards have to be remembered, more than in the other families, so the memory is wider.
        model_options={"n_hidden": 64},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = SEEDS

    cases: tuple[str, ...] = tuple(CASES)
    """Names of the cases."""

    models: tuple[str, ...] = ()
    """Names of the models; by default, all models of each case."""


def main(options: Options) -> None:
    """Train, evaluate and report.

    Complete cases replace their part of the committed result; incomplete ones go to results/runs.
    """
    check_names(BENCHMARK, "case", options.cases, CASES)
    if options.models:
        check_names(
            BENCHMARK, "model", options.models, {model: None for case in CASES.values() for model in case.iterations}
        )
    cases = tuple(
        name for name in options.cases if not options.models or set(options.models) & set(CASES[name].iterations)
    )
    results = {}
    with process_pool(BENCHMARK, options.jobs) as pool:
        for name in cases:
            jobs = list(jobs_of(name, options.models, options.seeds, options.quick))
            train_all(pool, jobs, options.overwrite)
            results[name] = summary(name, jobs)
            print(f"\n{name}\n" + table([table_row(model, row) for model, row in results[name]["models"].items()]))
            for key, value in results[name]["targets"].items():
                print(f"{key}: {value}")
    publish("trials", results, CASES, draw, draft=options.quick or bool(options.models) or options.seeds < SEEDS)


def jobs_of(case: str, models: tuple[str, ...], seeds: int, quick: bool) -> Iterator[Job]:
    """Yield all runs of a case, seed by seed."""
    for seed, model in itertools.product(range(seeds), CASES[case].iterations):
        if not models or model in models:
            folder = RUNS / f"{'quick-' if quick else ''}trials-{case}-{model}-{seed}"
            spec = CASES[case].spec(model, seed, quick)
            yield Job(case, model, seed, spec, folder, BENCHMARK)


# --- the result ------------------------------------------------------------------------------------------------------


def summary(case: str, jobs: list[Job]) -> dict[str, Any]:
    """Summarise the models of a case: each seed, and statistics over seeds."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        rows.setdefault(job.control, []).append(report(job))
    models = {
        model: {
            "seeds": seeds,
            "trial": t_interval([seed["trial"] for seed in seeds]),
            "by_episode": over_seeds(seeds),
            "gain": t_interval([seed["gain"] for seed in seeds]),
            "forgetful_gain": t_interval([seed["forgetful_gain"] for seed in seeds]),
            "fractions": {
                name: t_interval([seed["evaluation"]["fractions"][name][0] for seed in seeds])
                for name in seeds[0]["evaluation"]["fractions"]
                if all(name in seed["evaluation"]["fractions"] for seed in seeds)
            },
        }
        for model, seeds in rows.items()
    }
    return {"models": models, "targets": targets(CASES[case], models)}


def report(job: Job) -> dict[str, Any]:
    """Return the row of a seed."""
    run, curve, row = outcome(job)
    memory_reset = curve.references["memory_reset"]
    return row | {
        "n_acting_parameters": sum(p.numel() for n, p in run.agent.theta.items() if not n.startswith("critic.")),
        "trial": float(sum(curve.mean)),
        "gain": curve.mean[-1] - curve.mean[0],
        "forgetful_gain": memory_reset[-1] - memory_reset[0],
    }


def targets(case: Case, models: dict[str, Any]) -> dict[str, Any]:
    """Compare the models with the targets of a case."""
    result: dict[str, Any] = {}
    for model, least in case.least.items():
        if model in models:
            mean = models[model]["trial"]["mean"]
            result[f"{model}: return of a trial"] = {"least": least, "mean": mean, "pass": mean >= least}
    if case.rises:
        for model, row in models.items():
            gain, control = row["gain"], row["forgetful_gain"]
            known = gain["low"] is not None and control["low"] is not None
            passed = known and gain["low"] > 0 and control["low"] <= 0 <= control["high"]
            result[f"{model}: rises by its memory"] = {"gain": gain, "without memory": control, "pass": passed}
    return result


def table_row(model: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a model in the printed table."""
    seeds = row["seeds"]
    return {
        "model": model,
        "acting parameters": seeds[0]["n_acting_parameters"],
        "all": seeds[0]["n_policy_parameters"],
        "seconds": median_of(seeds, "training_seconds"),
        "env steps": int(median_of(seeds, "env_steps")),
        "return of a trial": interval(row["trial"], 3),
        "gain over episodes": interval(row["gain"], 3),
        "without memory": interval(row["forgetful_gain"], 3),
        **{f"% of {name}": interval(per_cent(value), 2) for name, value in row["fractions"].items()},
    }


def per_cent(value: dict[str, Any]) -> dict[str, Any]:
    """Convert fractions to per cent."""
    return {key: None if number is None else 100 * number for key, number in value.items()}


def draw(results: dict[str, Any], path: Path) -> None:
    """Plot a panel per case: return against the episode, mean over seeds with t-intervals, and references."""
    figure, panel_axes = grid(len(results), columns=3)
    for axes, (case, result) in zip(panel_axes, results.items(), strict=True):
        for index, (model, row) in enumerate(result["models"].items()):
            x = row["seeds"][0]["evaluation"]["x"]
            draw_means(axes, x, row["by_episode"], model, **line_style(index))
        evaluations = [seed["evaluation"] for row in result["models"].values() for seed in row["seeds"]]
        for name in evaluations[0]["references"]:
            values = np.mean([seed["references"][name] for seed in evaluations], axis=0)
            axes.plot(evaluations[0]["x"], values, label=name, **reference_style(name))
        set_titles(axes, case, f"mean and 95 % t-interval over {SEEDS} seeds")
        axes.set(xlabel="episode of a trial", ylabel="return on test tasks")
        whole_ticks(axes.xaxis)
        legend_below(axes)
    save(figure, path)


if __name__ == "__main__":
    run_main(main, Options, __doc__, draw)
