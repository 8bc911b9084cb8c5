"""Work on a search: train trials until all are done, then compare the best options with the defaults."""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from agents.core.registry import REGISTRIES
from agents.experiment.finish import remember_code
from agents.runs.interrupt import Interrupted
from agents.runs.messages import tell, without_password
from agents.runs.provenance import provenance
from agents.runs.seal import is_search
from agents.study.executor import Executor
from agents.tuning.folder import BEST, check_folder, folder_lock, write_outputs
from agents.tuning.held_out import compare
from agents.tuning.ranges import Value
from agents.tuning.record import HeldOut, Record, State, TrialRecord, line_about
from agents.tuning.request import SearchRequest
from agents.tuning.search import Claim, Search, check_search
from agents.tuning.storage import check_storage, storage_errors
from agents.tuning.training import Pruned, Refused, score_trial
from agents.tuning.workers import Failures, Workers, left, run_workers
from qrl.common.errors import TrainingError
from qrl.common.trust import code_used

POLL = 0.5
"""Time between two looks at the trials of other processes [s]."""


@dataclass(frozen=True)
class Tuning:
    """Search that has come to its end."""

    path: Path
    """Folder of the search."""
    record: Record
    failed: tuple[str, ...] = ()
    """A line about each worker that failed."""

    @property
    def best(self) -> Mapping[str, Value]:
        """Best values of the tuned options by name; empty if no trial is complete."""
        return {} if self.record.best is None else self.record.best.options

    @property
    def score(self) -> float | None:
        """Score of the best options on the train tasks of the search, by which they were chosen."""
        return None if self.record.best is None else self.record.best.score

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """All trials."""
        return self.record.trials

    @property
    def held_out(self) -> HeldOut | None:
        """Comparison with the defaults, on tasks and from seeds that the search has not seen."""
        return self.record.held_out

    @property
    def config(self) -> Path:
        """Configuration with the best options, for `--config`."""
        return self.path / BEST


def run_tuning(
    request: SearchRequest,
    workers: Workers | None = None,
    *,
    command: Sequence[str] = (),
    again: str = "",
    quiet: bool = False,
) -> Tuning:
    """Work on a search until it has come to its end. All checks come before any file is written.

    Args:
        request: request of the search.
        workers: processes that work on it; None: this process.
        command: command line, for the record.
        again: how to continue after an interruption, in words.
        quiet: show no progress.

    Raises:
        UsageError: the folder or the storage holds something else, or the place of the workers refuses.
        TrainingError: no trial is complete, a training of the comparison diverges, or workers that failed have left
            something to train.
        Interrupted: after a signal, once checkpoints are saved.
    """
    check_folder(request.out, request.study_name, request.storage)
    if check_storage(request.storage):
        check_search(request)
    recorded = [without_password(word) for word in command]
    try:
        with storage_errors(request.storage), nullcontext() if workers is None else workers.place as executor:
            work = _Work(request, recorded, quiet=quiet)
            failures = Failures() if workers is None or executor is None else work.share(workers, executor)
            return replace(work.finish(), failed=failures.lines)
    except Interrupted as stop:
        tell(f"stopped; to continue: {without_password(again)}")
        stop.told = True
        raise


class _Work:
    """Work of this process on a search."""

    def __init__(self, request: SearchRequest, command: Sequence[str], *, quiet: bool) -> None:
        self.request, self.command, self.quiet = request, command, quiet
        self.about = provenance(command)
        with code_used() as used:
            for role in REGISTRIES:
                request.spec.plugin(role)
        with folder_lock(request.out):
            check_folder(
                request.out, request.study_name, request.storage
            )  # Again: another process may have been here meanwhile.
            old = Record.read(request.out).held_out if is_search(request.out) else None
            self.search = Search(request)
            self._write(old)
        remember_code(used)

    def share(self, workers: Workers, executor: Executor) -> Failures:
        """Let workers train everything; return those that failed.

        Raises:
            UsageError, TrainingError: they have left something to train.
            Interrupted: after a signal, once all have saved their checkpoints.
        """
        failures = run_workers(self.request, workers, executor, lambda: self._record(None), quiet=self.quiet)
        if failures.lines and left(self.request, self._record(None)):
            raise failures.error(self.request)
        return failures

    def finish(self) -> Tuning:
        """Train trials until all are done, then compare."""
        while True:
            with folder_lock(self.request.out):
                if (claim := self.search.claim()) is not None:
                    self._write(None)
            if claim is not None:
                with claim.lock:
                    self._train(claim)
                continue
            if self.search.is_finished() or self._only_elsewhere():
                break
            time.sleep(POLL)  # Others are training; a trial of theirs may have to be continued.
        record = self._record(None)
        if (best := record.best) is None:
            raise TrainingError(f"{self.request.out}: no trial came to its end; {_reasons(record)}")
        found = compare(self.request, best, self.command, quiet=self.quiet)
        with folder_lock(self.request.out):
            return Tuning(self.request.out, self._write(found))

    def _only_elsewhere(self) -> bool:
        """Return whether all trials that have not ended belong to other folders; tell of them."""
        elsewhere = self.search.elsewhere()
        if not elsewhere or len(elsewhere) < sum(each.state == "running" for each in self._record(None).trials):
            return False
        numbers = ", ".join(map(str, elsewhere))
        remedy = "wait for their processes, or start again with --take-over if these are gone"
        tell(f"trials of other folders have not ended: {numbers}: {remedy}")
        return True

    def _train(self, claim: Claim) -> None:
        """Train a claimed trial to its end, and record its outcome."""
        request, search = self.request, self.search
        outcome: tuple[float | None, State, str]
        try:
            specs = request.specs_of(claim.options)
            report = partial(search.report, claim)
            score = score_trial(specs, claim.path, request.protocol, claim.reported, report, self.command)
            outcome = score, "complete", ""
        except Pruned:
            outcome = None, "pruned", ""
        except TrainingError as error:
            outcome = None, "diverged", str(error)
        except Refused as error:
            outcome = None, "refused", str(error)
        with folder_lock(request.out):
            search.finish(claim, *outcome)
            record = self._write(None)
        if not self.quiet:
            tell(line_about(record, claim.number))

    def _record(self, held_out: HeldOut | None) -> Record:
        request = self.request
        return Record(
            name=request.study_name,
            storage=without_password(request.storage),
            spec=request.spec.to_json(),
            ranges=request.ranges,
            protocol=request.protocol,
            defaults=request.defaults,
            wanted=request.trials,
            trials=tuple(self.search.trials()),
            held_out=held_out,
        )

    def _write(self, held_out: HeldOut | None) -> Record:
        """Write the files of the search, with a comparison if it is that of the best options; return the record."""
        record = self._record(held_out)
        if held_out is not None and (record.best is None or record.best.number != held_out.trial):
            record = replace(record, held_out=None)
        if self.search.is_finished():
            record = replace(record, importance=self.search.importance())
        write_outputs(self.request.out, self.request.spec, record, self.about)
        return record


def _reasons(record: Record) -> str:
    reasons = [f"trial {each.number}: {each.reason}" for each in record.trials if each.reason]
    return reasons[0] if reasons else "all were pruned"
