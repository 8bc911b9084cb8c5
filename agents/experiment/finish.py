"""Common part of starting and resuming a run: train to the end, evaluate on test tasks, report."""

import io
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from agents.core.spec import Spec
from agents.experiment.callbacks import Callback, TrainingInfo
from agents.experiment.engine_notes import engine_note
from agents.experiment.loop import Training
from agents.experiment.report import finite_family_note, report, training_rows
from agents.experiment.run import Run
from agents.experiment.training import train
from agents.runs.folder import RunFolder
from agents.runs.interrupt import Interrupted, stopping_at_once
from agents.runs.messages import tell, warn
from agents.runs.program import program
from agents.runs.progress import Progress
from agents.tracking.tracker import TrackedRun
from agents.tracking.tracking import Tracking, tracked
from qrl.common.errors import UsageError
from qrl.common.trust import NamedCode, Trust, remember


def print_engine(spec: Spec, agent: object, quiet: bool) -> None:
    """Print which engine runs the circuits, if there are any."""
    if not quiet and (note := engine_note(spec, agent)):
        print(note)


def open_trackers(
    names: Sequence[str], folder: RunFolder, spec: Spec, training: Training | None
) -> AbstractContextManager[tuple[Tracking, ...]]:
    """Open the trackers of a run."""
    iteration = training.iteration if training is not None else 0
    return tracked(names, TrackedRun(folder.path, spec, folder.checkpoints.identity, iteration))


def remember_code(used: list[NamedCode]) -> None:
    """Remember that the user trains with this code, so that later commands on the run need no consent."""
    try:
        remember(used)
    except UsageError as error:
        warn(f"{error}: later commands on the run will ask for --trust")


def outputs(folder: RunFolder) -> tuple[Path, Path]:
    """Return the paths of the curve's JSON file and of its plot."""
    return folder.path / "evaluation.json", folder.path / "adaptation.png"


def finish(
    folder: RunFolder,
    training: Training | None,
    quiet: bool,
    objects: Mapping[str, object],
    names: Mapping[str, str] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train for the remaining iterations, then evaluate on test tasks; return the run."""
    with nullcontext() if training is None else training.leading():
        if training is not None:
            stream = io.StringIO() if quiet else None
            with Progress(training.spec.iterations, training.iteration, stream) as progress:
                train(training, folder, progress, callbacks)
        with interruptible_evaluation(folder.path):
            run = Run(folder, objects, Trust(everything=True, names=names or {}))  # This process has executed the code.
            spec = run.spec
            evaluator = training.evaluate if training is not None and spec.shards > 1 else None
            curve = run.evaluate(tasks=spec.eval_tasks, episodes=spec.eval_episodes, evaluator=evaluator)
            table, picture = outputs(folder)
            report(curve, training_rows(run), table, picture, quiet=quiet, note=finite_family_note(run, curve))
    for callback in callbacks:
        callback.on_evaluation(TrainingInfo(folder.path, spec, run.agent), curve)
    return run


@contextmanager
def interruptible_evaluation(path: Path) -> Iterator[None]:
    """Let a signal stop an evaluation of the run in this folder immediately, with a message."""
    try:
        with stopping_at_once():
            yield
    except Interrupted as stop:
        command = f"{program()} evaluate {shlex.quote(str(path))}"
        tell(f"evaluation interrupted; training is saved: {command}")
        stop.told = True
        raise
