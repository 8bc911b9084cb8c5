"""Numbers and figures of the README: adaptation of a circuit and its classical controls on 2D navigation.

    python -m benchmarks.adaptation              ten seeds per model, about half an hour; --quick to try it
    python -m benchmarks.adaptation --redraw     only the plot, from the committed result
    python -m benchmarks.adaptation --animate    also the animation, from the runs of seed 0

MAML with default options; the classical models are matched in parameters (`--model.budget like:reuploading`). Each run
is a regular training run (results/runs/adaptation-MODEL-SEED), evaluated on the same 100 test tasks; random actions are
evaluated once. The animation shows the circuit and the perceptron of seed 0 on the first two test tasks. Command of a
single run:

    python run.py --env navigation --threads 1 --seed 3 --model mlp --model.budget like:reuploading

Results: results/adaptation.json, docs/adaptation.png, docs/adaptation.gif.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.core.spec import Spec
from agents.experiment.api import load, plot
from agents.experiment.evaluation import Curve
from agents.experiment.video import agents_by_label, animation
from benchmarks.shared.common import RUNS, table
from benchmarks.shared.main import TrainingOptions, run_main
from benchmarks.shared.runs import Job, docs, outcome, publish, run_all
from benchmarks.shared.statistics import differences, interval, over_seeds
from qrl.common.files import write_atomically

ENV, N_SEEDS = "navigation", 10
MODELS = {"reuploading": {}, "mlp": {"budget": "like:reuploading"}, "fourier": {"budget": "like:reuploading"}}
PARTS = (*(f"maml {model}" for model in MODELS), "random")
ANIMATED = ("reuploading", "mlp")
TASKS, UPDATES = 2, 3
"""Size of the animation."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Options of this benchmark."""

    seeds: int = N_SEEDS

    animate: bool = False
    """Also draw the animation."""


def main(options: Options) -> None:
    """Train every model from every seed; publish the returns and their differences from the circuit."""
    seeds = range(options.seeds)
    plan = {f"maml {model}": [job("maml", model, seed, options.quick) for seed in seeds] for model in MODELS}
    plan["random"] = [job("random", "reuploading", 0, options.quick)]
    run_all("adaptation", [each for part in plan.values() for each in part], options.jobs, options.overwrite)
    rows = {name: [outcome(each)[2] for each in part] for name, part in plan.items()}
    measured = {name: {"returns": over_seeds(part), "seeds": part} for name, part in rows.items()}
    for name in PARTS[1:-1]:
        measured[name]["circuit_minus_this"] = differences(rows[PARTS[0]], rows[name])
    print(table([{"": name, **_columns(part["returns"])} for name, part in measured.items()]))
    print(table([{"circuit minus": name, **_columns(measured[name]["circuit_minus_this"])} for name in PARTS[1:-1]]))
    publish("adaptation", measured, PARTS, _draw, draft=options.quick or options.seeds < N_SEEDS)
    if options.animate:
        folder = RUNS if options.quick else docs()
        write_atomically(folder / "adaptation.gif", _animation([plan[f"maml {model}"][0] for model in ANIMATED]))
        print(f"wrote {folder / 'adaptation.gif'}")


def job(agent: str, model: str, seed: int, quick: bool) -> Job:
    """Return the job of a run."""
    spec = Spec.default(env=ENV, agent=agent, model=model, model_config=MODELS[model], seed=seed, threads=1)
    if quick:
        spec = replace(spec, iterations=2, eval_tasks=4, eval_episodes=4)
    name = f"adaptation-{model if agent == 'maml' else agent}-{seed}{'-quick' if quick else ''}"
    return Job(ENV, f"{agent} {model}", seed, spec, RUNS / name, "benchmarks.adaptation")


def _columns(returns: list[dict[str, Any]]) -> dict[str, str]:
    return {f"after {x} updates": interval(value, 1) for x, value in enumerate(returns)}


def curves(results: dict[str, Any]) -> dict[str, list[Curve]]:
    """Return the curves of all seeds of each part, by label."""
    labelled = {}
    for name in PARTS:
        rows = results[name]["seeds"]
        n_parameters = rows[0]["n_policy_parameters"]
        label = f"{name}, {n_parameters} parameters" if n_parameters else name
        labelled[label] = [Curve.from_json(row["evaluation"] | {"per_task": []}) for row in rows]
    return labelled


def _draw(results: dict[str, Any], path: Path) -> None:
    plot(curves(results), path)


def _animation(jobs: list[Job]) -> bytes:
    runs = [load(each.folder) for each in jobs]
    return animation(agents_by_label(runs), runs[0].distribution, n_tasks=TASKS, steps=UPDATES, trail=True)


if __name__ == "__main__":
    run_main(main, Options, __doc__, _draw)
