"""Few-shot classification of unseen datasets from rewards: MAML, fine-tuning, and learning from scratch.

    python -m benchmarks.few_shot --jobs 2      five seeds per learner, about two hours; --quick to try it

The study is benchmarks/studies/few_shot.toml: classify examples into two classes of a real dataset; an update uses 10
examples and their rewards. All runs are evaluated on all tasks of the test split, whose groups of datasets are disjoint
from those of training. An episode is one example, so its mean return is the accuracy: 0.5 before the first update.

Accuracy is averaged over seeds and over the tasks of a group of datasets; means and 95 % bootstrap intervals are over
groups, which are the independent units. Differences are paired by group. The result also has means and differences with
intervals over seeds and tasks.

Results: results/few_shot.json, docs/few_shot.png.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import envs
from agents.compare.groups import RunGroup
from agents.experiment.style import REFERENCE_COLOUR, line_style, place_legend, set_titles, whole_ticks
from benchmarks.shared.common import table
from benchmarks.shared.curves import draw_means, grid, save
from benchmarks.shared.estimates import bootstrapped, differences, means, text
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.publish import publish
from benchmarks.shared.studies import returns, seed_rows, train
from envs.automl.family import shipped_table
from envs.few_shot_classification import FewShotClassification
from qrl.common.pictures import PANEL

ENV = "few_shot_classification"
N_SEEDS = 5
REFERENCE = "maml reuploading"
LEARNERS = (REFERENCE, "maml mlp", "finetune reuploading", "finetune mlp", "scratch reuploading", "scratch mlp")
"""Names of the learners, in the order of tables and figures."""
QUICK = ("--iterations", "2", "--eval-tasks", "10")
"""Options of a quick check."""
EXAMPLES, UPDATES = 10, 5
"""Examples per update [episodes], and number of updates."""
SHOWN = (0, 1, 3, 5)
"""Numbers of updates shown in the tables."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS


def main(options: Options) -> None:
    """Train, evaluate and compare all learners."""
    groups = train("few_shot", options, QUICK)
    measured = compare_learners({name: groups[name] for name in LEARNERS})
    publish("few_shot", measured, LEARNERS, _draw, draft=options.quick or options.seeds < N_SEEDS)


def compare_learners(runs: dict[str, RunGroup]) -> dict[str, Any]:
    """Return the accuracy of each learner and the paired difference of the reference from it."""
    accuracies = {name: returns(part) for name, part in runs.items()}
    groups = {name: by_group(part.mean(0)) for name, part in accuracies.items()}
    measured: dict[str, Any] = {
        name: {
            "accuracy": bootstrapped(groups[name]),
            "accuracy_by_group": groups[name].round(6).tolist(),
            "over_seeds_and_tasks": means(accuracies[name]),
            "seeds": seed_rows(part),
        }
        for name, part in runs.items()
    }
    reference_minus = {}
    for name in [each for each in runs if each != REFERENCE]:
        reference_minus[name] = bootstrapped(groups[REFERENCE] - groups[name])
        measured[name]["reference_minus_this"] = reference_minus[name]
        over_both = differences(accuracies[REFERENCE], accuracies[name])
        measured[name]["reference_minus_this_over_seeds_and_tasks"] = over_both
    print(table([{"accuracy": name, **_columns(part["accuracy"])} for name, part in measured.items()]))
    print(table([{"reference minus": name, **_columns(each)} for name, each in reference_minus.items()]))
    return measured


def by_group(per_task: Float[np.ndarray, "task x"]) -> Float[np.ndarray, "group x"]:
    """Average accuracy on test tasks over groups of datasets."""
    family = envs.make(ENV)
    assert isinstance(family, FewShotClassification)
    known = shipped_table()
    group_of = dict(zip(known.datasets, known.groups, strict=True))
    tasks = family.sample(len(per_task), "test").pair.long().tolist()
    names = np.array([group_of[family.dataset(pair)] for pair in tasks])
    return np.array([per_task[names == name].mean(0) for name in dict.fromkeys(names.tolist())])


def _columns(accuracy: list[dict[str, Any]]) -> dict[str, str]:
    return {f"after {x} updates": text(accuracy[x], 3) for x in SHOWN}


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
