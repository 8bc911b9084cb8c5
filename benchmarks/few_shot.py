"""Few-shot classification of unseen datasets from rewards: MAML, fine-tuning, and learning from scratch.

    python -m benchmarks.few_shot --jobs 2      five seeds per learner, about two hours; --quick to try it

`few_shot_classification` with default options: classify examples into two classes of a real dataset; an update uses 10
examples and their rewards. Each run is a regular training run (results/runs/few_shot-AGENT-MODEL-SEED) of 100
iterations, with defaults for all other options. All are evaluated on all tasks of the test split, whose groups of
datasets are disjoint from those of training. An episode is one example, so its mean return is the accuracy: 0.5 before
the first update.

Accuracy is averaged over seeds and over the tasks of a group of datasets; means and 95 % bootstrap intervals are over
groups, which are the independent units. Differences are paired by group; the result also has those over seeds.

Results: results/few_shot.json, docs/few_shot.png.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import envs
from agents.core.spec import Spec
from agents.experiment.style import PANEL, REFERENCE_COLOUR, line_style, place_legend, set_titles, whole_ticks
from benchmarks.shared.common import RUNS, default_spec, table
from benchmarks.shared.curves import draw_means, grid, save
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.runs import Job, check_names, outcome, publish, run_all
from benchmarks.shared.statistics import bootstrapped, differences, interval, over_seeds
from envs.automl.family import shipped_table
from envs.few_shot_classification import FewShotClassification

ENV = "few_shot_classification"
N_SEEDS = 5
REFERENCE = "maml reuploading"
LEARNERS = (REFERENCE, "maml mlp", "finetune reuploading", "finetune mlp", "scratch reuploading", "scratch mlp")
"""Names of the learners; the MLP is matched as closely as possible in parameters to the quantum policy."""
ITERATIONS = 100
"""Length of training [meta-iterations]."""
EXAMPLES, UPDATES = 10, 5
"""Examples per update [episodes], and number of updates."""
SHOWN = (0, 1, 3, 5)
"""Numbers of updates shown in the tables."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS

    learners: tuple[str, ...] = LEARNERS
    """Names of the learners; the reference is always included."""


def main(options: Options) -> None:
    """Train, evaluate and compare all learners."""
    check_names("few_shot", "learner", options.learners, LEARNERS)
    plan = {
        name: [job(name, seed, options.quick) for seed in range(options.seeds)]
        for name in LEARNERS
        if name in (REFERENCE, *options.learners)
    }
    run_all("few_shot", [each for part in plan.values() for each in part], options.jobs, options.overwrite)
    measured = compare_learners({name: [outcome(each) for each in part] for name, part in plan.items()})
    publish("few_shot", measured, LEARNERS, _draw, draft=options.quick or options.seeds < N_SEEDS)


def job(name: str, seed: int, quick: bool) -> Job:
    """Return the job of a run, evaluated on all held-out tasks."""
    agent, _, model = name.partition(" ")
    spec: Spec = default_spec(ENV, model, agent=agent, seed=seed, iterations=ITERATIONS)
    spec = replace(spec, eval_tasks=envs.make(ENV).n_distinct("test"), eval_episodes=EXAMPLES, eval_steps=UPDATES)
    if quick:
        spec = replace(spec, iterations=2, eval_tasks=10)
    folder = RUNS / f"few_shot-{name.replace(' ', '-')}-{seed}{'-quick' if quick else ''}"
    return Job(ENV, name, seed, spec, folder, "benchmarks.few_shot")


def compare_learners(outcomes: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the accuracy of each learner and the paired difference of the reference from it."""
    groups = {name: by_group([curve.per_task for _, curve, _ in part]) for name, part in outcomes.items()}
    rows = {name: [row for *_, row in part] for name, part in outcomes.items()}
    measured: dict[str, Any] = {
        name: {
            "accuracy": bootstrapped(groups[name]),
            "accuracy_by_group": groups[name].round(6).tolist(),
            "over_seeds": over_seeds(rows[name]),
            "seeds": rows[name],
        }
        for name in outcomes
    }
    reference_minus = {}
    for name in [each for each in outcomes if each != REFERENCE]:
        reference_minus[name] = bootstrapped(groups[REFERENCE] - groups[name])
        measured[name]["reference_minus_this"] = reference_minus[name]
        measured[name]["reference_minus_this_over_seeds"] = differences(rows[REFERENCE], rows[name])
    print(table([{"accuracy": name, **_columns(part["accuracy"])} for name, part in measured.items()]))
    if reference_minus:
        print(table([{"reference minus": name, **_columns(each)} for name, each in reference_minus.items()]))
    return measured


def by_group(per_task: list[list[list[float]]]) -> NDArray[np.float64]:
    """Average accuracy on test tasks [seed][task][update] over seeds and groups of datasets: [group, update]."""
    mean = np.mean(per_task, axis=0)
    family = envs.make(ENV)
    assert isinstance(family, FewShotClassification)
    known = shipped_table()
    group_of = dict(zip(known.datasets, known.groups, strict=True))
    tasks = family.sample(len(mean), "test").pair.long().tolist()
    names = np.array([group_of[family.dataset(pair)] for pair in tasks])
    return np.array([mean[names == name].mean(0) for name in dict.fromkeys(names.tolist())])


def _columns(accuracy: list[dict[str, Any]]) -> dict[str, str]:
    return {f"after {x} updates": interval(accuracy[x], 3) for x in SHOWN}


def _draw(results: dict[str, Any], path: Path) -> None:
    figure, (axes,) = grid(1, columns=1, size=PANEL)
    for index, (name, part) in enumerate(results.items()):
        style = {"linestyle": "--"} if name.endswith(" mlp") else {}
        draw_means(axes, range(UPDATES + 1), part["accuracy"], name, **line_style(index), **style)
    axes.axhline(0.5, color=REFERENCE_COLOUR, linewidth=1.2, linestyle=":", label="at random")
    set_titles(axes, ENV, "mean over groups of test datasets and its 95 % bootstrap interval")
    axes.set(xlabel=f"gradient steps of {EXAMPLES} examples each", ylabel="accuracy [fraction]")
    whole_ticks(axes.xaxis)
    place_legend(axes)
    save(figure, path)


if __name__ == "__main__":
    run_main(main, Options, __doc__, _draw)
