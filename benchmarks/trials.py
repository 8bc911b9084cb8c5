"""RL^2 with quantum recurrent cells and their classical controls, against exact optima.

    python -m benchmarks.trials --jobs 2                    every case, model and seed
    python -m benchmarks.trials --cases bandit-10           a part; --quick to try it

A case is a study, benchmarks/studies/trials-CASE.toml. results/trials.json contains the return per episode of each seed
on the same test tasks, with references and the same agent whose memory is cleared after every episode; docs/trials.png
is drawn from it. The classical models have more parameters than the quantum ones. docs/benchmarks.md describes how the
defaults were chosen, on train tasks from seed 1000.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents.compare.groups import RunGroup
from agents.compare.statistics import mean
from agents.experiment.api import load
from agents.experiment.style import legend_below, line_style, reference_style, set_titles, whole_ticks
from benchmarks.shared.common import table
from benchmarks.shared.curves import draw_means, grid, save
from benchmarks.shared.estimates import means, plain, single, text
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.publish import check_names, publish
from benchmarks.shared.studies import returns, seed_rows, train

SEEDS = 5
QUICK = ("--iterations", "2", "--eval-tasks", "4", "--eval-episodes", "2", "--agent.meta-batch", "8")
"""Options of a quick check."""


@dataclass(frozen=True)
class Case:
    """Targets of a study."""

    least: dict[str, float] = field(default_factory=dict)
    """Target return of a trial, by model."""
    rises: bool = False
    """Whether the return should rise from the first to the last episode, but not with the memory cleared."""


OPTIMUM = 6.660
"""Bayes-optimal return of ten pulls of five arms."""
GREEDY = 75.7
"""Return of 100 pulls of five arms with the greedy policy, ties broken at random; Thompson sampling: 74.8."""

CASES = {
    "bandit-10": Case({"qgru": 0.98 * OPTIMUM, "gru": 6.61}),
    "navigation": Case(rises=True),
    "cartpole_target": Case(rises=True),
    "bandit-100": Case({"qgru": GREEDY}),
    "tabular_mdp": Case({"qgru": 138.1}),
}


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = SEEDS

    cases: tuple[str, ...] = tuple(CASES)
    """Names of the cases."""


def main(options: Options) -> None:
    """Train, evaluate and report.

    Complete cases replace their part of the committed result; incomplete ones go to results/runs.
    """
    check_names("benchmarks.trials", "case", options.cases, CASES)
    results = {}
    for name in options.cases:
        groups = train(f"trials-{name}", options, QUICK)
        models = {group.runs[0].curve.model: summary(group) for group in groups.values()}
        results[name] = {"models": models, "targets": targets(CASES[name], models)}
        print(f"\n{name}\n" + table([table_row(model, row) for model, row in models.items()]))
        for key, value in results[name]["targets"].items():
            print(f"{key}: {value}")
    publish("trials", results, CASES, draw, draft=options.quick or options.seeds < SEEDS)


def summary(group: RunGroup) -> dict[str, Any]:
    """Summarise a model: each seed, and statistics over seeds and tasks; those of single numbers are over seeds."""
    episodes, curves = returns(group), [run.curve for run in group.runs]
    without_memory = [curve.references["memory_reset"] for curve in curves]
    parameters = load(group.runs[0].path).agent.theta.items()
    return {
        "n_acting_parameters": sum(values.numel() for name, values in parameters if not name.startswith("critic.")),
        "seeds": seed_rows(group),
        "trial": plain(mean(episodes.sum(-1))),
        "by_episode": means(episodes),
        "gain": plain(mean(episodes[..., -1] - episodes[..., 0])),
        "forgetful_gain": single([values[-1] - values[0] for values in without_memory]),
        "fractions": {
            name: single([curve.fractions[name][0] for curve in curves])
            for name in curves[0].fractions
            if all(name in curve.fractions for curve in curves)
        },
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
        "acting parameters": row["n_acting_parameters"],
        "all": seeds[0]["n_policy_parameters"],
        "seconds": float(np.median([seed["training_seconds"] for seed in seeds])),
        "env steps": int(np.median([seed["env_steps"] for seed in seeds])),
        "return of a trial": text(row["trial"], 3),
        "gain over episodes": text(row["gain"], 3),
        "without memory": text(row["forgetful_gain"], 3),
        **{f"% of {name}": text(per_cent(value), 2) for name, value in row["fractions"].items()},
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
        set_titles(axes, case, f"mean of {len(evaluations) // len(result['models'])} seeds and its 95 % interval")
        axes.set(xlabel="episode of a trial", ylabel="return on test tasks")
        whole_ticks(axes.xaxis)
        legend_below(axes)
    save(figure, path)


if __name__ == "__main__":
    run_main(main, Options, __doc__, draw)
