"""Resume of a run from its last checkpoint, also with other learning rates."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.core.agent import Learner
from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment import weights
from agents.experiment.callbacks import Callback
from agents.experiment.engine_notes import change_of_engine
from agents.experiment.finish import check_evaluations, finish, open_trackers, outputs, print_engine, remember_code
from agents.experiment.loop import Training
from agents.experiment.run import Run
from agents.runs import origins
from agents.runs.folder import RunFolder
from agents.runs.history import value_of
from agents.runs.messages import tell, warn
from agents.runs.saved_spec import names_in, spec_of
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
    track: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
) -> Run:
    """Resume a run from its last checkpoint, optionally with a new number of iterations; return the run.

    Further `changes` are other options of the run that may change, by name (`agents.runs.history`). All checks come
    before any file is written. Raises as `run_training` does, also if an object with which the run was trained is
    missing in `objects`, or if the run names code that is not trusted.
    """
    check_trackers(track)
    folder, trust = RunFolder.open(path), trust or Trust()
    changes = {**(changes or {}), **({} if iterations is None else {"iterations": iterations})}
    with folder.lock():
        with names_in(folder, trust), code_used() as used:
            notes = [f"warning: {change}" for change in origins.changes(folder, objects, trust.names)]
            spec = spec_of(folder, objects, trust, changes=changes)
            origins.check_same_distribution(folder, spec.objects.get("env"))
            distribution, agent = build(spec)
        if not isinstance(agent, Learner):
            raise UsageError(f"{path}: agent {spec.agent} does not train; there is nothing to resume")
        check_evaluations(spec, agent, distribution)
        training = Training(spec, distribution, agent)
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
        if folder.ended_early(done, spec.patience):
            notes.append(_early_end_note(path, done, spec))
        elif done == spec.iterations:
            notes.append(
                f"note: {path} is trained to its end, iteration {done}; --iterations N continues, beyond {done}"
            )
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
        print_engine(spec, agent, quiet)
        with open_trackers(track, folder, spec, training) as trackers:
            return finish(folder, training, quiet, spec.objects, trust.names, (*trackers, *callbacks))


def _record_changes(folder: RunFolder, changes: Mapping[str, object], done: int) -> None:
    """Change the run's configuration where a change is not the present value, and tell of each change."""
    before = {name: value_of(folder.spec, name) for name in changes}
    changes = {name: value for name, value in changes.items() if value != before[name]}
    if not changes:
        return
    folder.change(changes, done)
    for name, value in changes.items():
        if name != "iterations":
            tell(f"note: {name} changes from {before[name]} to {value} after iteration {done}")


def _early_end_note(path: Path, done: int, spec: Spec) -> str:
    found = f"the patience of {spec.patience} validations was exhausted"
    return f"note: {path} ended after iteration {done} of {spec.iterations}: {found}"
