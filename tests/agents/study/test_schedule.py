"""Schedule of jobs: their number at a time, failures, signals."""

import io
import signal
from pathlib import Path

import pytest

from agents.core.spec import Spec
from agents.runs.interrupt import Interrupted
from agents.study import progress, schedule
from agents.study.display import Display
from agents.study.executor import Job, Lost
from agents.study.plan import PlannedRun
from agents.study.progress import RunProgress
from agents.study.schedule import failure, run_jobs
from qrl.common.errors import UsageError


@pytest.fixture(autouse=True)
def interrupts():
    """Ctrl-C raises also where a shell that started the tests in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Slow:
    """Handle of a job that ends after some polls, or one poll after it is cancelled."""

    def __init__(self, executor, job, polls, code):
        self.executor, self.job, self.left, self.code = executor, job, polls, code
        self.cancelled = []

    def poll(self):
        self.left -= 1
        if self.left > 0:
            return None
        self.executor.running.discard(self.job.log)
        if isinstance(self.code, Lost):
            raise self.code
        return self.code

    def cancel(self, *, at_once=False):
        self.cancelled.append(at_once)
        self.left, self.code = 1, 143


class Recording:
    """Executor that records how many jobs run at a time. Jobs fail by their codes, or are lost."""

    room = 1

    def __init__(self, codes=(), polls=3, on_submit=lambda number: None):
        self.codes, self.polls, self.on_submit = codes, polls, on_submit
        self.running, self.most, self.handles, self.words = set(), 0, [], []

    def submit(self, job):
        number = len(self.handles)
        self.words.append(job.words)
        code = self.codes[number] if number < len(self.codes) else 0
        if isinstance(code, OSError):
            self.handles.append(None)
            raise code
        self.running.add(job.log)
        self.most = max(self.most, len(self.running))
        self.handles.append(Slow(self, job, self.polls, code))
        self.on_submit(number)
        return self.handles[-1]


def waiting(folder: Path, count: int) -> list[tuple[RunProgress, Job]]:
    spec = Spec.default(iterations=2)
    found = []
    for index in range(count):
        log = folder / f"{index}.log"
        log.write_text(f"began\nlast words of {index}\n\n")
        run = PlannedRun(f"r-seed{index}", "r", (), spec, True)
        found.append((RunProgress(run, folder / run.name, "waiting"), Job((), log, 1)))
    return found


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(schedule, "POLL", 0)
    monkeypatch.setattr(progress, "evaluated_at", lambda path: 2)


def resumed(progress: RunProgress) -> Job:
    return Job(("resume",), progress.path.parent / "0.log", 1)


def run(jobs, executor, at_a_time=2, again=resumed) -> str:
    stream = io.StringIO()
    run_jobs(jobs, executor, at_a_time, Display([each for each, _ in jobs], at_a_time, stream=stream), again)
    return stream.getvalue()


@pytest.mark.parametrize("at_a_time", [1, 2, 9])
def test_number_of_jobs_at_a_time(tmp_path, at_a_time):
    jobs, executor = waiting(tmp_path, 5), Recording()
    run(jobs, executor, at_a_time)
    assert executor.most == min(at_a_time, 5)
    assert [each.state for each, _ in jobs] == ["done"] * 5
    assert [handle.job.log.name for handle in executor.handles] == [f"{index}.log" for index in range(5)]


def test_failures_are_told_and_stop_nothing(tmp_path):
    jobs = waiting(tmp_path, 4)
    shown = run(jobs, Recording([0, 1, -9, OSError(11, "Resource temporarily unavailable")]))
    assert [each.state for each, _ in jobs] == ["done", "failed", "failed", "failed"]
    assert failure(*_named(jobs[1])) == f"failed: r-seed1: last words of 1; log: {tmp_path}/1.log"
    assert failure(*_named(jobs[2])).startswith("failed: r-seed2: ended by signal 9, after: last words of 2; log: ")
    assert "failed: r-seed3: [Errno 11] Resource temporarily unavailable" in shown
    assert failure(*_named(jobs[1])) in shown


def _named(job):
    return job[0], job[1].log


def test_a_job_without_results_has_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "evaluated_at", lambda path: None)
    jobs = waiting(tmp_path, 1)
    run(jobs, Recording())
    assert jobs[0][0].state == "failed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_running_jobs_and_starts_no_more(tmp_path, number, capfd):
    jobs = waiting(tmp_path, 5)
    executor = Recording(polls=1000, on_submit=lambda index: signal.raise_signal(number) if index == 1 else None)
    with pytest.raises(Interrupted) as stop:
        run(jobs, executor)
    assert stop.value.exit_code == 128 + number
    assert [handle.cancelled for handle in executor.handles] == [[False], [False]]
    assert [each.state for each, _ in jobs] == ["stopped", "stopped", "waiting", "waiting", "waiting"]
    assert "finishing this iteration, then saving" in capfd.readouterr().err


def test_a_second_ctrl_c_ends_the_jobs_at_once(tmp_path):
    jobs = waiting(tmp_path, 3)

    def press_twice(index):
        if index == 1:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    executor = Recording(polls=1000, on_submit=press_twice)
    with pytest.raises(Interrupted):
        run(jobs, executor)
    assert executor.handles[0].cancelled == [True]


LOST = Lost("the worker died")


def test_a_lost_job_is_continued_first(tmp_path):
    jobs, executor = waiting(tmp_path, 3), Recording([LOST, LOST])
    shown = run(jobs, executor, at_a_time=1)
    assert executor.words == [(), ("resume",), ("resume",), (), ()]
    assert [each.state for each, _ in jobs] == ["done"] * 3
    assert "lost: r-seed0: the worker died; submitted again (1 of 3 times)\n" in shown
    assert "lost: r-seed0: the worker died; submitted again (2 of 3 times)\n" in shown


def test_a_job_that_is_lost_too_often_has_failed(tmp_path):
    jobs, executor = waiting(tmp_path, 2), Recording([LOST] * 4)
    run(jobs, executor, at_a_time=1)
    assert executor.words == [(), ("resume",), ("resume",), ("resume",), ()]
    assert [each.state for each, _ in jobs] == ["failed", "done"]
    assert jobs[0][0].reason == "lost 4 times, at last: the worker died"


def test_a_lost_job_of_a_complete_run_is_done(tmp_path):
    jobs, executor = waiting(tmp_path, 1), Recording([LOST])
    run(jobs, executor, again=lambda progress: None)
    assert jobs[0][0].state == "done" and len(executor.words) == 1


def test_a_lost_job_of_a_damaged_run_has_failed(tmp_path):
    def damaged(progress):
        raise UsageError("config.json is damaged")

    jobs = waiting(tmp_path, 1)
    run(jobs, Recording([LOST]), again=damaged)
    assert (jobs[0][0].state, jobs[0][0].reason) == ("failed", "config.json is damaged")


def test_a_job_that_is_lost_after_a_signal_is_not_submitted_again(tmp_path, monkeypatch):
    jobs = waiting(tmp_path, 1)
    executor = Recording(polls=1000, on_submit=lambda index: signal.raise_signal(signal.SIGTERM))
    cancel = Slow.cancel

    def lose(handle, *, at_once=False):
        cancel(handle, at_once=at_once)
        handle.code = LOST

    monkeypatch.setattr(Slow, "cancel", lose)
    with pytest.raises(Interrupted):
        run(jobs, executor)
    assert jobs[0][0].state == "stopped" and len(executor.words) == 1
