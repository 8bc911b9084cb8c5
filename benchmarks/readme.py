"""Pictures of the README: adaptation on 2D navigation, of a circuit and of its controls.

    python -m benchmarks.readme              docs/adaptation.png, from results/controls.json
    python -m benchmarks.readme --animate    also docs/adaptation.gif: trains two policies, some minutes

The plot has the curves of `benchmarks.controls`: a circuit, a perceptron with as many parameters, both also without
meta-learning (`finetune`), and random actions. The animation shows the circuit and the perceptron, meta-trained from
seed 0 with default options (results/runs/readme-MODEL-0), in the first two test tasks; the same, by hand:

    python run.py --env navigation --threads 1 --out runs/circuit
    python run.py --env navigation --threads 1 --model mlp --model.budget 64 --out runs/perceptron
"""

from dataclasses import dataclass
from typing import Any

from agents.experiment.api import load, plot
from agents.experiment.evaluation import Curve
from agents.experiment.video import agents_by_label, animation
from benchmarks.shared.common import RESULTS, RUNS, default_spec
from benchmarks.shared.main import QuickOptions, run_main
from benchmarks.shared.runs import Job, docs, run_all
from qrl.common.files import from_json, write_atomically

ENV = "navigation"
SHOWN = ("maml reuploading", "maml mlp", "finetune reuploading", "finetune mlp", "random")
MODELS = ("reuploading", "mlp")
TASKS, UPDATES = 2, 3
"""Of the animation."""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    animate: bool = False
    """Also train two policies and draw the animation."""

    jobs: int = 1
    """Runs side by side [processes]."""


def main(options: Options) -> None:
    """Draw the pictures."""
    folder = RUNS if options.quick else docs()
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / "adaptation.png"
    plot(curves(from_json(RESULTS / "controls.json")["results"][ENV]["controls"]), picture)
    print(f"wrote {picture}")
    if options.animate:
        moving = folder / "adaptation.gif"
        write_atomically(moving, animated(options.jobs))
        print(f"wrote {moving}")


def curves(controls: dict[str, Any]) -> dict[str, list[Curve]]:
    """The curves of all seeds of each control, by labels."""
    found = {}
    for name in SHOWN:
        rows = controls[name]["seeds"]
        # The episodes of random actions are the same for all training seeds.
        rows = rows if len({tuple(row["evaluation"]["mean"]) for row in rows}) > 1 else rows[:1]
        n_parameters = rows[0]["n_policy_parameters"]
        label = f"{name}, {n_parameters} parameters" if n_parameters else name
        found[label] = [Curve.from_json(row["evaluation"] | {"per_task": []}) for row in rows]
    return found


def animated(jobs: int) -> bytes:
    """The animation."""
    planned = [
        Job(ENV, model, 0, default_spec(ENV, model), RUNS / f"readme-{model}-0", "benchmarks.readme")
        for model in MODELS
    ]
    run_all("readme", planned, jobs, overwrite=False)
    runs = [load(job.folder) for job in planned]
    by_label = agents_by_label(runs)
    return animation(by_label, runs[0].distribution, n_tasks=TASKS, steps=UPDATES, trail=True)


if __name__ == "__main__":
    run_main(main, Options, __doc__)
