"""Command `evaluate`: the adaptation curve of a trained run, its plot, and an animation."""

from collections.abc import Sequence
from pathlib import Path

from agents.cli.options import EvaluateOptions
from agents.core.agent import Learner
from agents.core.context import backend_of
from agents.core.spec import Spec
from agents.experiment.finish import interruptible_evaluation
from agents.experiment.report import finite_family_note, open_run, report, table_name, training_rows
from agents.experiment.run import Run
from agents.experiment.video import agents_by_label, animation, check_pictures, check_same_tasks
from agents.runs.messages import printable, warn
from qrl.backends.backend import Backend
from qrl.common.errors import UsageError
from qrl.common.files import check_new_file, check_replaceable, write_atomically
from qrl.common.trust import Trust
from qrl.noise.model import Noise


def run_evaluation(options: EvaluateOptions) -> int:
    """Evaluate a run and write evaluation.json and adaptation.png, or the JSON to `out` and the plot next to it.

    If circuits run on another backend than in training, the file names contain the backend. With `video`, also write an
    animation of the first task of the split, with the plot's name and the suffix `.gif`. Return the exit code.
    """
    if options.out is not None:
        check_json_name(options.out)
        for suffix in (".json", ".png", *([".gif"] if options.video else [])):
            check_new_file(options.out.with_suffix(suffix))
    with interruptible_evaluation(options.run):
        _evaluate(options)
    return 0


def check_json_name(out: Path) -> None:
    """Raise UsageError for an --out file without the suffix .json."""
    if out.suffix != ".json":
        raise UsageError(f"{out}: the name of the --out file must end in .json")


def _evaluate(options: EvaluateOptions) -> None:
    run = open_run(options.run, options.confirmed, options.checkpoint)
    spec, is_last = run.spec, options.checkpoint == "last"
    unfinished = isinstance(run.agent, Learner) and run.iteration < spec.iterations
    if unfinished and is_last and not run.folder.ended_early(run.iteration):
        warn(f"{options.run}: trained for {run.iteration} of {spec.iterations} iterations so far")
    if options.video:
        check_pictures(run.distribution, run.agent)
    others = {path: open_run(path, Trust(options.trust)) for path in options.compare}
    check_same_tasks(run, others)
    backend = _backend(options, spec)
    table, picture = _outputs(options, "" if backend == backend_of(spec) else backend.label)
    for output in (table, picture, *([picture.with_suffix(".gif")] if options.video else [])):
        check_replaceable(output)
    curve = run.evaluate(
        tasks=options.tasks,
        steps=options.steps,
        episodes=options.episodes,
        split=options.split,
        seed=options.seed,
        backend=backend,
    )
    report(curve, training_rows(run), table, picture, note=finite_family_note(run, curve))
    if options.video:
        moving = picture.with_suffix(".gif")
        write_atomically(moving, _animation(run, list(others.values()), options, backend))
        print(printable(f"wrote {moving}"))


def _backend(options: EvaluateOptions, spec: Spec) -> Backend:
    return Backend(
        spec.backend if options.backend is None else options.backend,
        spec.shots if options.shots is None else options.shots,
        Noise.parse(spec.noise if options.noise is None else options.noise),
    )


def _outputs(options: EvaluateOptions, label: str) -> tuple[Path, Path]:
    """Return the paths of the curve's JSON file and of its plot."""
    if options.out is not None:
        return options.out, options.out.with_suffix(".png")
    table = options.run / table_name(options.split, label, options.checkpoint)
    return table, table.with_name(table.stem.replace("evaluation", "adaptation") + ".png")


def _animation(run: Run, others: Sequence[Run], options: EvaluateOptions, backend: Backend) -> bytes:
    agent = run.agent_on(backend)
    return animation(
        agents_by_label([run, *others], [agent, *(other.agent for other in others)]) if others else agent,
        run.distribution,
        split=options.split,
        steps=run.spec.eval_steps if options.steps is None else options.steps,
        episodes=run.spec.eval_episodes if options.episodes is None else options.episodes,
        seed=options.seed,
        device=run.spec.device,
        n_tasks=options.video_tasks,
        trail=options.trail,
    )
