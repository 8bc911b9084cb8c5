"""Algorithm selection and hyperparameter tuning on unseen datasets: regret after few evaluations.

    python -m benchmarks.selection --jobs 2      ten seeds per learner and family, about two hours; --quick

On `algorithm_selection`, and on `hyperparameter_tuning` with two of its portfolios, a quantum recurrent policy (`rl2`)
is compared with the classical one with as many parameters and with search strategies that need no training: the studies
benchmarks/studies/selection-*.toml. All are evaluated on the datasets of the test split, whose groups are disjoint from
those of training. The metric is the normalised regret of a dataset after a number of evaluations,

    1 - gain of the best evaluation / gain of the best candidate

which is 0 if the best candidate was evaluated and 1 if there is no gain over the most frequent class. The regret of a
strategy is a mean over its seeds; bootstrap intervals are over datasets, and differences are paired by dataset. That of
the quantum and the classical policy also has an interval over seeds and datasets.

Results: results/selection.json, docs/selection.png.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from agents.compare.groups import RunGroup
from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.style import legend_below, line_style, reference_style, set_titles, whole_ticks
from benchmarks.shared.common import table
from benchmarks.shared.curves import draw_means, grid, save
from benchmarks.shared.estimates import bootstrapped, differences, text
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.publish import check_names, publish
from benchmarks.shared.studies import returns, seed_rows, train
from envs.automl.lookup_tasks import LookupTasks

N_SEEDS = 10
REFERENCE = "rl2 qgru"
CONTROL = "rl2 gru"
BASELINE = "best_single"
MIN_REGRET = 1e-3
"""Lower end of the logarithmic axis: below it, regret is 0 on all but a few datasets."""
SHOWN = {"algorithm_selection": (1, 3, 5), "svm": (1, 5, 10, 20), "gradient_boosting": (1, 5, 10, 20)}
"""Numbers of evaluations shown in the table of each part."""
QUICK = ("--iterations", "2", "--eval-episodes", "2")
"""Options of a quick check."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS

    parts: tuple[str, ...] = tuple(SHOWN)
    """Families of tasks: the studies selection-PART."""


def main(options: Options) -> None:
    """Train, evaluate and compare all strategies."""
    check_names("selection", "part", options.parts, SHOWN)
    measured = {}
    for part in options.parts:
        groups = train(f"selection-{part}", options, QUICK)
        measured[part] = compare_strategies(part, groups)
    publish("selection", measured, SHOWN, _draw, draft=options.quick or options.seeds < N_SEEDS)


def regrets(group: RunGroup, best: Float[np.ndarray, " dataset"]) -> Float[np.ndarray, "seed dataset evaluation"]:
    """Return the normalised regret."""
    return 1 - returns(group) / best[:, None]


def compare_strategies(name: str, part: dict[str, RunGroup]) -> dict[str, Any]:
    """Compare the strategies of a family: their regrets, and paired differences from the reference."""
    family, _ = build(Spec.from_json(part[REFERENCE].runs[0].folder.spec))
    datasets, best = dataset_names(family), best_gain(family, family.n_distinct("test"))
    by_seed = {strategy: regrets(group, best) for strategy, group in part.items()}
    values = {strategy: each.mean(0) for strategy, each in by_seed.items()}
    measured: dict[str, Any] = {
        strategy: {
            "regret": bootstrapped(values[strategy]),
            "regret_by_dataset": dict(zip(datasets, values[strategy].round(6).tolist(), strict=True)),
            "seeds": seed_rows(group),
        }
        for strategy, group in part.items()
    }
    for strategy in part:
        if strategy != REFERENCE:
            measured[strategy]["reference_minus_this"] = bootstrapped(values[REFERENCE] - values[strategy])
    over_seeds = differences(by_seed[REFERENCE], by_seed[CONTROL])
    measured[CONTROL]["reference_minus_this_over_seeds"] = over_seeds
    shown = SHOWN[name]
    print(table([{name: strategy, **_columns(each["regret"], shown)} for strategy, each in measured.items()]))
    others = {strategy: each["reference_minus_this"] for strategy, each in measured.items() if strategy != REFERENCE}
    print(table([{f"{REFERENCE} minus": strategy, **_columns(each, shown)} for strategy, each in others.items()]))
    print(table([{"over seeds and datasets": f"{REFERENCE} minus {CONTROL}", **_columns(over_seeds, shown)}]))
    return measured


def dataset_names(family: LookupTasks) -> tuple[str, ...]:
    """Return the names of the test datasets in evaluation order."""
    tasks = family.sample(family.n_distinct("test"), "test")
    return tuple(family.table.names[row] for row in tasks[family.parameter].long().tolist())


def best_gain(family: LookupTasks, n_tasks: int) -> Float[np.ndarray, " dataset"]:
    """Return the gain of the best candidate on each test dataset in evaluation order."""
    best: np.ndarray = family.improvement_of(family.sample(n_tasks, "test")).max(1).values.numpy()
    return best


def _columns(values: list[dict[str, Any]], shown: tuple[int, ...]) -> dict[str, str]:
    return {f"after {n} evaluations": text(values[n - 1], 3) for n in shown}


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
