"""RL^2 with quantum recurrent cells and their classical controls, against exact optima.

    python -m benchmarks.trials --jobs 2                    every case, model and seed
    python -m benchmarks.trials --cases bandit-10           a part; --quick for a look

Every run is an ordinary one (results/runs/trials-CASE-MODEL-SEED, what `run.py train --agent rl2` leaves) in a process
of its own with one thread; started again, finished runs are taken as they are and others resumed. results/trials.json
holds each seed's return against the episode on test tasks, the same ones for all, beside references and beside the same
agent with its memory cleared after every episode; docs/trials.png is drawn from it. All options but those in CASES are
defaults: classical models have more parameters than the quantum ones. What was tried to find the defaults, on train
tasks from seed 1000, is in docs/benchmarks.md.
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
from benchmarks.shared.runs import Job, check_part, outcome, publish, side_by_side, train_all
from benchmarks.shared.statistics import interval, median_of, over_seeds, t_interval

SEEDS = 3
MADE_BY = "benchmarks.trials"


@dataclass(frozen=True)
class Case:
    """A family of tasks, trials of some length, and how long each model is trained for."""

    env: str
    episodes: int
    iterations: dict[str, int]
    """By model [meta-iterations]."""
    eval_tasks: int = 100
    eval_episodes: int = 40
    least: dict[str, float] = field(default_factory=dict)
    """Return of a trial to reach, by model."""
    rises: bool = False
    """Whether the return has to rise from the first episode to the last, and not without the memory."""
    model_options: dict[str, Any] = field(default_factory=dict)
    """Of every model, where they are not defaults."""

    def spec(self, model: str, seed: int, quick: bool) -> Spec:
        """The run's configuration."""
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
"""Return of a hundred pulls of five arms by greedy play, ties broken at random; Thompson sampling has 74.8."""

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
        # There is more to remember than in the other families, fifty rewards; so the memory is wider.
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
    """Names of the models; by default all of each case."""


def main(options: Options) -> None:
    """Train, evaluate and report.

    A case measured whole takes its place in the result, beside what is there of others; what is not, goes to
    results/runs.
    """
    check_part(MADE_BY, "case", options.cases, CASES)
    if options.models:
        check_part(
            MADE_BY, "model", options.models, {model: None for case in CASES.values() for model in case.iterations}
        )
    cases = tuple(
        name for name in options.cases if not options.models or set(options.models) & set(CASES[name].iterations)
    )
    results = {}
    with side_by_side(MADE_BY, options.jobs) as pool:
        for name in cases:
            planned = list(runs_of(name, options.models, options.seeds, options.quick))
            train_all(pool, planned, options.overwrite)
            results[name] = summary(name, planned)
            print(f"\n{name}\n" + table([shown(model, row) for model, row in results[name]["models"].items()]))
            for key, value in results[name]["targets"].items():
                print(f"{key}: {value}")
    publish("trials", results, CASES, draw, draft=options.quick or bool(options.models) or options.seeds < SEEDS)


def runs_of(case: str, models: tuple[str, ...], seeds: int, quick: bool) -> Iterator[Job]:
    """All runs of a case; a seed of every model before the next."""
    for seed, model in itertools.product(range(seeds), CASES[case].iterations):
        if not models or model in models:
            folder = RUNS / f"{'quick-' if quick else ''}trials-{case}-{model}-{seed}"
            spec = CASES[case].spec(model, seed, quick)
            yield Job(case, model, seed, spec, folder, MADE_BY)


# --- the result ------------------------------------------------------------------------------------------------------


def summary(case: str, jobs: list[Job]) -> dict[str, Any]:
    """Every model of one case: its seeds, and over seeds."""
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
    """What one seed gave."""
    run, curve, row = outcome(job)
    forgetful = curve.references["memory_reset"]
    return row | {
        "n_acting_parameters": sum(p.numel() for n, p in run.agent.theta.items() if not n.startswith("critic.")),
        "trial": float(sum(curve.mean)),
        "gain": curve.mean[-1] - curve.mean[0],
        "forgetful_gain": forgetful[-1] - forgetful[0],
    }


def targets(case: Case, models: dict[str, Any]) -> dict[str, Any]:
    """What was to be reached, and whether it was."""
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


def shown(model: str, row: dict[str, Any]) -> dict[str, Any]:
    """A model as a line of the table."""
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
        **{f"% of {name}": interval(scaled(value), 2) for name, value in row["fractions"].items()},
    }


def scaled(value: dict[str, Any]) -> dict[str, Any]:
    """As per cent."""
    return {key: None if number is None else 100 * number for key, number in value.items()}


def draw(results: dict[str, Any], path: Path) -> None:
    """One panel a case: return against the episode, mean over seeds with t-intervals, and references."""
    figure, places = grid(len(results), columns=3)
    for axes, (case, result) in zip(places, results.items(), strict=True):
        for index, (model, row) in enumerate(result["models"].items()):
            x = row["seeds"][0]["evaluation"]["x"]
            draw_means(axes, x, row["by_episode"], model, **line_style(index))
        every = [seed["evaluation"] for row in result["models"].values() for seed in row["seeds"]]
        for name in every[0]["references"]:
            values = np.mean([seed["references"][name] for seed in every], axis=0)
            axes.plot(every[0]["x"], values, label=name, **reference_style(name))
        set_titles(axes, case, f"mean and 95 % t-interval over {SEEDS} seeds")
        axes.set(xlabel="episode of a trial", ylabel="return on test tasks")
        whole_ticks(axes.xaxis)
        legend_below(axes)
    save(figure, path)


if __name__ == "__main__":
    run_main(main, Options, __doc__, draw)
