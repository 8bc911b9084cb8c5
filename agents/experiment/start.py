"""Start or resume of a run: create the run folder, train, evaluate."""

import io
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from agents.core.agent import InContextAgent, Learner, NetworkAgent
from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.evaluation import check_evaluation
from agents.experiment.loop import Training
from agents.experiment.loop import train as train_loop
from agents.experiment.report import how_many, report, training_rows, warn
from agents.experiment.run import Run
from agents.runs import origins
from agents.runs.folder import RunFolder
from agents.runs.interrupt import Interrupted, stopping_at_once
from agents.runs.program import program
from agents.runs.progress import Progress
from agents.runs.provenance import provenance
from envs.core.check import check_before_training
from qrl.common.errors import UsageError
from qrl.noise.model import inline_calibrations


def run_training(spec: Spec, out: Path, *, overwrite: bool, command: Sequence[str], quiet: bool = False) -> int:
    """Create the run folder, train, evaluate; return the exit code. All checks come before any file is written."""
    spec = Spec.from_json(spec.to_json())  # The round trip detects options of a wrong type.
    spec = replace(spec, noise=inline_calibrations(spec.noise))  # The run then does not depend on the calibration file.
    distribution, agent = build(spec)
    check_evaluation(agent, distribution, spec.eval_episodes)
    training = Training(spec, distribution, agent) if isinstance(agent, Learner) else None
    if training is not None and origins.of(spec)["env"]["from"] != "this library":  # its own are checked by the tests
        check_before_training(distribution)
    if idle := _without_effect(agent, command):
        warn(f"without effect: {', '.join(idle)}: agent {spec.agent} makes no use of it")
    config = {"spec": spec.to_json(), "origins": origins.of(spec), **provenance(command)}
    folder = RunFolder.create(out, config, overwrite=overwrite)
    with folder.lock():
        return _finish(folder, training, quiet)


def _without_effect(agent: object, command: Sequence[str]) -> list[str]:
    """Return the command-line options that have no effect on this agent."""
    given = [word.partition("=")[0] for word in command if word.startswith("--")]
    unused = {"--iterations"} if not isinstance(agent, Learner) else set()
    unused |= {"--eval-steps"} if isinstance(agent, InContextAgent) else set()
    roles = () if isinstance(agent, NetworkAgent) else ("--model", "--policy")
    return [name for name in given if name in unused or name.partition(".")[0] in roles]


def run_resume(path: Path, iterations: int | None = None) -> int:
    """Resume a run from its last checkpoint, optionally with a new number of iterations; return the exit code."""
    folder = RunFolder.open(path)
    with folder.lock():
        for change in origins.changes(folder):
            warn(change)
        spec = Spec.from_json(folder.spec, where=str(path / "config.json"))
        distribution, agent = build(spec)
        if not isinstance(agent, Learner):
            raise UsageError(f"{path}: agent {spec.agent} does not train; there is nothing to resume")
        checkpoint = folder.checkpoints.load() if folder.checkpoints.iterations() else None
        done = 0 if checkpoint is None else checkpoint.iteration
        if iterations is not None:
            spec = _extend(folder, done, iterations)
        training = Training(spec, distribution, agent)
        if checkpoint is None:
            print(f"note: {path} ended before its first checkpoint; starting from iteration 0", file=sys.stderr)
        else:
            training.load(checkpoint)
            for problem in checkpoint.problems:
                warn(f"{problem}; going on from iteration {done}")
        for problem in folder.metrics.trim(done):
            warn(f"{problem}, dropped")
        return _finish(folder, training, quiet=False)


def _extend(folder: RunFolder, done: int, iterations: int) -> Spec:
    """Change the number of iterations of a run; return the new spec.

    Raises UsageError for fewer iterations than are done.
    """
    if iterations < done:
        raise UsageError(f"{folder.path}: --iterations {iterations} is less than the {done} done")
    folder.extend(iterations)
    return Spec.from_json(folder.spec)


def _finish(folder: RunFolder, training: Training | None, quiet: bool) -> int:
    """Train for the remaining iterations, then evaluate on test tasks; return the exit code."""
    if training is not None:
        stream = io.StringIO() if quiet else None
        with Progress(training.spec.iterations, training.iteration, stream) as progress:
            code = train_loop(training, folder, progress)
        if code:
            return code

    def evaluate() -> None:
        run = Run(folder)
        spec = run.spec
        curve = run.evaluate(tasks=spec.eval_tasks, episodes=spec.eval_episodes)
        table, picture = folder.path / "evaluation.json", folder.path / "adaptation.png"
        report(curve, training_rows(run), table, picture, quiet=quiet, note=how_many(run, curve))

    return evaluating(folder.path, evaluate)


def evaluating(path: Path, work: Callable[[], None]) -> int:
    """Run an evaluation, which a signal stops immediately; return the exit code."""
    try:
        with stopping_at_once():
            work()
    except Interrupted as stop:
        command = f"{program()} evaluate {shlex.quote(str(path))}"
        print(f"evaluation interrupted; training is saved: {command}", file=sys.stderr)
        return stop.exit_code
    return 0
