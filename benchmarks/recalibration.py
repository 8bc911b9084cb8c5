"""Recalibration of a drifted qubit from few pulses: adapted policies, unadapted ones, and learning from scratch.

    python -m benchmarks.recalibration --jobs 2      five seeds each, about an hour; --quick to try it

The study is benchmarks/studies/recalibration.toml: prepare |+> on a qubit with unknown detuning, drive and decay; the
return is the fidelity. Every agent is evaluated on the same 100 test tasks with the same number of pulses, 40 per
update, and the same policies again with 10. `cross_entropy` and `scratch` learn each task from scratch, by pulse search
and by policy gradient; `grape` knows the task and is an upper bound. Gains over the unadapted policy and over agents
with as many pulses are paired by seed and task.

Results: results/recalibration.json, docs/recalibration.png.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.compare.groups import RunGroup
from agents.experiment.style import line_style, place_legend, reference_style, set_titles
from benchmarks.shared.common import set_up, table
from benchmarks.shared.curves import draw_means, grid, save
from benchmarks.shared.estimates import differences, means, text
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.publish import publish
from benchmarks.shared.studies import evaluated_again, returns, seed_rows, train
from qrl.common.pictures import PANEL

N_SEEDS = 5
REFERENCE = "maml reuploading"
LEARNERS = (
    REFERENCE,
    "maml mlp",
    "finetune reuploading",
    "sb3_ppo reuploading",
    "scratch reuploading",
    "cross_entropy",
    "grape",
)
AGAINST = ("maml mlp", "scratch reuploading", "cross_entropy")
"""Classical control, and agents that learn from scratch."""
FEW_PULSES = 10
"""Pulses per update in the second evaluation; the first uses those of the runs [episodes]."""
SUFFIXES = ("", f", {FEW_PULSES} pulses an update")
"""Suffixes of the parts of the two evaluations."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS


def main(options: Options) -> None:
    """Train, evaluate and compare all agents."""
    set_up(threads=1)
    groups = train("recalibration", options)
    regular = {name: groups[name] for name in LEARNERS}
    with_few = {
        name: evaluated_again(group, lambda run: run.evaluate(tasks=run.spec.eval_tasks, episodes=FEW_PULSES))
        for name, group in regular.items()
    }
    evaluations = zip(SUFFIXES, (regular, with_few), strict=True)
    measured = {name + suffix: each for suffix, part in evaluations for name, each in compare_learners(part).items()}
    known = [name + suffix for suffix in SUFFIXES for name in LEARNERS]
    publish("recalibration", measured, known, _draw, draft=options.quick or options.seeds < N_SEEDS)


def compare_learners(groups: dict[str, RunGroup]) -> dict[str, Any]:
    """Compare learners with equal numbers of pulses: returns, and gains of the reference."""
    values = {name: returns(group) for name, group in groups.items()}
    measured: dict[str, Any] = {
        name: {"returns": means(values[name]), "seeds": seed_rows(group)} for name, group in groups.items()
    }
    adapted = values[REFERENCE]
    measured[REFERENCE]["gain"] = differences(adapted, np.broadcast_to(adapted[..., :1], adapted.shape))
    gains = {"no adaptation": measured[REFERENCE]["gain"]}
    for name in AGAINST:
        measured[name]["reference_minus_this"] = gains[name] = differences(adapted, values[name])
    pulses = groups[REFERENCE].runs[0].curve.episodes[1]
    heading = f"{pulses} pulses per update"
    print(table([{heading: name, **_columns(part["returns"])} for name, part in measured.items()]))
    print(table([{"gain of the reference over": name, **_columns(each)} for name, each in gains.items()]))
    return measured


def _columns(returns: list[dict[str, Any]]) -> dict[str, str]:
    return {f"after {x} updates": text(value, 3) for x, value in enumerate(returns)}


def _draw(results: dict[str, Any], path: Path) -> None:
    figure, panel_axes = grid(len(SUFFIXES), columns=len(SUFFIXES), size=PANEL, sharey=True)
    for axes, suffix in zip(panel_axes, SUFFIXES, strict=True):
        for index, name in enumerate(LEARNERS):
            if (part := results.get(f"{name}{suffix}")) is None:
                continue
            pulses = part["seeds"][0]["evaluation"]["episodes"]
            if name == "grape":
                fidelity = [each["mean"] for each in part["returns"]]
                axes.plot(pulses, fidelity, label="grape (knows the task)", **reference_style("oracle"))
            else:
                draw_means(axes, pulses, part["returns"], name, **line_style(index))
        set_titles(axes, f"{pulses[1]} pulses per update", f"mean of {N_SEEDS} seeds and its 95 % interval")
        axes.set(xlabel="experience in the task [pulses]", xticks=pulses)
        place_legend(axes)
    panel_axes[0].set_ylabel("fidelity on test tasks")
    save(figure, path)


if __name__ == "__main__":
    run_main(main, Options, __doc__, _draw)
