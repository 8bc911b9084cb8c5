"""Executors: where the jobs of a study run. A job is a command line of this program."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Handle(Protocol):
    """Submitted job."""

    def poll(self) -> int | None:
        """Return the exit code of the job, negative for the number of a signal that ended it; None before its end."""
        ...

    def cancel(self, *, at_once: bool = False) -> None:
        """Ask the job to save its state and end, or end it at once; do nothing after its end."""
        ...


@runtime_checkable
class Executor(Protocol):
    """Place where jobs run, such as this machine or a cluster."""

    def submit(self, job: Job) -> Handle:
        """Start a job.

        Raises:
            UsageError: the log cannot be written.
            OSError: the operating system refuses a new process.
        """
        ...


class LocalProcesses:
    """Executor of processes on this machine. They end with the process that submits them, even if that is killed."""

    def submit(self, job: Job) -> Handle:
        """Start a process."""
        descriptor = open_regular(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, follow_links=False)
        try:
            write_all(descriptor, f"$ python -m agents {shlex.join(job.words)}\n".encode())
            return _Process(
                subprocess.Popen(
                    # -P: modules are found where this process finds them, not in the current folder.
                    [sys.executable, "-P", "-m", "agents.study.child", str(os.getpid()), *job.words],
                    stdin=subprocess.DEVNULL,
                    stdout=descriptor,
                    stderr=descriptor,
                    env=_environment(job.threads),
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


def _environment(threads: int) -> dict[str, str]:
    paths = [os.path.abspath(path) for path in sys.path]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONUNBUFFERED": "1",  # Lines of both streams stay in order in the log.
        "OMP_NUM_THREADS": str(threads),
    }
