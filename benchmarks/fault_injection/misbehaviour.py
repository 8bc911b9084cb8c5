"""Runs of run.py with a misbehaving environment, each in a process forked from this one, and verdicts on them."""

import io
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

from agents.cli.main import main
from agents.runs.folder import RunFolder
from benchmarks.fault_injection.runs import ROOT, Ended, Row, n_rows, newest, outcome

MISCHIEF = Path(__file__).with_name("mischief.py")
ITERATIONS = 4
MIDDLE = 2
"""Finished iterations before mischief in the middle of training."""
STEP_TIMEOUT = 1.0
"""Limit of trials that hang [s]."""
LONGEST = 60.0
"""Longest time of a trial [s]."""
AT_ONCE = 2.0
"""Longest time to the end after a signal, and to a resumption after a kill [s]."""

SMALL = (
    *("--env", str(MISCHIEF), "--threads", "1", "--model", "mlp", "--agent.meta-batch", "2", "--agent.episodes", "3"),
    *(
        "--agent.epochs",
        "1",
        "--eval-tasks",
        "2",
        "--eval-steps",
        "1",
        "--eval-episodes",
        "2",
        "--checkpoint-every",
        "1",
    ),
    *("--iterations", str(ITERATIONS)),
)


@dataclass(frozen=True)
class Trial:
    """One misbehaviour: its kind, its moment, the iterations before it, and the number of workers."""

    kind: str
    moment: str
    since: int
    workers: int

    @property
    def stage(self) -> str:
        """Part of the run."""
        return {0: "before training", MIDDLE: "in training"}.get(self.since, "in evaluation")

    @property
    def expected(self) -> str:
        """What is documented: "error", "unharmed", or "ends" for a main process that is ended."""
        if self.kind == "descriptors closed" and not self.workers:
            return "unharmed"  # the library opens files when it needs them
        ends = {"os._exit", "SIGKILL", "segmentation fault"}
        if self.kind in ends and (not self.workers or self.since == 0):
            return "ends"
        if self.kind in ("np.seterr", "os.chdir", "signal handlers", "warnings ignored", "seeds"):
            return "unharmed"
        return "error"


class Child:
    """Process that runs a command of run.py, with its own session, so that its orphans can be found."""

    def __init__(self, arguments: Sequence[str], folder: Path, variables: dict[str, str]) -> None:
        self._errors = folder / "stderr"
        self.pid = os.fork()
        if self.pid == 0:
            self._run(arguments, folder, variables)

    def _run(self, arguments: Sequence[str], folder: Path, variables: dict[str, str]) -> None:
        code = 99
        try:
            os.setsid()
            for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
                signal.signal(number, default)
            os.chdir(folder)
            streams = {0: (os.devnull, os.O_RDONLY), 1: ("stdout", os.O_WRONLY), 2: ("stderr", os.O_WRONLY)}
            for number, (name, mode) in streams.items():
                descriptor = os.open(name, mode | os.O_CREAT | os.O_TRUNC, 0o666)
                os.dup2(descriptor, number)
                os.close(descriptor)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
            os.environ.update(variables)
            code = main(arguments)
            with suppress(OSError):
                sys.stdout.flush()
        finally:
            os._exit(code)

    def finish(self, within: float = LONGEST) -> Ended:
        """Wait for the end, or kill the process, and return its exit code and stderr."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return Ended(os.waitstatus_to_exitcode(status), self._errors.read_text(errors="replace"))
            time.sleep(0.005)
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return Ended(-1, f"no end within {within} s; {self._errors.read_text(errors='replace')}")

    def orphans(self) -> list[int]:
        """Return the processes of its session that are left, after a short time; and kill them."""
        for _ in range(100):
            left = list(_of_session(self.pid))
            if not left:
                return []
            time.sleep(0.01)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left


def _of_session(session: int) -> Iterator[int]:
    """Yield the processes of a session, without those that have ended and wait to be collected."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, _, _, of = entry.joinpath("stat").read_text().rpartition(")")[2].split()[:4]
                if int(of) == session and state != "Z":
                    yield int(entry.name)


def variables(trial: Trial | None, folder: Path, run: Path, workers: int = 0) -> dict[str, str]:
    """Return the variables of a process in which a trial happens, or nothing happens."""
    found = {"METRICS": str(run / "metrics.jsonl"), "STARTED": str(folder / "started"), "MOMENT": "", "MISCHIEF": ""}
    if trial is None:
        return found | {"SINCE": "0", "WORKERS": str(workers), "STEP_TIMEOUT": "300"}
    hangs = any(word in trial.kind for word in ("ever", "everything", "loop in C"))
    return found | {
        "MOMENT": trial.moment,
        "MISCHIEF": trial.kind,
        "SINCE": str(trial.since),
        "WORKERS": str(trial.workers),
        "STEP_TIMEOUT": str(STEP_TIMEOUT) if hangs else "300",
    }


def warm_up(work: Path) -> None:
    """Train and evaluate something else in this process, so that its children need not import anything."""
    small = (
        "--threads",
        "1",
        "--model",
        "mlp",
        "--agent.meta-batch",
        "2",
        "--agent.episodes",
        "3",
        "--iterations",
        "1",
    )
    environment = ("--env", "CartPole-v1", "--vary", "gravity=5:15", "--env.horizon", "5", "--iterations", "1")
    evaluation = ("--eval-tasks", "2", "--eval-steps", "1", "--eval-episodes", "2")
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        main(["train", *environment, *small, *evaluation, "--out", str(work / "warm")])


def train(work: Path, trial: Trial | None) -> tuple[Child, Path]:
    """Start the training of a trial, or the well-behaved one."""
    folder = work / "trial"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    run = folder / "run"
    return Child(["train", *SMALL, "--out", "run"], folder, variables(trial, folder, run)), run


def resume(run: Path, workers: int) -> Child:
    """Resume a run with the well-behaved environment."""
    return Child(["resume", "run"], run.parent, variables(None, run.parent, run, workers))


def misbehave(trial: Trial, work: Path, reference: dict[str, bytes]) -> Row:
    """Train with mischief, and resume without; return what is not as documented."""
    started = time.perf_counter()
    child, run = train(work, trial)
    ended = child.finish()
    seconds = time.perf_counter() - started
    failed = [f"process {pid} is left" for pid in child.orphans()]
    if not (run.parent / "started").exists() and trial.expected == "unharmed":
        failed.append("nothing happened")
    lines = [line for line in ended.errors.splitlines() if not re.match(r"iteration \d|policy: ", line)]
    if trial.expected == "unharmed":
        failed += _not_unharmed(ended, lines)
    elif trial.expected == "ends":
        failed += [] if ended.code and not lines else [f"exit code {ended.code}, {lines[-1:]}"]
    else:
        failed += _not_one_line(trial, ended, lines)
    failed += _not_resumed(trial, run, reference)
    where = f"{trial.moment}, {trial.stage}, {trial.workers} workers"
    line = lines[-1] if lines else ""
    for folder in (ROOT, run.parent):  # the result is the same in any folder
        line = line.replace(f"{folder}/", "")
    return {"kind": trial.kind, "where": where, "code": ended.code, "line": line, "seconds": round(seconds, 2),
            "struck": [trial.stage], "failed": failed}  # fmt: skip


def _not_unharmed(ended: Ended, lines: Sequence[str]) -> list[str]:
    return [f"exit code {ended.code}, {lines[-1:]}"] if ended.code or lines else []


def _not_one_line(trial: Trial, ended: Ended, lines: Sequence[str]) -> list[str]:
    # The evaluation at the end builds the environment again, and checks it as at the start.
    expected = {0: (2,), MIDDLE: (1,)}.get(trial.since, (1, 2))
    failed = [] if ended.code in expected else [f"exit code {ended.code}, not {expected}: {ended.errors[-300:]}"]
    if trial.kind == "stderr closed" and not (trial.workers and trial.since == MIDDLE):  # the main process cannot print
        return failed
    if len(lines) != 1 or not lines[0].startswith("run.py: error: "):
        return [*failed, f"{len(lines)} lines: {list(lines)[-3:]}"]
    if trial.kind == "no new files":  # the library cannot open its own files
        return failed
    if not re.search(r"[Mm]ischief", lines[0]):
        failed.append(f"no environment in: {lines[0]}")
    # Closed streams, and a default device, are noticed after a step of all lanes.
    of_all = ("closed", "device")
    if (
        trial.moment in ("step", "reset")
        and not any(word in trial.kind for word in of_all)
        and not re.search(r"tasks? \w|nominal task", lines[0])
    ):
        failed.append(f"no task in: {lines[0]}")
    return failed


def _not_resumed(trial: Trial, run: Path, reference: dict[str, bytes]) -> list[str]:
    """Return what is not as it should be in the run folder, and after resuming the run."""
    if trial.since == 0 and trial.expected != "unharmed":
        return [f"{run} was written"] if run.exists() else []
    if not run.exists():
        return [f"{run} is missing"]
    failed = []
    if (last := newest(run)) != (done := n_rows(run)):
        failed.append(f"{done} iterations done, {last} saved")
    failed += RunFolder.open(run).checkpoints.load().problems
    if trial.expected != "unharmed":
        child = resume(run, trial.workers)
        ended = child.finish()
        failed += [f"resume: exit code {ended.code}: {ended.errors[-300:]}"] if ended.code else []
    if not failed:
        failed += [f"{name} differs" for name, data in outcome(run).items() if data != reference[name]]
    return failed
