"""Comparison of the best options with the defaults, on train tasks and from seeds that the search has not seen.

Each training is a folder held-out/NAME-seedN, with its run and the scores of the tasks in scores.json. All processes of
the search share the trainings.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from agents.compare.statistics import difference
from agents.core.spec import Spec
from agents.runs.interrupt import Interrupts
from agents.runs.messages import tell
from agents.runs.seal import digest
from agents.tuning.folder import HELD_OUT as FOLDER
from agents.tuning.folder import try_lock
from agents.tuning.ranges import Value, with_values
from agents.tuning.record import HeldOut, TrialRecord
from agents.tuning.request import FIRST_HELD_OUT_SEED, SearchRequest
from agents.tuning.training import HELD_OUT, seeded_run
from qrl.common.errors import UsageError
from qrl.common.files import LARGEST_RESULT, from_json, to_json, write_atomically

POLL = 0.5
"""Time between two looks at the trainings of other processes [s]."""


@dataclasses.dataclass(frozen=True)
class _Training:
    """Training of the comparison."""

    path: Path
    spec: Spec

    @property
    def key(self) -> str:
        """Digest of all that determines the scores."""
        return digest(self.spec.to_json())

    def scores(self) -> list[float] | None:
        """Return the scores of the tasks; None before the training has come to its end."""
        try:
            data = from_json(self.path / "scores.json", LARGEST_RESULT)
        except UsageError:
            return None
        if not isinstance(data, dict) or data.get("key") != self.key:
            return None
        scores = data.get("scores")
        if not isinstance(scores, list) or len(scores) != self.spec.eval_tasks or not all(map(_is_number, scores)):
            return None  # Damaged: the run, which is kept, is scored again.
        return [float(score) for score in scores]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def compare(
    request: SearchRequest, best: TrialRecord, command: Sequence[str], *, quiet: bool = False
) -> HeldOut | None:
    """Train and compare; None if the best options are the defaults, or no comparison is asked for.

    Raises:
        TrainingError: a training diverges.
        Interrupted: after a signal, once a checkpoint is saved.
    """
    if not _is_wanted(request, best):
        return None
    trainings = _trainings(request, best)
    _train(trainings, command, quiet=quiet)
    default, tuned = (np.array([each.scores() for each in own]) for own in (trainings[::2], trainings[1::2]))
    found = difference(tuned, default)
    return HeldOut(
        trial=best.number,
        seeds=tuple(each.spec.seed for each in trainings[::2]),
        tasks=tuned.shape[1],
        best=float(tuned.mean()),
        default=float(default.mean()),
        difference=found.value,
        low=found.low,
        high=found.high,
    )


def count_trained(request: SearchRequest, best: TrialRecord) -> tuple[int, int]:
    """Return how many trainings of the comparison have come to their end, and of how many; (0, 0) without one."""
    trainings = _trainings(request, best) if _is_wanted(request, best) else []
    return sum(each.scores() is not None for each in trainings), len(trainings)


def _is_wanted(request: SearchRequest, best: TrialRecord) -> bool:
    return request.held_out_seeds > 0 and any(request.defaults[name] != each for name, each in best.options.items())


def _trainings(request: SearchRequest, best: TrialRecord) -> list[_Training]:
    """Return the trainings with the defaults and with the best options, by turns, from the same seeds."""
    seeds = range(FIRST_HELD_OUT_SEED, FIRST_HELD_OUT_SEED + request.held_out_seeds)
    sides: dict[str, Mapping[str, Value]] = {"default": {}, f"trial-{best.number:04d}": best.options}
    return [_training(request, name, options, seed) for seed in seeds for name, options in sides.items()]


def _training(request: SearchRequest, name: str, options: Mapping[str, Value], seed: int) -> _Training:
    spec = dataclasses.replace(with_values(request.spec, options), seed=seed)
    return _Training(request.out / FOLDER / f"{name}-seed{seed}", spec)


def _train(trainings: Sequence[_Training], command: Sequence[str], *, quiet: bool) -> None:
    """Train what is missing, of which other processes may train a part; return once everything is there."""
    while missing := [each for each in trainings if each.scores() is None]:
        taken = 0
        for each in missing:
            if (lock := try_lock(each.path)) is None:
                continue
            with lock:
                if each.scores() is None:  # Another process may have finished it meanwhile.
                    _train_one(each, command)
                    done = sum(one.scores() is not None for one in trainings)
                    if not quiet:
                        tell(f"comparison with the defaults: {done} of {len(trainings)} trainings done")
                taken += 1
        if not taken:
            time.sleep(POLL)


def _train_one(training: _Training, command: Sequence[str]) -> None:
    spec = training.spec
    with Interrupts() as stop, seeded_run(spec, training.path / "run", command) as (run, folder):
        run.train(folder, spec.iterations, stop)
        scores = run.scores(spec.eval_tasks, HELD_OUT)
    content = {"key": training.key, "scores": scores.tolist()}
    write_atomically(training.path / "scores.json", to_json(content).encode(), follow_links=False)
