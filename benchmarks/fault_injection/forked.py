"""Trials in forked children of one process that has imported everything, so that a trial takes as long as its own work.

outcome = forked(lambda: main(["evaluate", str(run)]), folder)
outcomes = in_parallel(trial, range(1000), jobs=2)
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

Argument = TypeVar("Argument")
Result = TypeVar("Result")

MOST_OUTPUT = 1_000_000
"""Output that is kept [bytes]."""

TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Outcome:
    """Outcome of a forked trial."""

    code: int | None
    """Exit code, minus the number of a signal that ended it; None if the time limit ended it."""
    output: str
    errors: str
    seconds: float
    peak: float
    """Largest resident memory [GiB]."""
    orphans: bool
    """Whether processes that it started outlived it by more than two seconds; they have been killed."""

    def refused(self, code: int = 2) -> bool:
        """Return whether it ended with this exit code and an error of one line, after lines of warnings only."""
        *before, last = self.errors.splitlines() or [""]
        warnings_only = all(line.startswith(("warning: ", "note: ")) for line in before)
        return self.code == code and last.startswith("run.py: error: ") and warnings_only and not self.orphans

    def __str__(self) -> str:
        ended = "time limit" if self.code is None else f"exit code {self.code}"
        return f"{ended}, {self.seconds:.1f} s{', orphans' if self.orphans else ''}: {self.errors[-600:]!r}"


def forked(action: Callable[[], int], folder: Path, *, limit: float = 60, memory: float = 6) -> Outcome:
    """Run an action in a forked child and wait for it.

    Args:
        action: returns the exit code; an exception is printed, with exit code 1.
        folder: working directory of the child.
        limit: time limit [s].
        memory: address space beyond that of this process [GiB].
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if not child:
            _become_command(action, folder, output.fileno(), errors.fileno(), memory)
        code, peak = _wait(child, limit)
        seconds = time.monotonic() - started
        orphans = _end_session(child)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read(MOST_OUTPUT).decode(errors="backslashreplace"))
    return Outcome(code, *texts, seconds, peak, orphans)


def _become_command(action: Callable[[], int], folder: Path, output: int, errors: int, memory: float) -> None:
    """Run the action as a process of its own would, and exit."""
    code = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", 1, encoding="utf-8", errors=e, closefd=False) for n, e in STREAMS)
        os.chdir(folder)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + int(memory * 2**30),) * 2)
        torch.set_num_threads(1)
        sys.argv = ["run.py"]
        code = action()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        with contextlib.suppress(BaseException):
            os.write(2, traceback.format_exc().encode(errors="replace"))
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        os._exit(code)


STREAMS = ((1, "strict"), (2, "backslashreplace"))
"""File descriptor and treatment of unencodable characters of stdout and stderr, as in a new process."""


def _wait(child: int, limit: float) -> tuple[int | None, float]:
    """Wait for a process, and kill its group after `limit` seconds; return exit code and largest memory [GiB]."""
    deadline, pause = time.monotonic() + limit, 0.001
    while time.monotonic() < deadline:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss / 2**20
        time.sleep(pause)
        pause = min(0.02, pause * 1.5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return None, os.wait4(child, 0)[2].ru_maxrss / 2**20


def _end_session(session: int) -> bool:
    """Kill what is left of a session after two seconds; return whether anything was left."""
    deadline = time.monotonic() + 2
    while left := list(_alive(session)):
        if time.monotonic() > deadline:
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            return True
        time.sleep(0.01)
    return False


def _alive(session: int) -> Iterator[int]:
    """Yield the processes of a session that are not zombies."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, _, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(of) == session and state not in "ZX":
                    yield int(entry.name)


def in_parallel(trial: Callable[[Argument], Result], arguments: Iterable[Argument], jobs: int) -> Iterator[Result]:
    """Yield the results of trials in their order, from `jobs` forked processes. The function must be picklable."""
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(trial, arguments)
