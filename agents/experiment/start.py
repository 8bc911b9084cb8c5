"""Start of a run: create the run folder, train, evaluate."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agents.core.agent import InContextAgent, Learner, NetworkAgent
from agents.core.context import build, policy_summary
from agents.core.plain import to_plain
from agents.core.registry import REGISTRIES
from agents.core.spec import Spec
from agents.experiment import weights
from agents.experiment.callbacks import Callback
from agents.experiment.finish import finish, open_trackers, print_engine, remember_code
from agents.experiment.loop import Training
from agents.experiment.report import train_tasks_note
from agents.experiment.run import Run
from agents.experiment.startable import check_evaluations, untrained
from agents.runs import origins
from agents.runs.folder import RunFolder
from agents.runs.messages import tell, warn
from agents.runs.provenance import provenance
from agents.shards.team import team
from agents.tracking.remembered import remember_trackers
from agents.tracking.tracking import check_trackers
from envs import TaskDistribution
from envs.core.check import check_before_training
from qrl.common.trust import code_used
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
    with team(spec.shards, spec.device) as members:
        with code_used() as used:
            for role in REGISTRIES:
                spec.plugin(role)
            distribution, agent = build(spec)
        check_evaluations(spec, agent, distribution)
        training = Training(spec, distribution, agent, members) if isinstance(agent, Learner) else None
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
        remember_code(used)
        for text in (note, _validation_note(spec, distribution) if training is not None else ""):
            if text:
                tell(text)
        for text in distribution.notes:
            warn(text)
        if summary is not None and not quiet:
            print(f"policy: {summary}")
        print_engine(spec, agent, quiet)
        with folder.lock():
            if track:
                remember_trackers(folder.path, track)
            if training is not None and start_from is not None:
                training.save(folder)
            with open_trackers(track, folder, spec, training) as trackers:
                return finish(folder, training, quiet, spec.objects, callbacks=(*trackers, *callbacks))


def follow_training(spec: Spec) -> None:
    """Take part in the training of a spec that another process leads, to its end; print and write nothing.

    Raises as `run_training` does.
    """
    distribution, agent = build(spec)
    with team(spec.shards, spec.device) as members:
        if isinstance(agent, Learner):
            Training(spec, distribution, agent, members).follow()


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


def _without_effect(agent: object, command: Sequence[str]) -> list[str]:
    """Return the command-line options that have no effect on this agent."""
    given = [word.partition("=")[0] for word in command if word.startswith("--")]
    unused = (
        set() if isinstance(agent, Learner) else {"--iterations", "--validate-every", "--validate-tasks", "--patience"}
    )
    unused |= {"--eval-steps"} if isinstance(agent, InContextAgent) else set()
    roles = () if isinstance(agent, NetworkAgent) else ("--model", "--policy")
    return [name for name in given if name in unused or name.partition(".")[0] in roles]
