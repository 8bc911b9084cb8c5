"""Meta-training under noise against exact meta-training, both evaluated under that noise.

    python -m benchmarks.noise_aware --jobs 2    five seeds each, about half an hour; --quick to try it

MAML on navigation with a re-uploading circuit of two wires and default options. Noise: depolarizing=0.05 after every
gate and readout=0.02. Each run is a regular training run (results/runs/noise_aware-TRAINING-SEED); both are adapted and
evaluated on the same 100 test tasks under the noise, and the exact one also without noise. Differences are paired by
seed.

Results: results/noise_aware.json, docs/noise_aware.png.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.core.spec import Spec
from agents.experiment.api import load
from agents.experiment.style import PANEL, line_style, set_titles, whole_ticks
from benchmarks.shared.common import RUNS, set_up, table
from benchmarks.shared.curves import draw_means, grid, save
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.runs import Job, outcome, process_pool, publish, train_all
from benchmarks.shared.statistics import differences, interval, over_seeds
from qrl.backends.backend import Backend
from qrl.models import MODELS
from qrl.noise.model import Noise

N_SEEDS = 5
NOISE = ("depolarizing=0.05", "readout=0.02")
TRAINING = {"exact": (), "noisy": NOISE}
PARTS = ("trained exactly, under noise", "trained under noise, under noise", "trained exactly, exactly")


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS


def main(options: Options) -> None:
    """Train with and without noise from every seed and evaluate under noise."""
    set_up(threads=1)
    plan = {training: [job(training, seed, options.quick) for seed in range(options.seeds)] for training in TRAINING}
    with process_pool("noise_aware", options.jobs) as pool:
        train_all(pool, [each for part in plan.values() for each in part], options.overwrite)
        under_noise = list(pool.map(noisy_evaluation, plan["exact"]))
    exact, noisy = ([outcome(each)[2] for each in plan[training]] for training in ("exact", "noisy"))
    exact_under_noise = [row | {"evaluation": found} for row, found in zip(exact, under_noise, strict=True)]
    measured = {
        name: {"returns": over_seeds(rows), "seeds": rows}
        for name, rows in zip(PARTS, (exact_under_noise, noisy, exact), strict=True)
    }
    measured["difference"] = {"returns": differences(noisy, exact_under_noise), "noise": NOISE}
    table_rows = [{"": name, **_columns(part["returns"])} for name, part in measured.items()]
    print(table(table_rows))
    publish("noise_aware", measured, (*PARTS, "difference"), _draw, draft=options.quick or options.seeds < N_SEEDS)


def job(training: str, seed: int, quick: bool) -> Job:
    """Return the job of a run."""
    model = MODELS.load("reuploading").Config(n_wires=2)
    spec = Spec.default(env="navigation", model_config=model, noise=TRAINING[training], seed=seed, threads=1)
    if quick:
        spec = replace(spec, iterations=2, eval_tasks=4, eval_episodes=4)
    name = f"noise_aware-{training}-{seed}{'-quick' if quick else ''}"
    return Job("navigation", training, seed, spec, RUNS / name, "benchmarks.noise_aware")


def noisy_evaluation(job: Job) -> dict[str, Any]:
    """Return the adaptation curve of a run under the noise, on the tasks of its regular evaluation."""
    set_up(threads=1)
    spec = job.spec
    backend = Backend(noise=Noise.parse(NOISE))
    curve = load(job.folder).evaluate(tasks=spec.eval_tasks, episodes=spec.eval_episodes, backend=backend)
    return {key: value for key, value in curve.to_json().items() if key != "per_task"}


def _columns(returns: list[dict[str, Any]]) -> dict[str, str]:
    return {f"after {x} updates": interval(value, 2) for x, value in enumerate(returns)}


def _draw(results: dict[str, Any], path: Path) -> None:
    figure, (axes,) = grid(1, columns=1, size=PANEL)
    for index, name in enumerate(PARTS):
        returns, curve = results[name]["returns"], results[name]["seeds"][0]["evaluation"]
        draw_means(axes, curve["x"], returns, name, **line_style(index))
    set_titles(axes, "navigation", f"mean and 95 % t-interval over {N_SEEDS} seeds")
    axes.set(xlabel=f"gradient steps of {curve['episodes'][1]} episodes each", ylabel="return on test tasks")
    whole_ticks(axes.xaxis)
    axes.legend()
    save(figure, path)


if __name__ == "__main__":
    run_main(main, Options, __doc__, _draw)
