"""Command `robustness`: evaluate a trained run exactly, under noise, and with finite shots."""

from pathlib import Path

from agents.cli.evaluate import check_json_name
from agents.cli.options import RobustnessOptions
from agents.experiment.finish import interruptible_evaluation
from agents.experiment.report import open_run
from agents.experiment.robustness import Point, backends, draw, table, to_json
from agents.runs.messages import printable
from qrl.backends.backend import Backend
from qrl.common import files
from qrl.common.files import check_new_file, check_replaceable, write_atomically


def run_robustness(options: RobustnessOptions) -> int:
    """Evaluate a run exactly, under noise, and with finite shots; return the exit code.

    Write robustness.json and its plot into the run folder, or the JSON to `out` and the plot next to it.
    """
    name = "robustness.json" if options.checkpoint == "last" else f"robustness-{options.checkpoint}.json"
    out = options.run / name if options.out is None else options.out
    if options.out is not None:
        check_json_name(out)
        check_new_file(out)
        check_new_file(out.with_suffix(".png"))
    rows = backends(options.noise, options.strengths, options.shots)
    with interruptible_evaluation(options.run):
        _sweep(options, rows, out)
    return 0


def _sweep(options: RobustnessOptions, rows: list[tuple[str, float, Backend]], out: Path) -> None:
    picture = out.with_suffix(".png")
    check_replaceable(out)
    check_replaceable(picture)
    run = open_run(options.run, options.confirmed, options.checkpoint)
    points = []
    for what, value, backend in rows:
        curve = run.evaluate(
            tasks=options.tasks,
            steps=options.steps,
            episodes=run.spec.eval_episodes if options.episodes is None else options.episodes,
            split=options.split,
            seed=options.seed,
            backend=backend,
        )
        points.append(Point.of(what, value, curve))
    write_atomically(out, (files.to_json(to_json(points, curve), indent=2) + "\n").encode())
    write_atomically(picture, draw(points, curve))
    print(printable(f"{curve.env}, {curve.label}: {curve.n_tasks} {curve.split} tasks"))
    print(table(points))
    print(printable(f"wrote {out} and {picture}"))
