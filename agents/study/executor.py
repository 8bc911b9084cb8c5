"""Executors: where the jobs of a study run. A job is a command line of this program."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from agents.runs.messages import without_password
from qrl.common.files import open_regular, write_all


@dataclass(frozen=True)
class Job:
    """Command to execute."""

    words: tuple[str, ...]
    """Arguments of `python -m agents`."""
    log: Path
    """File to which its output is appended."""
    threads: int
    """CPU threads [threads]."""
    gpus: int = 0
    """GPUs to reserve, where the executor shares them out [GPUs]."""


class Lost(Exception):
    """The machine of a job, or the process that watched it there, has died; the job may be submitted again."""


@runtime_checkable
class Handle(Protocol):
    """Submitted job."""

    def poll(self) -> int | None:
        """Return the exit code of the job, negative for the number of a signal that ended it; None before its end.

        Raises:
            Lost: the job has no exit code, as its machine has died.
        """
        ...

    def cancel(self, *, at_once: bool = False) -> None:
        """Ask the job to save its state and end, or end it at once; do nothing after its end."""
        ...


@runtime_checkable
class Executor(Protocol):
    """Place where jobs run, such as this machine or a cluster."""

    room: int
    """Jobs to run at a time unless the user says how many."""

    def submit(self, job: Job) -> Handle:
        """Start a job.

        Raises:
            UsageError: the log cannot be written.
            OSError: the operating system refuses a new process.
        """
        ...


class LocalProcesses:
    """Executor of processes on this machine. They end with the process that submits them, even if that is killed."""

    room = 1

    def submit(self, job: Job) -> Handle:
        """Start a process."""
        append(job.log, command_line(job))
        descriptor = _open(job.log)
        try:
            return _Process(
                subprocess.Popen(
                    # -P: modules are found where this process finds them, not in the current folder.
                    [sys.executable, "-P", "-m", "agents.study.child", str(os.getpid()), *job.words],
                    stdin=subprocess.DEVNULL,
                    stdout=descriptor,
                    stderr=descriptor,
                    env=environment(job.threads),
                    process_group=0,  # Ctrl-C of a terminal reaches this process alone, which passes it on once.
                )
            )
        finally:
            os.close(descriptor)


class _Process:
    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def cancel(self, *, at_once: bool = False) -> None:
        if at_once:
            self._process.kill()
            self._process.wait()
        else:
            self._process.terminate()


def command_line(job: Job) -> str:
    """Return the line about a job with which its output begins."""
    return f"$ python -m agents {shlex.join(map(without_password, job.words))}\n"


def append(log: Path, text: str) -> None:
    """Append a text to a log. Raises UsageError if that cannot be written."""
    descriptor = _open(log)
    try:
        write_all(descriptor, text.encode())
    finally:
        os.close(descriptor)


def environment(threads: int) -> dict[str, str]:
    """Return the environment variables of a job: it finds modules where this process finds them."""
    paths = [os.path.abspath(path) for path in sys.path]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONUNBUFFERED": "1",  # Lines of both streams stay in order in the log.
        "OMP_NUM_THREADS": str(threads),
    }


def _open(log: Path) -> int:
    return open_regular(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, follow_links=False)
