"""A drifted qubit is calibrated again in a few tries: adapted policies, unadapted ones, and starting from nothing.

    python -m benchmarks.recalibration --jobs 2      five seeds of each, about an hour; --quick for a look

`qubit_control` by default: one qubit whose detuning, drive and decay are unknown is to be brought to |+>, and the
return is the fidelity. Every run is an ordinary one (results/runs/recalibration-AGENT-MODEL-SEED), all options
defaults; every agent has the same 100 test tasks and the same number of tries, 40 pulses an update, and again the same
policies with 10. `cross_entropy` and `scratch` start from nothing in each task, by search for a pulse and by policy
gradient; `grape` is told the task, and bounds what there is to be had. Gains are over the unadapted policy, and over
those with as many tries, paired by seed.

Results: results/recalibration.json, docs/recalibration.png.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.core.spec import Spec
from agents.experiment.api import load
from agents.experiment.style import PANEL, line_style, place_legend, reference_style, set_titles
from benchmarks.shared.common import RUNS, default_spec, set_up, table
from benchmarks.shared.curves import draw_means, grid, save
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.runs import Job, check_part, outcome, publish, side_by_side, train_all
from benchmarks.shared.statistics import differences, interval, over_seeds, t_interval

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
"""The classical control, and those who start from nothing."""
FEW = 10
"""Pulses an update in a second evaluation; the first has the runs' own [episodes]."""
SUFFIXES = ("", f", {FEW} pulses an update")
"""Of the names of the parts of the two evaluations."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS

    learners: tuple[str, ...] = LEARNERS
    """Names of the learners; the reference is always among them."""


def main(options: Options) -> None:
    """Train, evaluate and compare."""
    check_part("recalibration", "learner", options.learners, LEARNERS)
    set_up(threads=1)
    plan = {
        name: [job(name, seed, options.quick) for seed in range(options.seeds)]
        for name in LEARNERS
        if name in (REFERENCE, *options.learners)
    }
    with side_by_side("recalibration", options.jobs) as pool:
        train_all(pool, [each for part in plan.values() for each in part], options.overwrite)
        few = {name: list(pool.map(few_tries, part)) for name, part in plan.items()}
    rows = {name: [outcome(each)[2] for each in part] for name, part in plan.items()}
    again = {
        name: [row | {"evaluation": found} for row, found in zip(part, few[name], strict=True)]
        for name, part in rows.items()
    }
    both = zip(SUFFIXES, (rows, again), strict=True)
    measured = {name + suffix: each for suffix, part in both for name, each in compared(part).items()}
    known = [name + suffix for suffix in SUFFIXES for name in LEARNERS]
    publish("recalibration", measured, known, _draw, draft=options.quick or options.seeds < N_SEEDS)


def job(name: str, seed: int, quick: bool) -> Job:
    """One run; a classical model is matched in parameters."""
    agent, _, model = name.partition(" ")
    if model:
        spec: Spec = default_spec("qubit_control", model, agent=agent, seed=seed)
    else:
        spec = Spec.default(env="qubit_control", agent=agent, seed=seed, threads=1)
    if quick:
        spec = replace(spec, iterations=2, eval_tasks=4, eval_episodes=4)
    folder = RUNS / f"recalibration-{name.replace(' ', '-')}-{seed}{'-quick' if quick else ''}"
    return Job("qubit_control", name, seed, spec, folder, "benchmarks.recalibration")


def few_tries(job: Job) -> dict[str, Any]:
    """The curve of a run with fewer pulses an update, on the tasks of its own evaluation."""
    set_up(threads=1)
    curve = load(job.folder).evaluate(tasks=job.spec.eval_tasks, episodes=FEW)
    return {key: value for key, value in curve.to_json().items() if key != "per_task"}


def compared(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What there is to say of learners with as many tries each: returns over seeds, and the reference's gains."""
    measured: dict[str, Any] = {name: {"returns": over_seeds(part), "seeds": part} for name, part in rows.items()}
    gains = {"itself, unadapted": gained(rows[REFERENCE])}
    measured[REFERENCE]["gain"] = gains["itself, unadapted"]
    for name in AGAINST:
        if name in rows:
            measured[name]["reference_minus_this"] = gains[name] = differences(rows[REFERENCE], rows[name])
    tries = rows[REFERENCE][0]["evaluation"]["episodes"]
    print(
        table([{f"{tries[1]} pulses an update": name, **_columns(part["returns"])} for name, part in measured.items()])
    )
    print(table([{"gain of the reference over": name, **_columns(each)} for name, each in gains.items()]))
    return measured


def gained(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean return after each number of updates above the one before any, over seeds."""
    means = [row["evaluation"]["mean"] for row in rows]
    return [t_interval([mean[x] - mean[0] for mean in means]) for x in range(len(means[0]))]


def _columns(returns: list[dict[str, Any]]) -> dict[str, str]:
    return {f"after {x} updates": interval(value, 3) for x, value in enumerate(returns)}


def _draw(results: dict[str, Any], path: Path) -> None:
    figure, places = grid(len(SUFFIXES), columns=len(SUFFIXES), size=PANEL, sharey=True)
    for axes, suffix in zip(places, SUFFIXES, strict=True):
        for index, name in enumerate(LEARNERS):
            if (part := results.get(f"{name}{suffix}")) is None:
                continue
            pulses = part["seeds"][0]["evaluation"]["episodes"]
            if name == "grape":
                fidelity = [each["mean"] for each in part["returns"]]
                axes.plot(pulses, fidelity, label="grape (knows the task)", **reference_style("oracle"))
            else:
                draw_means(axes, pulses, part["returns"], name, **line_style(index))
        set_titles(axes, f"{pulses[1]} pulses an update", f"mean over {N_SEEDS} seeds and its 95 % t-interval")
        axes.set(xlabel="experience in the task [pulses]", xticks=pulses)
        place_legend(axes)
    places[0].set_ylabel("fidelity on test tasks")
    save(figure, path)


if __name__ == "__main__":
    run_main(main, Options, __doc__, _draw)
