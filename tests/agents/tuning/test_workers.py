"""Option --jobs: processes that share a search, their failures, and what the user is told."""

import importlib.util
import json
import re
import signal
import sys
from collections import Counter
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

import agents
from agents.cli import tune as command
from agents.cli.main import main
from agents.cli.tune import parse_tune
from agents.study import executor, on_ray
from agents.study.executor import Job, LocalProcesses, Lost
from agents.tuning.folder import folder_lock
from agents.tuning.record import Record
from qrl.common import importing
from qrl.common.errors import TrainingError, UsageError
from tests.agents.tuning.conftest import SMALL, WORDS
from tests.agents.tuning.test_processes import wait_for
from tests.support.command_line import refused
from tests.support.studies import Ended, InProcess

pytestmark = pytest.mark.usefixtures("folder")


class Logged(InProcess):
    """Executor of workers that run one after another in this process, when they are submitted, with their logs."""

    def submit(self, job):
        with job.log.open("a") as log, redirect_stdout(log), redirect_stderr(log):
            return super().submit(job)


@pytest.fixture
def in_process(monkeypatch) -> Logged:
    found = Logged()
    monkeypatch.setattr(executor, "LocalProcesses", lambda: found)
    return found


def ends(journal: Path) -> Counter[int]:
    """Return how often each trial has ended, by its number."""
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    return Counter(entry["trial_id"] for entry in entries if entry["op_code"] == 6 and entry["state"] in (1, 2, 3))


class Killing(Logged):
    """Executor whose first job is a process that is killed in its first trial; the second one starts afterwards."""

    def submit(self, job):
        if self.words:
            return super().submit(job)
        self.words.append(job.words)
        handle = LocalProcesses().submit(job)
        wait_for(lambda: any(Path().glob("found/trial-*/seed10000/checkpoint/*")))
        handle.cancel(at_once=True)
        return handle


@pytest.mark.skipif(sys.platform != "linux", reason="processes end with this one on Linux only")
def test_a_killed_worker(monkeypatch, capsys):
    """Another one finishes its trial; all end with the scores of a single process."""
    options = SMALL | {"trials": 3, "iterations": 8, "score_every": 8, "progress": True}
    alone = agents.tune("alone", **options | {"progress": False})
    monkeypatch.setattr(executor, "LocalProcesses", Killing)
    failed = r"^the search is complete, but failed: worker-0: ended by signal 9, after: .*; log: found/worker-0.log$"
    with pytest.raises(TrainingError, match=failed):
        agents.tune("found", jobs=2, **options)
    record = Record.read(Path("found"))
    assert record.trials == alone.trials
    assert ends(Path("found/trials.log")) == {0: 1, 1: 1, 2: 1}
    told = capsys.readouterr().err.splitlines()
    assert sorted(re.findall(r"^trial (\d) complete, score -\d", "\n".join(told), re.MULTILINE)) == ["0", "1", "2"]
    assert [line for line in told if line.startswith("failed: worker-0: ended by signal 9")]
    assert len(told) == 4 and "3 of 3 done" in told[-1]
    assert (Path("found/best.json")).read_bytes().replace(b"found", b"alone") == Path("alone/best.json").read_bytes()
    rows = Path("found/trial-0000/seed10000/metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["iteration"] for row in rows] == list(range(1, 9))


@pytest.mark.skipif(sys.platform != "linux", reason="processes end with this one on Linux only")
def test_a_signal_lets_the_workers_save(monkeypatch, capsys):
    """SIGTERM: SIGINT is ignored if these tests run in the background of a shell."""

    class Stopped(LocalProcesses):
        def submit(self, job):
            handle = super().submit(job)
            wait_for(lambda: any(Path().glob("found/trial-*/seed10000/checkpoint/*")))
            signal.raise_signal(signal.SIGTERM)
            return handle

    monkeypatch.setattr(executor, "LocalProcesses", Stopped)
    assert main([*WORDS, "--trials", "1", "--out", "found", "--iterations", "4000", "--jobs", "2"]) == 143
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stopped; to continue: run.py tune --env navigation ") and line.endswith(" --jobs 2")
    assert "stopped; to continue: " in Path("found/worker-0.log").read_text()
    assert [trial.state for trial in Record.read(Path("found")).trials] == ["running"]
    with folder_lock(Path("found/trial-0000")):  # by nobody else
        pass


def test_everything_is_left_to_the_workers(in_process, capsys):
    words = [*WORDS, "--trials", "2", "--out", "found", "--held-out-seeds", "2", "--seed", "3"]
    assert main([*words, "--jobs", "5"]) == 0
    assert in_process.words == [tuple(words)] * 2  # no more than trials
    out, err = capsys.readouterr()
    assert "a page about the search: run.py report found\n" in out
    assert [err.count(f"trial {number} complete") for number in (0, 1)] == [1, 1]
    assert "comparison with the defaults: 4 of 4 trainings done" in err or "the defaults" in out
    assert json.loads(Path("found/search.json").read_text())["command"][-2:] == ["--jobs", "5"]
    Path("found/search.json").unlink()
    Path("found/.search-copy.json").unlink()
    assert main([*words, "--jobs", "5"]) == 0  # everything is there
    assert len(in_process.words) == 2
    assert not capsys.readouterr().err


def test_one_job_is_this_process(in_process):
    assert main([*WORDS, "--trials", "1", "--jobs", "1"]) == 0
    assert not in_process.words


class Failing(Logged):
    """Executor whose jobs end with these codes, the last one over and over, without doing anything."""

    def __init__(self, *codes):
        super().__init__()
        self.codes = list(codes)

    def submit(self, job):
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        if code == 0:
            return super().submit(job)
        self.words.append(job.words)
        job.log.write_text("python -m agents: error: the disk is full\n")
        return code if isinstance(code, Gone) else Ended(code)


class Gone:
    """Handle of a job that is lost."""

    def poll(self):
        raise Lost("the worker died")

    def cancel(self, *, at_once=False):
        """Do nothing."""


@pytest.mark.parametrize("codes", [(1,), (2,), (1, 2), (2, 1)])
def test_workers_that_fail(codes, monkeypatch, capsys):
    monkeypatch.setattr(executor, "LocalProcesses", lambda: Failing(*codes))
    assert main([*WORDS, "--trials", "2", "--out", "found", "--jobs", "2"]) == max(codes)
    reason = "failed: worker-{}: python -m agents: error: the disk is full; log: found/worker-{}.log"
    first = reason.format(0, 0)
    assert capsys.readouterr().err.splitlines() == [
        first,
        reason.format(1, 1),
        f"run.py: error: found: 2 workers failed; started again, the search continues: {first}",
    ]


def test_a_worker_that_fails_while_others_finish(monkeypatch, capsys):
    monkeypatch.setattr(executor, "LocalProcesses", lambda: Failing(1, 0))
    assert main([*WORDS, "--trials", "2", "--out", "found", "--jobs", "2"]) == 1
    out, err = capsys.readouterr()
    assert "2 complete: found/trials.csv" in out
    assert err.startswith("failed: worker-0: ") and "error: found" not in err


def test_a_search_without_a_complete_trial(in_process, capsys):
    words = [*WORDS[:-3], "--tune", "agent.lr-heads=1e30:1e38", "--trials", "1", "--out", "found"]
    assert main([*words, "--jobs", "2"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("run.py: error: found: no trial came to its end; ")


def test_a_lost_worker_is_submitted_again(monkeypatch, capsys):
    used = Failing(Gone(), Gone(), 0)
    monkeypatch.setattr(executor, "LocalProcesses", lambda: used)
    assert main([*WORDS, "--trials", "2", "--out", "found", "--jobs", "2"]) == 0
    assert len(used.words) == 4 and len(set(used.words)) == 1
    assert "lost: worker-0: the worker died; submitted again (1 of 3 times)\n" in capsys.readouterr().err


def test_a_worker_that_is_lost_too_often(monkeypatch, capsys):
    monkeypatch.setattr(executor, "LocalProcesses", lambda: Failing(Gone()))
    assert main([*WORDS, "--trials", "2", "--out", "found", "--jobs", "2"]) == 1
    assert "failed: worker-1: lost 4 times, at last: the worker died; log: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("room", "threads", "jobs", "count"),
    [(8, 1, None, 5), (3, 1, None, 3), (8, 2, None, 4), (1, 2, None, 1), (8, 1, 2, 2)],
)
def test_number_of_workers_on_ray(room, threads, jobs, count, monkeypatch):
    used = Failing(1)
    used.room = room
    monkeypatch.setattr(command, "place", lambda ray: nullcontext(used))
    with pytest.raises(TrainingError, match="failed; started again, the search continues"):
        agents.tune("found", trials=5, threads=threads, jobs=jobs, ray=True, **SMALL)
    assert len(used.words) == count


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tune": {"agent.epochs": [1, 3], "agent.estimator": ["dice", "lvc"], "agent.learn-step-sizes": [True, False]}},
        {"tune": {"agent.clip": [0.1, 1 / 3], "agent.target-kl": [0.01]}},
        {"tune": None},
        {"tune": ["agent.clip=1e-1:0.3333333333333333:log"], "threads": 2, "seed": 4, "agent": "maml"},
        {"storage": "journal:else where/x.log", "take_over": True, "held_out_seeds": 3, "tune_seeds": 2},
    ],
)  # fmt: skip
def test_workers_have_the_request_of_python(changes, monkeypatch):
    requests = []

    def recorded(request, workers, **keywords):
        requests.extend([request, parse_tune(workers.words[1:]).request()])
        raise UsageError("enough")

    monkeypatch.setattr("agents.tuning.tune.run_tuning", recorded)
    with pytest.raises(UsageError, match="enough"):
        agents.tune("a folder", trials=7, jobs=2, **SMALL | changes)
    assert requests[0] == requests[1]


@pytest.mark.parametrize("choice", ["a,b", "a:b", " a", ""])
def test_choices_that_no_command_line_has(choice):
    """They are taken by one process, as far as the option does."""
    with pytest.raises(UsageError, match=r"--tune agent.estimator: .*: for several processes, no choice has "):
        agents.tune("found", jobs=2, **SMALL | {"tune": {"agent.estimator": ["dice", choice]}})
    with pytest.raises(UsageError, match="expected one of 'dice'"):
        agents.tune("found", **SMALL | {"tune": {"agent.estimator": ["dice", choice]}})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--jobs", "3"], []),
        (["--jobs=3", "--ray"], []),
        (["--ray", "auto", "--trust", "--config", "x"], ["--trust", "--config", "x"]),
        (["--ray=h:1", "--agent.clip", "0.3"], ["--agent.clip", "0.3"]),
    ],
)
def test_words_of_workers(words, expected, monkeypatch):
    recorded = []
    monkeypatch.setattr(command, "_parsed", lambda *given: recorded.append(given[-1]))
    monkeypatch.setattr(command, "_check_spelling", lambda further, own: None)
    parse_tune.__wrapped__(["--trials", "4", *words])
    assert recorded == [("--trials", "4", *expected)]


def test_logs_have_no_passwords(tmp_path):
    job = Job(("tune", "--storage", "postgresql://me:secret@host/x"), tmp_path / "worker-0.log", 1)
    assert "secret" not in executor.command_line(job) and "postgresql://me:" in executor.command_line(job)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jobs", "0"], "--jobs must be at least 1, not 0"),
        (["--jobs", "many"], "--jobs: expected a whole number, found 'many'"),
        (["--job", "2"], "unknown option --job; did you mean --jobs?"),
        (["--ray", "here"], "--ray 'here': expected HOST:PORT of the head of a cluster, auto "),
        (["--ray", "--iterations", "0"], "iterations"),
    ],
)
def test_bad_input(words, message, capsys, monkeypatch):
    monkeypatch.setattr(on_ray, "check_installed", lambda option, package: None)
    assert message in refused(capsys, [*WORDS, *words])


def test_without_ray(capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importing.importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))
    assert refused(capsys, [*WORDS, "--ray"]) == "--ray: ray is not installed: pip install 'qrl-meta[ray]'"


def test_a_place_that_refuses_leaves_nothing(capsys, monkeypatch):
    class Refusing(nullcontext):
        def __enter__(self):
            raise UsageError("--ray h:1: no answer within 30 s")

    monkeypatch.setattr(command, "place", lambda ray: Refusing())
    assert refused(capsys, [*WORDS, "--ray", "h:1"]) == "--ray h:1: no answer within 30 s"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"jobs": 0}, "jobs must be"), ({"ray": 3}, "ray: expected True or"), ({"jobs": 2, "tune": []}, "found none")],
)
def test_bad_arguments(options, message, unchecked):
    with pytest.raises(UsageError, match=message):
        agents.tune("found", **SMALL | options)
    assert not Path("found").exists()
