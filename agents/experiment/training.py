"""Training to the end: iterations, checkpoints, validations and callbacks."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from agents.experiment.callbacks import Callback, TrainingInfo
from agents.experiment.loop import Training
from agents.experiment.validation import Validation
from agents.runs.folder import RunFolder
from agents.runs.interrupt import Interrupted, Interrupts
from agents.runs.program import program
from agents.runs.progress import Progress


def train(training: Training, run: RunFolder, progress: Progress, callbacks: Sequence[Callback] = ()) -> None:
    """Train to the end, with a checkpoint every `checkpoint_every` iterations.

    The end is the last iteration, or a validation that exhausts the patience. After SIGINT or SIGTERM, finish the
    iteration, save a checkpoint, and raise Interrupted; a validation that is due then takes place at the resume. A
    TrainingError propagates, and the last checkpoint is kept. If a callback or a validation raises, the iteration's
    checkpoint is saved first.
    """
    spec, info = training.spec, TrainingInfo(run.path, training.spec, training.agent)
    validation = Validation(training, run)

    def validate() -> None:
        curve = validation.validate()
        progress.note(validation.note(curve))
        for callback in callbacks:
            callback.on_evaluation(info, curve)

    with Interrupts() as stop:
        if validation.is_due:
            validate()
        while training.iteration < spec.iterations and not (validation.is_exhausted or stop):
            row = training.step()
            run.metrics.append(row)
            progress.update(row | {"seconds": training.seconds})
            with _saved_before_errors(training, run):
                for callback in callbacks:
                    callback.on_iteration(info, row)
                if validation.is_due and not stop:
                    validate()
            is_last = training.iteration == spec.iterations or validation.is_exhausted
            if stop or is_last or training.iteration % spec.checkpoint_every == 0:
                training.save(run)
    if stop.signal is not None:
        command = f"{program()} resume {shlex.quote(str(run.path))}"
        progress.note(f"stopped after iteration {training.iteration}; continue with: {command}")
        raise Interrupted(stop.signal, told=True)
    if validation.is_exhausted and training.iteration < spec.iterations:
        without = f"{spec.patience} validations in a row without a better score"
        best = f"the best is that of iteration {validation.best_iteration}"
        progress.note(f"ended after iteration {training.iteration}: {without}; {best}")


@contextmanager
def _saved_before_errors(training: Training, run: RunFolder) -> Iterator[None]:
    """Save a checkpoint before an error propagates, so that the iteration is not lost."""
    try:
        yield
    except BaseException:
        training.save(run)
        raise
