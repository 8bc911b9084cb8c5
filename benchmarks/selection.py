"""Choosing and tuning algorithms on datasets never seen: how far from the best there is, after a few tries.

    python -m benchmarks.selection --jobs 2      five seeds of each learner in each family, about an hour; --quick

In `algorithm_selection`, and in `hyperparameter_tuning` with each of its portfolios, a trained selector is a quantum
recurrent policy (`rl2`); beside it the classical one with as many parameters, and players that need no training or no
chance. All are evaluated on the datasets of the test split, whose groups nobody learned from. What counts is the
normalised regret of a dataset after a number of tries,

    1 - gain of the best try / gain of the best candidate

0 if the best was tried, 1 if nothing was gained on the most frequent class. A player's is a mean over its seeds;
intervals are over datasets, by bootstrap, and differences are paired by dataset.

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
from benchmarks.shared.runs import Job, check_part, outcome, publish, run_all
from benchmarks.shared.statistics import bootstrapped, interval
from envs.automl.lookup_tasks import LookupTasks
from envs.core.registry import ENVS

N_SEEDS = 5
REFERENCE = "rl2 qgru"
CONTROL = "rl2 gru"
BASELINE = "best_single"
LEAST_REGRET = 1e-3
"""Lower end of the axis: below it, regret is 0 on all but a few datasets, and its logarithm says nothing."""
TRIALS = 10
"""Of each dataset and seed, of players whose tries are of chance."""


@dataclass(frozen=True)
class Part:
    """A family of the benchmark."""

    env: str
    options: dict[str, Any]
    shown: tuple[int, ...]
    """Tries after which the regret is in the table."""
    iterations: int
    """Of training the learners [meta-iterations]."""
    players: tuple[str, ...]
    """Beside the two learners."""


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
DRAWS = ("random_search", "tpe")
"""Players whose tries are of chance, so that their seeds differ."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS

    parts: tuple[str, ...] = tuple(PARTS)
    """Families of tasks."""


def main(options: Options) -> None:
    """Train, evaluate and compare."""
    check_part("selection", "part", options.parts, PARTS)
    plan = {
        name: {player: jobs_of(name, player, options.seeds, options.quick) for player in players_of(name)}
        for name in options.parts
    }
    run_all(
        "selection",
        [job for part in plan.values() for each in part.values() for job in each],
        options.jobs,
        options.overwrite,
    )
    measured = {name: compared(name, part) for name, part in plan.items()}
    publish("selection", measured, PARTS, _draw, draft=options.quick or options.seeds < N_SEEDS)


def players_of(part: str) -> tuple[str, ...]:
    """Names, the learners first."""
    return (REFERENCE, CONTROL, *PARTS[part].players)


def jobs_of(part: str, player: str, seeds: int, quick: bool) -> list[Job]:
    """The runs of a player, one for each seed if there is chance in it."""
    agent, _, model = player.partition(" ")
    env = PARTS[part].env
    config = ENVS.load(env).Config(**PARTS[part].options)
    made = []
    for seed in range(seeds if model or agent in DRAWS else 1):
        spec = Spec.default(env=env, agent=agent, model=model, env_config=config, seed=seed, threads=1)
        if player == CONTROL:
            spec = replace(spec, model_config=matched(spec))
        spec = replace(spec, agent_config=replace(spec.agent_config, episodes=1))  # the oracle's are more by default
        spec = replace(spec, iterations=PARTS[part].iterations, eval_tasks=1000, eval_episodes=TRIALS)
        if quick:
            spec = replace(spec, iterations=2, eval_episodes=2)
        folder = RUNS / f"selection-{part}-{player.replace(' ', '-')}-{seed}{'-quick' if quick else ''}"
        made.append(Job(env, player, seed, spec, folder, "benchmarks.selection"))
    return made


def matched(spec: Spec) -> Any:
    """The classical model's options for as many parameters as the reference's policy has."""
    quantum_spec = Spec.default(
        env=spec.env, agent="rl2", model=REFERENCE.partition(" ")[2], env_config=spec.env_config
    )
    _, quantum = build(quantum_spec)
    # The budget is of the actor; the critic has another of as many.
    return replace(spec.model_config, budget=quantum.policy.n_parameters // 2)


def regrets(rows: list[Curve], best: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normalised regret [dataset, try], a mean over seeds."""
    gained = np.mean([row.per_task for row in rows], axis=0)
    return 1 - gained / best[:, None]


def compared(name: str, part: dict[str, list[Job]]) -> dict[str, Any]:
    """What there is to say of a family: each player's regret, and the reference's less each other's."""
    measured: dict[str, Any] = {}
    values: dict[str, NDArray[np.float64]] = {}
    for player, jobs in part.items():
        found = [outcome(job) for job in jobs]
        family = found[0][0].distribution
        curves = [curve for _, curve, _ in found]
        values[player] = regrets(curves, best_of(family, len(curves[0].per_task)))
        measured[player] = {
            "regret": bootstrapped(values[player]),
            "regret_by_dataset": dict(zip(names_of(family), values[player].round(6).tolist(), strict=True)),
            "seeds": [row for *_, row in found],
        }
    for player in part:
        if player != REFERENCE:
            measured[player]["reference_minus_this"] = bootstrapped(values[REFERENCE] - values[player])
    shown = PARTS[name].shown
    print(table([{name: player, **_columns(each["regret"], shown)} for player, each in measured.items()]))
    others = {player: each["reference_minus_this"] for player, each in measured.items() if player != REFERENCE}
    print(table([{f"{REFERENCE} less": player, **_columns(each, shown)} for player, each in others.items()]))
    return measured


def names_of(family: LookupTasks) -> tuple[str, ...]:
    """The datasets of the test split, in the order of an evaluation."""
    tasks = family.sample(family.n_distinct("test"), "test")
    return tuple(family.table.names[row] for row in tasks[family.parameter].long().tolist())


def best_of(family: LookupTasks, n_tasks: int) -> NDArray[np.float64]:
    """What the best candidate gains on each dataset of the test split, in the order of an evaluation."""
    best: NDArray[np.float64] = family.improvement_of(family.sample(n_tasks, "test")).max(1).values.numpy()
    return best


def _columns(values: list[dict[str, Any]], shown: tuple[int, ...]) -> dict[str, str]:
    return {f"after {n} tries": interval(values[n - 1], 3) for n in shown}


def _draw(results: dict[str, Any], path: Path) -> None:
    figure, places = grid(len(results), columns=len(results), sharey=True)
    # A player looks the same in every panel; each panel's legend has the players that are in it.
    players = list(
        dict.fromkeys(player for part in results.values() for player in part if player not in ("oracle", BASELINE))
    )
    for axes, (name, part) in zip(places, results.items(), strict=True):
        for player, each in part.items():
            if player == "oracle":  # 0 by definition
                continue
            if player == BASELINE:
                style = reference_style(player)
            else:
                style = line_style(players.index(player))
                style |= {} if player in (REFERENCE, CONTROL) else {"linestyle": "--", "marker": ""}
            draw_means(axes, range(1, len(each["regret"]) + 1), each["regret"], player, **style)
        set_titles(axes, name, "mean over test datasets and its 95 % bootstrap interval")
        axes.set(xlabel="evaluations", yscale="log", ylim=(LEAST_REGRET, 1))
        whole_ticks(axes.xaxis)
        legend_below(axes)
    places[0].set_ylabel("normalised regret")
    save(figure, path)


if __name__ == "__main__":
    run_main(main, Options, __doc__, _draw)
