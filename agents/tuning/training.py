"""Training of one set of options from a seed, in a run folder of its own, and its score on train tasks.

No task of another split is ever drawn. Tasks and episodes of the scores of trials have random streams of their own, and
so have those of the comparison at the end: no training with any seed, and no evaluation, has them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from agents.core.agent import Agent, Learner
from agents.core.context import build, policy_summary
from agents.core.spec import Spec
from agents.experiment.loop import Training
from agents.experiment.returns import EvaluationPlan, evaluate_returns
from agents.experiment.validation import undisturbed
from agents.runs import origins
from agents.runs.folder import RunFolder
from agents.runs.interrupt import Interrupted, Interrupts
from agents.runs.messages import warn
from agents.runs.provenance import provenance
from agents.runs.seal import digest
from envs import TaskDistribution
from qrl.common.errors import UsageError

SCORES, HELD_OUT = 0x7E57_0001, 0x7E57_0002
"""Keys of the random streams of the scores of trials, and of the comparison at the end."""


class Pruned(Exception):
    """Signal that a trial is not worth its remaining iterations."""


class Refused(Exception):
    """Error about options that do not go together."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Protocol by which every trial of a search is trained and scored."""

    seeds: tuple[int, ...]
    """Seeds of the trainings of a trial, whose scores are averaged."""
    tasks: int
    """Train tasks of a score [tasks]."""
    score_every: int
    """Interval of scores [meta-iterations]."""

    def rungs(self, iterations: int) -> list[int]:
        """Return the iterations after which a trial is scored, and may be pruned: the last one is the end."""
        return [*range(self.score_every, iterations, self.score_every), iterations]


class SeededRun:
    """Training from one seed; of an agent that does not learn, only its evaluations."""

    def __init__(self, spec: Spec, distribution: TaskDistribution, agent: Agent[object]) -> None:
        self.spec, self.distribution, self.agent = spec, distribution, agent
        self.training = Training(spec, distribution, agent) if isinstance(agent, Learner) else None
        self._vectorise = cache(distribution.vectorise)

    @property
    def iteration(self) -> int:
        """Completed meta-iterations; of an agent that does not learn, all."""
        return self.spec.iterations if self.training is None else self.training.iteration

    def train(self, folder: RunFolder | None, until: int, stop: Interrupts) -> None:
        """Train up to an iteration, with checkpoints.

        Raises:
            TrainingError: the training diverges.
            Interrupted: after a signal, once a checkpoint is saved.
        """
        if self.training is None or folder is None:
            return
        while self.training.iteration < until:
            folder.metrics.append(self.training.step())
            iteration = self.training.iteration
            if stop or iteration == until or iteration % self.spec.checkpoint_every == 0:
                self.training.save(folder)
            if stop.signal is not None:
                raise Interrupted(stop.signal)

    def scores(self, tasks: int, stream: int) -> np.ndarray:
        """Return the score of each of so many train tasks [task]. The training goes on as if they were not computed."""
        spec = self.spec
        plan = EvaluationPlan(tasks, spec.eval_steps, spec.eval_episodes, "train", 0, spec.device, stream)
        if self.training is None:
            return evaluate_returns(self.agent, self.distribution, plan, self._vectorise).scores
        with undisturbed(self.training):
            return self.training.evaluate(plan, self._vectorise).scores


@contextmanager
def seeded_run(spec: Spec, path: Path, command: Sequence[str]) -> Iterator[tuple[SeededRun, RunFolder | None]]:
    """Open the training of a spec in a run folder, locked for this process: a new one, or from its last checkpoint.

    An agent that does not learn has no run folder. Raises Refused if the options do not go together.
    """
    try:
        distribution, agent = build(spec)
        run = SeededRun(spec, distribution, agent)
    except UsageError as error:
        raise Refused(str(error)) from error
    if run.training is None:
        yield run, None
        return
    folder = _folder(spec, agent, path, command)
    with folder.lock():
        folder.load(run.training.load)
        for problem in folder.rewind(run.training.iteration):
            warn(problem)
        yield run, folder


def _folder(spec: Spec, agent: object, path: Path, command: Sequence[str]) -> RunFolder:
    """Return the run folder of a spec, which may hold a part of its training."""
    try:
        folder = RunFolder.open(path)
    except UsageError:
        pass  # There is none, or a kill left the beginning of one.
    else:
        if digest(folder.spec) == digest(spec.to_json()):
            return folder
    summary = policy_summary(spec, agent)
    about = {} if summary is None else {"policy": summary.to_json()}
    config = {"spec": spec.to_json(), "origins": origins.of(spec), **about, **provenance(command)}
    return RunFolder.create(path, config, overwrite=True)


def score_trial(
    specs: Mapping[str, Spec],
    path: Path,
    protocol: Protocol,
    reported: Mapping[int, float],
    report: Callable[[int, float], bool],
    command: Sequence[str] = (),
) -> float:
    """Train a trial from all its seeds side by side, score it at each rung, and return its last score.

    Args:
        specs: spec of each training, by the name of its run folder.
        path: folder of the trial; what it holds of these trainings is continued.
        protocol: protocol of the search.
        reported: scores by iteration that are known already.
        report: function of iteration and score that returns whether to prune the trial.
        command: command line, for the record.

    Raises:
        Pruned: the trial was pruned.
        Refused: the options do not go together.
        TrainingError: a training diverges.
        UsageError: the operating system refuses to write.
        Interrupted: after a signal, once checkpoints are saved.
    """
    with Interrupts() as stop, ExitStack() as stack:
        runs = [stack.enter_context(seeded_run(spec, path / name, command)) for name, spec in specs.items()]
        learns = any(run.training is not None for run, _ in runs)
        iterations = runs[0][0].spec.iterations
        score = reported.get(iterations)
        for rung in protocol.rungs(iterations) if learns else [iterations]:
            if rung in reported or any(run.iteration > rung for run, _ in runs if run.training is not None):
                continue
            for run, folder in runs:
                run.train(folder, rung, stop)
            score = float(np.mean([run.scores(protocol.tasks, SCORES).mean() for run, _ in runs]))
            if report(rung, score) and rung < iterations:
                raise Pruned
            if stop.signal is not None:
                raise Interrupted(stop.signal)
        assert score is not None
        return score
