"""A policy learns to classify a dataset that it has never seen from a few rewards: MAML, fine-tuning, from nothing.

    python -m benchmarks.few_shot --jobs 2      five seeds of each, about two hours; --quick for a look

`few_shot_classification` by default: which of two classes of a real dataset an example is of; an update has 10 examples
and the reward of each. Every run is an ordinary one (results/runs/few_shot-AGENT-MODEL-SEED) of 100 iterations, all
other options the defaults there. All are evaluated on all tasks of the test split, datasets of other groups than those
of training, and the return of an episode of one example is accuracy: 0.5 before the first update.

Accuracy is averaged over seeds and over the tasks of a group of datasets; means and 95 % bootstrap intervals are over
groups, which are what is independent. Differences are paired by group; over seeds they are in the result, too.

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
from benchmarks.shared.runs import Job, check_part, outcome, publish, run_all
from benchmarks.shared.statistics import bootstrapped, differences, interval, over_seeds
from envs.automl.family import shipped_table
from envs.few_shot_classification import FewShotClassification

ENV = "few_shot_classification"
N_SEEDS = 5
REFERENCE = "maml reuploading"
LEARNERS = (REFERENCE, "maml mlp", "finetune reuploading", "finetune mlp", "scratch reuploading", "scratch mlp")
"""An MLP has as many parameters as the circuit's policy, or as near as it comes."""
ITERATIONS = 100
"""Of training [meta-iterations]."""
EXAMPLES, UPDATES = 10, 5
"""Of an update [episodes], and how many of them."""
SHOWN = (0, 1, 3, 5)
"""Updates after which the tables have the accuracy."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS

    learners: tuple[str, ...] = LEARNERS
    """Names of the learners; the reference is always among them."""


def main(options: Options) -> None:
    """Train, evaluate and compare."""
    check_part("few_shot", "learner", options.learners, LEARNERS)
    plan = {
        name: [job(name, seed, options.quick) for seed in range(options.seeds)]
        for name in LEARNERS
        if name in (REFERENCE, *options.learners)
    }
    run_all("few_shot", [each for part in plan.values() for each in part], options.jobs, options.overwrite)
    measured = compared({name: [outcome(each) for each in part] for name, part in plan.items()})
    publish("few_shot", measured, LEARNERS, _draw, draft=options.quick or options.seeds < N_SEEDS)


def job(name: str, seed: int, quick: bool) -> Job:
    """One run, evaluated on all tasks held out."""
    agent, _, model = name.partition(" ")
    spec: Spec = default_spec(ENV, model, agent=agent, seed=seed, iterations=ITERATIONS)
    spec = replace(spec, eval_tasks=envs.make(ENV).n_distinct("test"), eval_episodes=EXAMPLES, eval_steps=UPDATES)
    if quick:
        spec = replace(spec, iterations=2, eval_tasks=10)
    folder = RUNS / f"few_shot-{name.replace(' ', '-')}-{seed}{'-quick' if quick else ''}"
    return Job(ENV, name, seed, spec, folder, "benchmarks.few_shot")


def compared(outcomes: dict[str, list[Any]]) -> dict[str, Any]:
    """Accuracy of each learner, and how far the reference is above it."""
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
    above = {}
    for name in [each for each in outcomes if each != REFERENCE]:
        above[name] = bootstrapped(groups[REFERENCE] - groups[name])
        measured[name]["reference_minus_this"] = above[name]
        measured[name]["reference_minus_this_over_seeds"] = differences(rows[REFERENCE], rows[name])
    print(table([{"accuracy": name, **_columns(part["accuracy"])} for name, part in measured.items()]))
    if above:
        print(table([{"the reference is above": name, **_columns(each)} for name, each in above.items()]))
    return measured


def by_group(per_task: list[list[list[float]]]) -> NDArray[np.float64]:
    """Accuracy [group, update] of groups of datasets, from that of seeds [seed][task][update] on the test tasks."""
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
