"""Workers: processes that work on a search together, on this machine or on Ray; each is a `tune` of its own."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from agents.runs.messages import tell
from agents.study.executor import Executor, Job
from agents.study.progress import State
from agents.study.schedule import failure, run_jobs
from agents.tuning.held_out import count_trained
from agents.tuning.record import Record, line_about
from agents.tuning.request import SearchRequest
from qrl.common.errors import TrainingError, UsageError

INTERVAL = 0.5
"""Time between two looks at the trials [s]."""


@dataclass(frozen=True)
class Workers:
    """Workers that a search is to have."""

    place: AbstractContextManager[Executor]
    """Where they run; entered once all checks have passed."""
    words: tuple[str, ...]
    """Command line of each: that of the search, without --jobs and --ray."""
    jobs: int | None = None
    """Workers at a time; None: as many as the place has room for."""


@dataclass
class Worker:
    """Worker, as the schedule of jobs sees it."""

    name: str
    state: State = "waiting"
    reason: str = ""
    """Reason why it failed."""
    code: int = 1
    """Exit code, once it has ended."""

    def begin(self) -> None:
        """Note the start."""
        self.state = "running"

    def finish(self, code: int) -> bool:
        """Note the exit code; return whether the worker has done its part."""
        self.code = code
        if code == 0:
            self.state = "done"
        return code == 0


@dataclass(frozen=True)
class Failures:
    """Workers that have failed."""

    lines: tuple[str, ...] = ()
    """A line about each."""
    is_bad_input: bool = False
    """Whether one of them has refused its input."""

    def error(self, request: SearchRequest) -> UsageError | TrainingError:
        """Return the error of a search that they have not brought to its end."""
        count = "1 worker" if len(self.lines) == 1 else f"{len(self.lines)} workers"
        text = f"{request.out}: {count} failed; started again, the search continues: {self.lines[0]}"
        return UsageError(text) if self.is_bad_input else TrainingError(text)


class Progress:
    """Report of what the workers do: a line about each trial and about each training of the comparison, once.

    Args:
        request: request of the search.
        record: function that returns what the search has found so far.
        quiet: show nothing.
    """

    def __init__(self, request: SearchRequest, record: Callable[[], Record], *, quiet: bool) -> None:
        self._request, self._record, self._quiet = request, record, quiet
        before = record()
        self._told = {each.number for each in before.trials if each.has_ended}
        self._trained, _ = _trained(request, before)
        self._last = -INTERVAL

    def update(self) -> None:
        """Tell what is new, if it is time."""
        if (now := time.monotonic()) - self._last >= INTERVAL:
            self._last = now
            self.close()

    def finished(self, worker: Worker, text: str = "") -> None:
        """Tell of a worker that failed."""
        if text:
            self.note(text)

    def note(self, text: str) -> None:
        """Tell a line."""
        if not self._quiet:
            tell(text)

    def close(self) -> None:
        """Tell what is new."""
        for line in self._news():
            self.note(line)

    def _news(self) -> Iterator[str]:
        record = self._record()
        for each in record.trials:
            if each.has_ended and each.number not in self._told:
                self._told.add(each.number)
                known = tuple(one for one in record.trials if one.number in self._told)
                yield line_about(replace(record, trials=known), each.number)
        done, total = _trained(self._request, record)
        if done > self._trained:
            self._trained = done
            yield f"comparison with the defaults: {done} of {total} trainings done"


def run_workers(
    request: SearchRequest, workers: Workers, executor: Executor, record: Callable[[], Record], *, quiet: bool
) -> Failures:
    """Run the workers of a search to their end, no more than there are trials or trainings left; return the failures.

    A worker that is lost with its machine is submitted again; the others continue its trial.

    Args:
        request: request of the search, which has begun.
        workers: the workers.
        executor: where they run.
        record: function that returns what the search has found so far.
        quiet: show no progress.

    Raises:
        Interrupted: after a signal, once all have saved their checkpoints.
    """
    threads, gpus = request.spec.threads, int(request.spec.device == "cuda")
    count = min(workers.jobs or max(1, executor.room // threads), left(request, record()))
    waiting = []
    for index in range(count):
        name = f"worker-{index}"
        waiting.append((Worker(name), Job(workers.words, request.out / f"{name}.log", threads, gpus)))
    jobs = {worker.name: job for worker, job in waiting}
    run_jobs(waiting, executor, count, Progress(request, record, quiet=quiet), lambda worker: jobs[worker.name])
    failed = [worker for worker, _ in waiting if worker.state == "failed"]
    lines = tuple(failure(each, jobs[each.name].log) for each in failed)
    return Failures(lines, is_bad_input=any(each.code == 2 for each in failed))


def left(request: SearchRequest, record: Record) -> int:
    """Return how many trials have not ended; after the last one, how many trainings of the comparison."""
    if record.n_ended < record.wanted:
        return record.wanted - record.n_ended
    done, total = _trained(request, record)
    return total - done


def _trained(request: SearchRequest, record: Record) -> tuple[int, int]:
    """Return how many trainings of the comparison have come to their end, and of how many; (0, 0) before it."""
    is_over = record.n_ended >= record.wanted
    return count_trained(request, record.best) if is_over and record.best is not None else (0, 0)
