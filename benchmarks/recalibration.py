"""Recalibration of a drifted qubit from few pulses: adapted policies, unadapted ones, and learning from scratch.

    python -m benchmarks.recalibration --jobs 2      five seeds each, about an hour; --quick to try it

`qubit_control` with default options: prepare |+> on a qubit with unknown detuning, drive and decay; the return is the
fidelity. Each run is a regular training run (results/runs/recalibration-AGENT-MODEL-SEED) with default options; every
agent is evaluated on the same 100 test tasks with the same number of pulses, 40 per update, and the same policies again
with 10. `cross_entropy` and `scratch` learn each task from scratch, by pulse search and by policy gradient; `grape`
knows the task and is an upper bound. Gains over the unadapted policy and over agents with as many pulses are paired by
seed.

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
from benchmarks.shared.runs import Job, check_names, outcome, process_pool, publish, train_all
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
"""Classical control, and agents that learn from scratch."""
FEW_PULSES = 10
"""Pulses per update in the second evaluation; the first uses those of the runs [episodes]."""
SUFFIXES = ("", f", {FEW_PULSES} pulses an update")
"""Suffixes of the parts of the two evaluations."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS

    learners: tuple[str, ...] = LEARNERS
    """Names of the learners; the reference is always included."""


def main(options: Options) -> None:
    """Train, evaluate and compare all agents."""
    check_names("recalibration", "learner", options.learners, LEARNERS)
    set_up(threads=1)
    plan = {
        name: [job(name, seed, options.quick) for seed in range(options.seeds)]
        for name in LEARNERS
        if name in (REFERENCE, *options.learners)
    }
    with process_pool("recalibration", options.jobs) as pool:
        train_all(pool, [each for part in plan.values() for each in part], options.overwrite)
        with_few_pulses = {name: list(pool.map(evaluate_with_few_pulses, part)) for name, part in plan.items()}
    rows = {name: [outcome(each)[2] for each in part] for name, part in plan.items()}
    few_pulse_rows = {
        name: [row | {"evaluation": found} for row, found in zip(part, with_few_pulses[name], strict=True)]
        for name, part in rows.items()
    }
    evaluations = zip(SUFFIXES, (rows, few_pulse_rows), strict=True)
    measured = {name + suffix: each for suffix, part in evaluations for name, each in compare_learners(part).items()}
    known = [name + suffix for suffix in SUFFIXES for name in LEARNERS]
    publish("recalibration", measured, known, _draw, draft=options.quick or options.seeds < N_SEEDS)


def job(name: str, seed: int, quick: bool) -> Job:
    """Return the job of a run; a classical model is matched in parameters."""
    agent, _, model = name.partition(" ")
    if model:
        spec: Spec = default_spec("qubit_control", model, agent=agent, seed=seed)
    else:
        spec = Spec.default(env="qubit_control", agent=agent, seed=seed, threads=1)
    if quick:
        spec = replace(spec, iterations=2, eval_tasks=4, eval_episodes=4)
    folder = RUNS / f"recalibration-{name.replace(' ', '-')}-{seed}{'-quick' if quick else ''}"
    return Job("qubit_control", name, seed, spec, folder, "benchmarks.recalibration")


def evaluate_with_few_pulses(job: Job) -> dict[str, Any]:
    """Return the adaptation curve of a run with fewer pulses per update, on the tasks of its regular evaluation."""
    set_up(threads=1)
    curve = load(job.folder).evaluate(tasks=job.spec.eval_tasks, episodes=FEW_PULSES)
    return {key: value for key, value in curve.to_json().items() if key != "per_task"}


def compare_learners(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Compare learners with equal numbers of pulses: returns over seeds, and gains of the reference."""
    measured: dict[str, Any] = {name: {"returns": over_seeds(part), "seeds": part} for name, part in rows.items()}
    gains = {"no adaptation": gain_over_unadapted(rows[REFERENCE])}
    measured[REFERENCE]["gain"] = gains["no adaptation"]
    for name in AGAINST:
        if name in rows:
            measured[name]["reference_minus_this"] = gains[name] = differences(rows[REFERENCE], rows[name])
    pulses = rows[REFERENCE][0]["evaluation"]["episodes"]
    print(
        table(
            [{f"{pulses[1]} pulses per update": name, **_columns(part["returns"])} for name, part in measured.items()]
        )
    )
    print(table([{"gain of the reference over": name, **_columns(each)} for name, each in gains.items()]))
    return measured


def gain_over_unadapted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the gain in mean return over no adaptation after each number of updates, over seeds."""
    means = [row["evaluation"]["mean"] for row in rows]
    return [t_interval([mean[x] - mean[0] for mean in means]) for x in range(len(means[0]))]


def _columns(returns: list[dict[str, Any]]) -> dict[str, str]:
    return {f"after {x} updates": interval(value, 3) for x, value in enumerate(returns)}


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
        set_titles(axes, f"{pulses[1]} pulses per update", f"mean over {N_SEEDS} seeds and its 95 % t-interval")
        axes.set(xlabel="experience in the task [pulses]", xticks=pulses)
        place_legend(axes)
    panel_axes[0].set_ylabel("fidelity on test tasks")
    save(figure, path)


if __name__ == "__main__":
    run_main(main, Options, __doc__, _draw)
