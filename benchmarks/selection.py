"""Algorithm selection and hyperparameter tuning on unseen datasets: regret after few evaluations.

    python -m benchmarks.selection --jobs 2      five seeds per learner and family, about an hour; --quick

On `algorithm_selection`, and on `hyperparameter_tuning` with each of its portfolios, a quantum recurrent policy (`rl2`)
is compared with the classical one with as many parameters and with search strategies that need no training.
All are evaluated on the datasets of the test split, whose groups are disjoint from those of training. The metric is the
normalised regret of a dataset after a number of evaluations,

    1 - gain of the best evaluation / gain of the best candidate

which is 0 if the best candidate was evaluated and 1 if there is no gain over the most frequent class. The regret of a
strategy is a mean over its seeds; bootstrap intervals are over datasets, and differences are paired by dataset.

Results: results/selection.json, docs/selection.png.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.evaluation import Curve
from agents.experiment.style import legend_below, line_style, reference_style, set_titles, whole_ticks
from benchmarks.shared.common import RUNS, table
from benchmarks.shared.curves import draw_means, grid, save
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.runs import Job, check_names, outcome, publish, run_all
from benchmarks.shared.statistics import bootstrapped, interval
from envs.automl.lookup_tasks import LookupTasks
from envs.core.registry import ENVS

N_SEEDS = 5
REFERENCE = "rl2 qgru"
CONTROL = "rl2 gru"
BASELINE = "best_single"
MIN_REGRET = 1e-3
"""Lower end of the logarithmic axis: below it, regret is 0 on all but a few datasets."""
TRIALS = 10
"""Trials per dataset and seed, of stochastic strategies."""


@dataclass(frozen=True)
class Part:
    """Family of tasks of the benchmark."""

    env: str
    options: dict[str, Any]
    shown: tuple[int, ...]
    """Numbers of evaluations shown in the table."""
    iterations: int
    """Length of training of the learners [meta-iterations]."""
    strategies: tuple[str, ...]
    """References besides the two learners."""


PARTS = {
    "algorithm_selection": Part(
        "algorithm_selection",
        {},
        (1, 3, 5),
        250,
        ("random_search", "best_single", "portfolio", "gaussian_ucb", "nearest_tasks", "oracle"),
    ),
    **{
        portfolio: Part(
            "hyperparameter_tuning",
            {"portfolio": portfolio},
            (1, 5, 10, 20),
            150,
            ("random_search", "tpe", "portfolio", "gaussian_ucb", "nearest_tasks", "oracle"),
        )
        for portfolio in ("svm", "gradient_boosting")
    },
}
STOCHASTIC = ("random_search", "tpe")
"""Stochastic strategies, which are run with several seeds."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS

    parts: tuple[str, ...] = tuple(PARTS)
    """Families of tasks."""


def main(options: Options) -> None:
    """Train, evaluate and compare all strategies."""
    check_names("selection", "part", options.parts, PARTS)
    plan = {
        name: {strategy: jobs_of(name, strategy, options.seeds, options.quick) for strategy in strategies_of(name)}
        for name in options.parts
    }
    run_all(
        "selection",
        [job for part in plan.values() for each in part.values() for job in each],
        options.jobs,
        options.overwrite,
    )
    measured = {name: compare_strategies(name, part) for name, part in plan.items()}
    publish("selection", measured, PARTS, _draw, draft=options.quick or options.seeds < N_SEEDS)


def strategies_of(part: str) -> tuple[str, ...]:
    """Return the names of the strategies of a part, learners first."""
    return (REFERENCE, CONTROL, *PARTS[part].strategies)


def jobs_of(part: str, strategy: str, seeds: int, quick: bool) -> list[Job]:
    """Return the runs of a strategy, one per seed if it is stochastic."""
    agent, _, model = strategy.partition(" ")
    env = PARTS[part].env
    config = ENVS.load(env).Config(**PARTS[part].options)
    jobs = []
    for seed in range(seeds if model or agent in STOCHASTIC else 1):
        spec = Spec.default(env=env, agent=agent, model=model, env_config=config, seed=seed, threads=1)
        if strategy == CONTROL:
            spec = replace(spec, model_config=matched_config(spec))
        spec = replace(spec, agent_config=replace(spec.agent_config, episodes=1))  # the default of the oracle is larger
        spec = replace(spec, iterations=PARTS[part].iterations, eval_tasks=1000, eval_episodes=TRIALS)
        if quick:
            spec = replace(spec, iterations=2, eval_episodes=2)
        folder = RUNS / f"selection-{part}-{strategy.replace(' ', '-')}-{seed}{'-quick' if quick else ''}"
        jobs.append(Job(env, strategy, seed, spec, folder, "benchmarks.selection"))
    return jobs


def matched_config(spec: Spec) -> Any:
    """Return the options of the classical model, matched in parameters to the reference."""
    quantum_spec = Spec.default(
        env=spec.env, agent="rl2", model=REFERENCE.partition(" ")[2], env_config=spec.env_config
    )
    _, quantum = build(quantum_spec)
    # The budget is that of the actor; the critic has as many parameters.
    return replace(spec.model_config, budget=quantum.policy.n_parameters // 2)


def regrets(rows: list[Curve], best: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normalised regret [dataset, evaluation], averaged over seeds."""
    gains = np.mean([row.per_task for row in rows], axis=0)
    return 1 - gains / best[:, None]


def compare_strategies(name: str, part: dict[str, list[Job]]) -> dict[str, Any]:
    """Compare the strategies of a family: their regrets, and paired differences from the reference."""
    measured: dict[str, Any] = {}
    values: dict[str, NDArray[np.float64]] = {}
    for strategy, jobs in part.items():
        found = [outcome(job) for job in jobs]
        family = found[0][0].distribution
        curves = [curve for _, curve, _ in found]
        values[strategy] = regrets(curves, best_gain(family, len(curves[0].per_task)))
        measured[strategy] = {
            "regret": bootstrapped(values[strategy]),
            "regret_by_dataset": dict(zip(dataset_names(family), values[strategy].round(6).tolist(), strict=True)),
            "seeds": [row for *_, row in found],
        }
    for strategy in part:
        if strategy != REFERENCE:
            measured[strategy]["reference_minus_this"] = bootstrapped(values[REFERENCE] - values[strategy])
    shown = PARTS[name].shown
    print(table([{name: strategy, **_columns(each["regret"], shown)} for strategy, each in measured.items()]))
    others = {strategy: each["reference_minus_this"] for strategy, each in measured.items() if strategy != REFERENCE}
    print(table([{f"{REFERENCE} minus": strategy, **_columns(each, shown)} for strategy, each in others.items()]))
    return measured


def dataset_names(family: LookupTasks) -> tuple[str, ...]:
    """Return the names of the test datasets in evaluation order."""
    tasks = family.sample(family.n_distinct("test"), "test")
    return tuple(family.table.names[row] for row in tasks[family.parameter].long().tolist())


def best_gain(family: LookupTasks, n_tasks: int) -> NDArray[np.float64]:
    """Return the gain of the best candidate on each test dataset in evaluation order."""
    best: NDArray[np.float64] = family.improvement_of(family.sample(n_tasks, "test")).max(1).values.numpy()
    return best


def _columns(values: list[dict[str, Any]], shown: tuple[int, ...]) -> dict[str, str]:
    return {f"after {n} evaluations": interval(values[n - 1], 3) for n in shown}


def _draw(results: dict[str, Any], path: Path) -> None:
    figure, panel_axes = grid(len(results), columns=len(results), sharey=True)
    # A strategy has the same style in every panel; the legend of a panel lists only its strategies.
    styled = list(
        dict.fromkeys(
            strategy for part in results.values() for strategy in part if strategy not in ("oracle", BASELINE)
        )
    )
    for axes, (name, part) in zip(panel_axes, results.items(), strict=True):
        for strategy, each in part.items():
            if strategy == "oracle":  # 0 by definition
                continue
            if strategy == BASELINE:
                style = reference_style(strategy)
            else:
                style = line_style(styled.index(strategy))
                style |= {} if strategy in (REFERENCE, CONTROL) else {"linestyle": "--", "marker": ""}
            draw_means(axes, range(1, len(each["regret"]) + 1), each["regret"], strategy, **style)
        set_titles(axes, name, "mean over test datasets and its 95 % bootstrap interval")
        axes.set(xlabel="evaluations", yscale="log", ylim=(MIN_REGRET, 1))
        whole_ticks(axes.xaxis)
        legend_below(axes)
    panel_axes[0].set_ylabel("normalised regret")
    save(figure, path)


if __name__ == "__main__":
    run_main(main, Options, __doc__, _draw)
