"""Executor on Ray: the jobs of a study run on the machines of a cluster, or on a Ray of this machine."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypedDict

from agents.study.executor import Job, Lost, append, command_line, environment
from qrl.common.checks import shown
from qrl.common.errors import UsageError
from qrl.common.importing import check_installed

ANSWER = 30.0
"""Longest wait for the Ray at an address [s]; Ray itself tries for 80 s."""

START = 120.0
"""Longest wait for a Ray that starts on this machine [s]."""

END = 30.0
"""Longest wait for jobs that are ended at once, and for the end of Ray [s]."""

LARGEST_PORT = 65_535

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Jobs that reserve no GPU see those of their machine, as without Ray.
}
"""Environment variables of a Ray of this machine."""


def check_address(address: str) -> str:
    """Return the address of a Ray. Raises UsageError unless it is HOST:PORT or auto."""
    host, _, port = address.rpartition(":")
    is_host = re.fullmatch(r"[\w.-]+|\[[\da-fA-F:]+\]", host)
    is_port = re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) <= LARGEST_PORT
    if address != "auto" and not (is_host and is_port):
        raise UsageError(
            f"--ray {shown(address)}: expected HOST:PORT of the head of a cluster, auto for the one of which this "
            "machine is part, or nothing for a Ray of this machine alone"
        )
    return address


class _Reply(TypedDict, total=False):
    """Reply of the driver; see `agents.study.ray_driver`."""

    cpus: int
    error: str
    job: int
    code: int
    failed: str
    lost: str


class RayExecutor:
    """Executor of jobs on Ray. As a context manager, it starts Ray or connects to it, and ends both at exit.

    Each job reserves as many CPUs as it has threads. Its process ends with its worker of Ray, and that with this
    process. Folders and code have to be on a file system that all machines share. A process of its own,
    `agents.study.ray_driver`, talks to Ray.

    Args:
        address: HOST:PORT of the head of a cluster, or auto; None starts a Ray on this machine.

    Raises:
        UsageError: Ray is not installed, or the address is none; at entry, that Ray does not answer.
    """

    def __init__(self, address: str | None = None) -> None:
        check_installed("--ray", "ray")
        self.address = None if address is None else check_address(address)
        self.room = 1
        """Jobs that run at a time: the CPUs of Ray."""
        self._count = 0
        self._changed = threading.Condition()
        self._start: _Reply | None = None
        self._outcomes: dict[int, _Reply] = {}
        self._is_over = False

    def __enter__(self) -> "RayExecutor":
        # Not in TMPDIR, which may be long: names of sockets have at most 107 characters.
        self._folder = tempfile.mkdtemp(prefix="qrl-", dir="/tmp")
        address = [] if self.address is None else [self.address]
        self._driver = subprocess.Popen(
            [sys.executable, "-P", "-m", "agents.study.ray_driver", self._folder, *address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # Ray has logs of its own.
            env={**environment(threads=1), **QUIET},
            process_group=0,  # Ctrl-C of a terminal reaches this process alone.
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self.room = max(1, self._connected())
        except BaseException:
            if self.address is not None:  # It may try for long; a Ray of this machine needs an end in good order.
                self._driver.kill()
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def submit(self, job: Job) -> "_Submitted":
        """Hand a job to Ray, which starts it when a machine has room."""
        append(job.log, command_line(job))
        number, self._count = self._count, self._count + 1
        self.send(
            do="submit",
            job=number,
            words=job.words,
            log=os.path.abspath(job.log),
            folder=os.getcwd(),
            environ=environment(job.threads),
            cpus=job.threads,
            gpus=job.gpus,
        )
        return _Submitted(self, number, job.log)

    def send(self, **request: object) -> None:
        """Send a request to the driver. Raises OSError if that has ended."""
        assert self._driver.stdin is not None
        if self._is_over:
            raise OSError("Ray has ended")
        try:
            print(json.dumps(request), file=self._driver.stdin, flush=True)
        except OSError as error:
            raise OSError(f"Ray has ended: {error}") from error

    def outcome(self, number: int, patience: float = 0.0) -> _Reply | None:
        """Return the reply about the end of a job; None before its end, for which it waits `patience` [s]."""
        with self._changed:
            self._changed.wait_for(lambda: number in self._outcomes or self._is_over, patience)
            return self._outcomes.get(number, {"lost": "Ray has ended"} if self._is_over else None)

    def _connected(self) -> int:
        """Wait until Ray answers; return the number of its CPUs. Raises UsageError if it does not."""
        name = "Ray" if self.address is None else f"--ray {self.address}"
        patience = START if self.address is None else ANSWER
        with self._changed:
            self._changed.wait_for(lambda: self._start is not None or self._is_over, patience)
            start, is_over = self._start, self._is_over
        if start is None:
            raise UsageError(f"{name}: {'ended at its start' if is_over else f'no answer within {patience:.0f} s'}")
        if "error" in start:
            raise UsageError(f"{name}: {start['error'].strip().partition(chr(10))[0]}")
        return start["cpus"]

    def _listen(self) -> None:
        """Keep the replies of the driver."""
        assert self._driver.stdout is not None
        for line in self._driver.stdout:
            reply: _Reply = json.loads(line)
            with self._changed:
                if "job" in reply:
                    self._outcomes[reply["job"]] = reply
                else:
                    self._start = reply
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _close(self) -> None:
        """End the driver, and with it Ray of this machine."""
        assert self._driver.stdin is not None and self._driver.stdout is not None
        with suppress(OSError):
            self._driver.stdin.close()
        try:
            self._driver.wait(END)
        except subprocess.TimeoutExpired:
            self._driver.kill()
            self._driver.wait()
        self._listener.join()
        self._driver.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Submitted:
    """Job on Ray."""

    def __init__(self, executor: RayExecutor, number: int, log: Path) -> None:
        self._executor, self._number, self._log = executor, number, log
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None and (outcome := self._executor.outcome(self._number)) is not None:
            if "lost" in outcome:
                raise Lost(outcome["lost"])
            if "failed" in outcome:
                append(self._log, f"{outcome['failed']}: do all machines of Ray share this folder?\n")
            self._code = outcome.get("code", 1)
        return self._code

    def cancel(self, *, at_once: bool = False) -> None:
        with suppress(OSError):  # Ray has ended, and its jobs with it.
            self._executor.send(do="cancel", job=self._number, at_once=at_once)
        if at_once:
            self._executor.outcome(self._number, END)
