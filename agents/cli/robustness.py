"""Command `robustness`: evaluate a trained run exactly, under noise, and with finite shots."""

from dataclasses import asdict
from pathlib import Path

from agents.cli.evaluate import check_json_name
from agents.cli.options import RobustnessOptions
from agents.core.agent import NetworkAgent
from agents.experiment.evaluation import Curve
from agents.experiment.finish import interruptible_evaluation
from agents.experiment.report import open_run
from agents.experiment.robustness import Point, backends, draw, table, to_json
from agents.experiment.run import Run
from agents.experiment.storage_sweep import StorageSweep, draw_storage
from agents.runs.messages import printable
from qrl.backends.registers import register_modules
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
    with interruptible_evaluation(options.run):
        _sweep(options, out)
    return 0


def _sweep(options: RobustnessOptions, out: Path) -> None:
    picture = out.with_suffix(".png")
    check_replaceable(out)
    check_replaceable(picture)
    run = open_run(options.run, options.confirmed, options.checkpoint)
    on_registers = isinstance(run.agent, NetworkAgent) and bool(register_modules(run.agent.policy))
    rows = backends(options.noise, options.strengths, options.shots, on_registers=on_registers)
    for _, _, backend in rows:
        run.agent_on(backend)  # Raises the errors of any backend before the first evaluation.
    points, curves = [], []
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
        curves.append(curve)
    sweep = _storage_sweep(run, points, curves) if on_registers else None
    content = to_json(points, curve) | ({} if sweep is None else {"storage": asdict(sweep)})
    write_atomically(out, (files.to_json(content, indent=2) + "\n").encode())
    write_atomically(picture, draw(points, curve) if sweep is None else draw_storage(sweep, curve))
    print(printable(f"{curve.env}, {curve.label}: {curve.n_tasks} {curve.split} tasks"))
    print(table(points) if sweep is None else sweep.table())
    print(printable(f"wrote {out} and {picture}"))


def _storage_sweep(run: Run, points: list[Point], curves: list[Curve]) -> StorageSweep | None:
    """Return the success rates against noise of the stored memory; None unless the family is on quantum data."""
    certificates = {p.value: c.certificate for p, c in zip(points, curves, strict=True) if c.certificate is not None}
    return StorageSweep.of([*certificates], [*certificates.values()], run.distribution) if certificates else None
