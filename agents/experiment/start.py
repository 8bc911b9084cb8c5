"""Start or resume of a run: create the run folder, train, evaluate."""

import io
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from agents.core.agent import InContextAgent, Learner, NetworkAgent
from agents.core.context import build, policy_summary
from agents.core.plain import to_plain
from agents.core.registry import REGISTRIES
from agents.core.spec import Spec
from agents.experiment import weights
from agents.experiment.callbacks import Callback, TrainingInfo
from agents.experiment.engine_notes import change_of_engine, engine_note
from agents.experiment.loop import Training
from agents.experiment.report import finite_family_note, report, train_tasks_note, training_rows
from agents.experiment.run import Run
from agents.experiment.startable import check_evaluations, untrained
from agents.experiment.training import train
from agents.runs import origins
from agents.runs.folder import RunFolder
from agents.runs.history import value_of
from agents.runs.interrupt import Interrupted, stopping_at_once
from agents.runs.messages import tell, warn
from agents.runs.program import program
from agents.runs.progress import Progress
from agents.runs.provenance import provenance
from agents.runs.saved_spec import names_in, spec_of
from agents.tracking.tracker import TrackedRun
from agents.tracking.tracking import Tracking, check_trackers, tracked
from envs import TaskDistribution
from envs.core.check import check_before_training
from qrl.common.errors import UsageError
from qrl.common.files import check_replaceable
from qrl.common.trust import NamedCode, Trust, code_used, remember
from qrl.noise.model import inline_calibrations


def run_training(
    spec: Spec,
    out: Path,
    *,
    overwrite: bool = False,
    start_from: Path | None = None,
    track: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    command: Sequence[str] = (),
    note: str = "",
    quiet: bool = False,
) -> Run:
    """Create the run folder, train, evaluate; return the run. All checks come before any file is written.

    Args:
        spec: spec of the run.
        out: run folder to create.
        overwrite: replace an existing run in this folder.
        start_from: run from whose trained weights to start; see `agents.experiment.weights`.
        track: trackers, by name; see `agents.tracking`.
        callbacks: callbacks of training.
        command: command line, for the record.
        note: text that is shown once nothing is left to refuse.
        quiet: print nothing but warnings and notes.

    Raises:
        UsageError: an option is invalid, or the folder cannot be created.
        TrainingError: a reward, loss or gradient is not finite.
        Interrupted: after a signal, once a checkpoint is saved.
    """
    check_trackers(track)
    spec = replace(spec, noise=inline_calibrations(spec.noise))  # The run then does not depend on the calibration file.
    with code_used() as used:
        for role in REGISTRIES:
            spec.plugin(role)
        distribution, agent = build(spec)
    check_evaluations(spec, agent, distribution)
    training = Training(spec, distribution, agent) if isinstance(agent, Learner) else None
    found = origins.of(spec)
    if training is not None and found["env"]["from"] != "this library":  # its own are checked by the tests
        check_before_training(distribution)
    if unused := _without_effect(agent, command):
        warn(f"no effect: {', '.join(unused)}: agent {spec.agent} does not use it")
    about: dict[str, object] = {}
    if start_from is not None:
        about[weights.KEY] = to_plain(_start_from(start_from, training, spec))
    summary = policy_summary(spec, agent)
    about |= {} if summary is None else {"policy": summary.to_json()}
    folder = RunFolder.create(
        out, {"spec": spec.to_json(), "origins": found, **about, **provenance(command)}, overwrite=overwrite
    )
    _remember(used)
    for text in (note, _validation_note(spec, distribution) if training is not None else ""):
        if text:
            tell(text)
    if summary is not None and not quiet:
        print(f"policy: {summary}")
    _print_engine(spec, agent, quiet)
    with folder.lock():
        if training is not None and start_from is not None:
            training.save(folder)
        with _tracked(track, folder, spec, training) as trackers:
            return _finish(folder, training, quiet, spec.objects, callbacks=(*trackers, *callbacks))


def _start_from(path: Path, training: Training | None, spec: Spec) -> weights.Origin:
    """Give the agent the trained weights of another run, and return their origin."""
    if training is None:
        raise untrained(spec)
    origin, trained = weights.read_weights(path)
    weights.start_from(training, trained, str(path))
    if text := weights.different_model(path, spec):
        warn(text)
    return origin


def _validation_note(spec: Spec, distribution: TaskDistribution) -> str:
    """Return a note if the family has no validation tasks besides its train tasks; else ""."""
    count = distribution.n_distinct("validation")
    if not spec.validate_every or count is None or distribution.validation:
        return ""
    return train_tasks_note(spec.env, "validation", count)


def _print_engine(spec: Spec, agent: object, quiet: bool) -> None:
    if not quiet and (note := engine_note(spec, agent)):
        print(note)


def _without_effect(agent: object, command: Sequence[str]) -> list[str]:
    """Return the command-line options that have no effect on this agent."""
    given = [word.partition("=")[0] for word in command if word.startswith("--")]
    unused = (
        set() if isinstance(agent, Learner) else {"--iterations", "--validate-every", "--validate-tasks", "--patience"}
    )
    unused |= {"--eval-steps"} if isinstance(agent, InContextAgent) else set()
    roles = () if isinstance(agent, NetworkAgent) else ("--model", "--policy")
    return [name for name in given if name in unused or name.partition(".")[0] in roles]


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
        for output in _outputs(folder):
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
        _remember(used)
        _print_engine(spec, agent, quiet)
        with _tracked(track, folder, spec, training) as trackers:
            return _finish(folder, training, quiet, spec.objects, trust.names, (*trackers, *callbacks))


def _tracked(
    names: Sequence[str], folder: RunFolder, spec: Spec, training: Training | None
) -> AbstractContextManager[tuple[Tracking, ...]]:
    """Open the trackers of a run."""
    iteration = training.iteration if training is not None else 0
    return tracked(names, TrackedRun(folder.path, spec, folder.checkpoints.identity, iteration))


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


def _remember(used: list[NamedCode]) -> None:
    """Remember that the user trains with this code, so that later commands on the run need no consent."""
    try:
        remember(used)
    except UsageError as error:
        warn(f"{error}: later commands on the run will ask for --trust")


def _outputs(folder: RunFolder) -> tuple[Path, Path]:
    """Return the paths of the curve's JSON file and of its plot."""
    return folder.path / "evaluation.json", folder.path / "adaptation.png"


def _finish(
    folder: RunFolder,
    training: Training | None,
    quiet: bool,
    objects: Mapping[str, object],
    names: Mapping[str, str] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train for the remaining iterations, then evaluate on test tasks; return the run."""
    if training is not None:
        stream = io.StringIO() if quiet else None
        with Progress(training.spec.iterations, training.iteration, stream) as progress:
            train(training, folder, progress, callbacks)
    with interruptible_evaluation(folder.path):
        run = Run(folder, objects, Trust(everything=True, names=names or {}))  # This process has executed the code.
        spec = run.spec
        curve = run.evaluate(tasks=spec.eval_tasks, episodes=spec.eval_episodes)
        table, picture = _outputs(folder)
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
