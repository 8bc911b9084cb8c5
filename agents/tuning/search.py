"""Search: the trials of one study of Optuna, shared by all processes that work on it.

A trial is claimed under the lock of the search's folder, and its own folder is locked while it is trained. The
operating system releases the locks of a killed process: another one finds a trial that is running but not locked, and
continues it from its checkpoints, under the same number, with the same options and the scores that are known already.
"""

import datetime
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from agents.runs.messages import without_password
from agents.study.folder import differences
from agents.tuning.folder import try_lock
from agents.tuning.ranges import Range, Value, applicable
from agents.tuning.record import State, TrialRecord
from agents.tuning.request import SearchRequest
from agents.tuning.storage import open_storage, remove_torn_entry, storage_errors
from qrl.common.errors import UsageError
from qrl.common.files import kind_of

CLAIMED, REASON, OUTCOME, SURPLUS, IDENTITY = "qrl:claimed", "qrl:reason", "qrl:outcome", "qrl:surplus", "qrl:search"
"""Attributes of trials and of the study."""
STARTUP = 10
"""Trials at random before the first one that the sampler suggests, and before the first one that is pruned."""
CLAIMING = 60.0
"""Time after which a trial without a claim is taken for one whose process was killed while claiming it [s]."""


@dataclass(frozen=True)
class Claim:
    """Trial of this process, locked until it is closed."""

    trial: Trial
    number: int
    options: dict[str, Value]
    reported: dict[int, float]
    """Scores by iteration that are known already."""
    path: Path
    lock: ExitStack


def check_search(request: SearchRequest) -> None:
    """Check that the search of a request can be begun or continued in its storage, which exists; write nothing.

    Raises:
        UsageError: the storage holds a search of this name with other options, or is something else.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = open_storage(request.storage)
    with storage_errors(request.storage):
        try:
            study = optuna.load_study(study_name=request.study_name, storage=storage)
        except KeyError:
            return  # There is no search of this name.
        _check_same(study, request)


def _check_same(study: optuna.Study, request: SearchRequest) -> None:
    """Raise UsageError unless a study is the search of a request, or the beginning of one that a kill left."""
    where = without_password(request.storage)
    saved = study.user_attrs.get(IDENTITY)
    is_begun = saved is None and all(each.state == TrialState.WAITING for each in study.get_trials(deepcopy=False))
    if study.directions != [StudyDirection.MAXIMIZE] or not (is_begun or isinstance(saved, Mapping)):
        raise UsageError(f"{where} holds something else by the name of {study.study_name}: give another --storage")
    if saved is not None and (change := next(differences(saved, request.identity()), "")):
        raise UsageError(f"{where} holds a search with other options ({change}): give another --storage")


class Search:
    """Trials in a storage, seen from the folder of a request.

    Raises:
        UsageError: the storage holds a search of this name with other options, or is something else.
    """

    def __init__(self, request: SearchRequest) -> None:
        self.request = request
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        remove_torn_entry(request.storage)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP)
        self.study = optuna.create_study(
            storage=open_storage(request.storage),
            study_name=request.study_name,
            direction="maximize",
            pruner=pruner,
            load_if_exists=True,
        )
        self._begin()

    # --- trials ------------------------------------------------------------------------------------------------------

    def claim(self) -> Claim | None:
        """Return a trial for this process, locked: one whose process has ended, or else a new one; None without any.

        Call this with the lock of the folder.
        """
        for frozen in self._running():
            if (lock := try_lock(self._path(frozen.number))) is not None:
                return self._claimed(Trial(self.study, frozen._trial_id), lock)
        if len(self._counted()) >= self.request.trials and not self._waiting():
            return None
        trial = self.study.ask()
        before = [each for each in self._counted() if each.number < trial.number]
        if len(before) >= self.request.trials:  # Another machine was faster.
            trial.set_user_attr(SURPLUS, True)
            self.study.tell(trial, state=TrialState.FAIL)
            return None
        lock = try_lock(self._path(trial.number))
        assert lock is not None, "a new trial has a new folder"
        return self._claimed(trial, lock)

    def _claimed(self, trial: Trial, lock: ExitStack) -> Claim:
        """Return a claim of a running trial, whose options are chosen where they are not yet."""
        try:
            trial.set_user_attr(CLAIMED, True)
            self.study.sampler = self._sampler(trial.number)
            options: dict[str, Value] = {}
            for one in sorted(self.request.ranges, key=lambda each: not each.choices):  # Numbers may depend on choices.
                if applicable(self.request.spec, one, options):
                    options[one.name] = suggest(trial, one)
            reported = dict(self.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
        except BaseException:
            lock.close()
            raise
        return Claim(trial, trial.number, options, reported, self._path(trial.number), lock)

    def report(self, claim: Claim, iteration: int, score: float) -> bool:
        """Record a score of a trial; return whether to prune it."""
        claim.trial.report(score, iteration)
        return bool(claim.trial.should_prune())

    def finish(self, claim: Claim, score: float | None, state: State, reason: str) -> None:
        """Record the end of a trial. One that diverged counts as pruned, so that the sampler avoids its options."""
        claim.trial.set_user_attr(OUTCOME, state)
        if reason:
            claim.trial.set_user_attr(REASON, reason)
        if score is None:
            self.study.tell(claim.number, state=TrialState.PRUNED)
        else:
            self.study.tell(claim.number, score)

    def is_finished(self) -> bool:
        """Return whether all trials that were asked for have ended."""
        return len(self._counted(ended=True)) >= self.request.trials

    def elsewhere(self) -> list[int]:
        """Return the numbers of the running trials that belong to other folders."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [each.number for each in running if self._is_elsewhere(each)]

    # --- what is known -----------------------------------------------------------------------------------------------

    def trials(self) -> Iterator[TrialRecord]:
        """Yield a record of each trial."""
        for each in self.study.get_trials(deepcopy=False):
            if SURPLUS in each.user_attrs:
                continue
            scores = tuple(sorted(each.intermediate_values.items()))
            state, score = _state(each), each.value if each.state == TrialState.COMPLETE else None
            options = each.params or dict(each.system_attrs.get("fixed_params", {}))  # of one that waits
            yield TrialRecord(each.number, state, options, score, scores, str(each.user_attrs.get(REASON, "")))

    def importance(self) -> dict[str, float]:
        """Return the importance of each option that all complete trials have; empty without enough of them."""
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < 2 or len({each.value for each in complete}) < 2:
            return {}
        found = optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        return {name: float(value) for name, value in found.items()}

    # --- the storage -------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin a new search with a trial of the defaults, or check that the present one is the same."""
        _check_same(self.study, self.request)
        if IDENTITY not in self.study.user_attrs:
            defaults = self.request.defaults
            if all(each.holds(defaults[each.name]) for each in self.request.ranges):
                self.study.enqueue_trial(defaults, skip_if_exists=True)
            self.study.set_user_attr(IDENTITY, self.request.identity())

    def _counted(self, *, ended: bool = False) -> list[FrozenTrial]:
        """Return the trials that count, or those that have ended, too."""
        found = [each for each in self.study.get_trials(deepcopy=False) if SURPLUS not in each.user_attrs]
        return [each for each in found if each.state.is_finished()] if ended else found

    def _waiting(self) -> bool:
        return bool(self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def _running(self) -> list[FrozenTrial]:
        """Return the running trials that this folder may continue, if nobody has locked them."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [each for each in running if not self._is_elsewhere(each) or self.request.take_over]

    def _is_elsewhere(self, frozen: FrozenTrial) -> bool:
        """Return whether a running trial belongs to another folder: each trial has a folder where it was claimed."""
        if kind_of(self._path(frozen.number)) == "folder":
            return False
        if frozen.user_attrs.get(CLAIMED) or frozen.datetime_start is None:
            return True
        # A process is claiming it in another folder, or was killed meanwhile in this one or another.
        return datetime.datetime.now() - frozen.datetime_start < datetime.timedelta(seconds=CLAIMING)

    def _path(self, number: int) -> Path:
        return self.request.out / f"trial-{number:04d}"

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Return the sampler of a trial. Its seed depends on the trial, so that no two processes choose alike."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                n_startup_trials=STARTUP,
                multivariate=True,
                group=True,  # Options may depend on choices.
                constant_liar=True,  # Trials that others are training are no good place for one more.
                seed=(self.request.spec.seed * 1_000_003 + number) % 2**32,
            )


def suggest(trial: Trial, one: Range) -> Value:
    """Return the value of an option in a trial: the sampler's, or the one that the trial has already."""
    if one.choices:
        return trial.suggest_categorical(one.name, one.choices)
    if one.whole:
        return trial.suggest_int(one.name, int(one.low), int(one.high), log=one.log)
    return trial.suggest_float(one.name, one.low, one.high, log=one.log)


def _state(trial: FrozenTrial) -> State:
    found: Mapping[TrialState, State] = {
        TrialState.WAITING: "waiting",
        TrialState.RUNNING: "running",
        TrialState.COMPLETE: "complete",
    }
    outcomes: Mapping[object, State] = {"diverged": "diverged", "refused": "refused"}
    return found.get(trial.state) or outcomes.get(trial.user_attrs.get(OUTCOME), "pruned")
