"""Resume of a run from its last checkpoint, also with other learning rates."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from agents.core.agent import Learner
from agents.core.context import build
from agents.experiment import weights
from agents.experiment.callbacks import Callback
from agents.experiment.engine_notes import change_of_engine
from agents.experiment.finish import finish, open_trackers, outputs, print_engine, remember_code
from agents.experiment.loop import Training
from agents.experiment.run import Run
from agents.experiment.start import follow_training
from agents.experiment.startable import check_evaluations
from agents.runs import ending, origins
from agents.runs.folder import RunFolder
from agents.runs.history import OF_THE_RUN, changed, value_of
from agents.runs.messages import tell, warn
from agents.runs.saved_spec import names_in, spec_of
from agents.shards.team import team
from agents.tracking.remembered import continued_trackers, remember_trackers
from agents.tracking.tracking import check_trackers
from qrl.common.errors import UsageError
from qrl.common.files import check_replaceable
from qrl.common.trust import Trust, code_used


def run_resume(
    path: Path,
    iterations: int | None = None,
    *,
    changes: Mapping[str, object] | None = None,
    objects: Mapping[str, object] | None = None,
    trust: Trust | None = None,
    track: Sequence[str] | None = None,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
) -> Run:
    """Resume a run from its last checkpoint, optionally with a new number of iterations; return the run.

    Further `changes` are other options of the run that may change, by name (`agents.runs.history`). Trackers are those
    of `track`; by default, those that may continue by themselves (`agents.tracking.remembered`). All checks come before
    any file is written. Raises as `run_training` does, also if an object with which the run was trained is missing in
    `objects`, or if the run names code that is not trusted.
    """
    check_trackers(track or ())
    folder, trust = RunFolder.open(path), trust or Trust()
    changes = {**(changes or {}), **({} if iterations is None else {"iterations": iterations})}
    with folder.lock(), ExitStack() as stack:
        with names_in(folder, trust), code_used() as used:
            notes = [f"warning: {change}" for change in origins.changes(folder, objects, trust.names)]
            spec = spec_of(folder, objects, trust, changes=changes)
            origins.check_same_distribution(folder, spec.objects.get("env"))
            distribution, agent = build(spec)
        if not isinstance(agent, Learner):
            raise UsageError(f"{path}: agent {spec.agent} does not train; there is nothing to resume")
        check_evaluations(spec, agent, distribution)
        training = Training(spec, distribution, agent, stack.enter_context(team(spec.shards, spec.device)))
        checkpoint, restarted = folder.load(training.load), False
        if checkpoint is None:
            restarted = weights.restart(training, folder)
            notes.append(f"note: {path} ended before its first checkpoint; starting from iteration 0")
        else:
            then = f"continuing from iteration {checkpoint.iteration}"
            notes += [f"warning: {problem}; {then}" for problem in checkpoint.problems]
        done = training.iteration
        if iterations is not None and iterations < done:
            raise UsageError(f"{path}: --iterations {iterations} is less than the {done} already done")
        folder.check_links()
        for output in outputs(folder):
            check_replaceable(output)
        changes = _actual(folder, changes)
        if end := _end(folder, changes, done):
            _check_not_idle(folder, changes, done, end)
            notes.append(f"note: {end.state}; {end.remedy}")
        if change := change_of_engine(folder, spec, agent):
            notes.append(change)
        for note in notes:
            tell(note)
        _record_changes(folder, changes, done)
        for problem in folder.rewind(done):
            warn(problem)
        if restarted:
            training.save(folder)
        remember_code(used)
        if track is None:
            track = continued_trackers(folder.path)
        else:
            remember_trackers(folder.path, track)
        print_engine(spec, agent, quiet)
        with open_trackers(track, folder, spec, training) as trackers:
            return finish(folder, training, quiet, spec.objects, trust.names, (*trackers, *callbacks))


def follow_resumed(
    path: Path, changes: Mapping[str, object], objects: Mapping[str, object] | None, trust: Trust
) -> None:
    """Take part in the training of a run that another process resumes; print and write nothing.

    Raises as `run_resume` does.
    """
    folder = RunFolder.open(path)
    with names_in(folder, trust):
        follow_training(spec_of(folder, objects, trust, changes=changes))


def _actual(folder: RunFolder, changes: Mapping[str, object]) -> dict[str, object]:
    """Return the changes that are not the present values."""
    return {name: value for name, value in changes.items() if value != value_of(folder.spec, name)}


@dataclass(frozen=True)
class _End:
    """End of a run that trains no more."""

    state: str
    remedy: str
    """Way to continue the training, in words."""


def _end(folder: RunFolder, changes: Mapping[str, object], done: int) -> _End | None:
    """Return the end of a run that does not train after an iteration, also with these changes; None if it does."""
    spec = changed(folder.spec, changes)
    if not ending.is_over(spec, folder.validation, done):
        return None
    iterations, patience = spec.get("iterations"), spec.get("patience")
    further = f"--iterations N continues, beyond {done}"
    if not ending.ended_early(spec, folder.validation, done):
        return _End(f"{folder.path} is trained to its end, iteration {done}", further)
    state = f"{folder.path} ended after iteration {done} of {iterations}: the patience of {patience} validations"
    larger = "--patience 0, or a larger one"
    return _End(f"{state} was exhausted", f"{larger}, continues" if done != iterations else f"{further}, with {larger}")


def _check_not_idle(folder: RunFolder, changes: Mapping[str, object], done: int, end: _End) -> None:
    """Raise UsageError if changes would have no effect on a run that trains no more.

    Those of the run itself may end it, or cancel a validation that is due.
    """
    rates = [name for name in changes if name not in OF_THE_RUN]
    specs = (folder.spec, changed(folder.spec, changes))
    if rates or (changes and all(ending.is_complete(spec, folder.validation, done) for spec in specs)):
        raise UsageError(f"{end.state}: a change of {', '.join(rates or changes)} would train nothing; {end.remedy}")


def _record_changes(folder: RunFolder, changes: Mapping[str, object], done: int) -> None:
    """Change the run's configuration, and tell of each change."""
    if not changes:
        return
    before = {name: value_of(folder.spec, name) for name in changes}
    folder.change(changes, done)
    for name, value in changes.items():
        if name != "iterations":
            tell(f"note: {name} changes from {before[name]} to {value} after iteration {done}")
