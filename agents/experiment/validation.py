"""Evaluation on validation tasks during training, which changes nothing of the training itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from agents.core.context import find_execution
from agents.core.global_generators import restored_generators
from agents.experiment.evaluation import STATISTICS, Curve, curve_of, names_of
from agents.experiment.loop import Training
from agents.experiment.returns import EvaluationPlan
from agents.runs.folder import RunFolder
from agents.runs.validation import best_iteration, has_stopped, is_due, scores
from envs.core.task_vector import TaskVectorEnv
from qrl.common.errors import TrainingError


class Validation:
    """Evaluations on validation tasks at the intervals of the spec, the best checkpoint, and early stopping.

    Raises:
        UsageError: the rows of earlier validations are damaged.
    """

    def __init__(self, training: Training, folder: RunFolder) -> None:
        self.training, self.folder, self.spec = training, folder, training.spec
        self._scores = scores(folder.validation)
        self._envs: dict[tuple[int, int, str], TaskVectorEnv] = {}

    @property
    def best_iteration(self) -> int | None:
        """Iteration with the best score so far; None before the first validation."""
        return best_iteration(self._scores)

    @property
    def is_exhausted(self) -> bool:
        """Whether the patience is exhausted, which ends training."""
        return has_stopped(self._scores, self.spec.patience)

    @property
    def is_due(self) -> bool:
        """Whether the agent is to be validated now."""
        spec = self.spec
        return is_due(self._scores, self.training.iteration, every=spec.validate_every, last=spec.iterations)

    def validate(self) -> Curve:
        """Evaluate the agent on validation tasks, keep its checkpoint if it is the best one so far; return the curve.

        Raises:
            TrainingError: the agent diverges, or an environment fails.
            UsageError: the operating system refuses to write.
        """
        iteration = self.training.iteration
        try:
            with undisturbed(self.training):
                curve = self._curve()
        except TrainingError as error:
            raise TrainingError(f"validation after iteration {iteration}: {error}") from error
        if all(curve.score > score for score in self._scores.values()):
            self.training.save_best(self.folder)
        # After the checkpoint: if the process is killed between the two, a resumed run validates again.
        self.folder.validation.append(self._row(curve))
        self._scores[iteration] = curve.score
        return curve

    def note(self, curve: Curve) -> str:
        """Return a line about a validation, for the progress of training."""
        n = f".{curve.digits}f"
        ends = " -> ".join(f"{value:{n}}" for value in dict.fromkeys((curve.mean[0], curve.mean[-1])))
        best = self.best_iteration
        which = "the best so far" if best == curve.iteration else f"the best is that of iteration {best}"
        return f"validation after iteration {curve.iteration}: return {ends}, {which}"

    def _curve(self) -> Curve:
        spec = self.spec
        plan = EvaluationPlan(
            spec.validate_tasks, spec.eval_steps, spec.eval_episodes, "validation", device=spec.device
        )
        evaluated = self.training.evaluate(plan, self._env)
        curve = curve_of(evaluated, self.training.distribution, plan, names_of(spec, self.training.agent))
        return replace(curve, iteration=self.training.iteration)

    def _env(self, n_tasks: int, n_envs: int, device: str) -> TaskVectorEnv:
        """Return an environment of the validation; it is kept, because a pool of processes takes long to start."""
        sizes = (n_tasks, n_envs, device)
        if sizes not in self._envs:
            self._envs[sizes] = self.training.distribution.vectorise(*sizes)
        return self._envs[sizes]

    def _row(self, curve: Curve) -> dict[str, object]:
        statistics = {name: getattr(curve, name) for name in ("axis", "x", *STATISTICS)}
        return {
            "iteration": curve.iteration,
            "env_steps": self.training.env_steps,
            "score": curve.score,
            "n_tasks": curve.n_tasks,
            **statistics,
        }


@contextmanager
def undisturbed(training: Training) -> Iterator[None]:
    """Restore at exit whatever an evaluation may change: the stream and the count of shots, and global generators.

    The agent itself is not changed: its state in a task is passed in and returned. Third-party code may draw from
    global generators.
    """
    execution = find_execution(training.agent)
    shots = None if execution is None else (execution.generator.get_state(), execution.counter.circuits)
    try:
        with restored_generators([torch.device(training.spec.device)] if training.spec.device != "cpu" else []):
            yield
    finally:
        if execution is not None and shots is not None:
            execution.generator.set_state(shots[0])
            execution.counter.circuits = shots[1]
