"""Worker processes of a pool, each with a shard of its lanes; they end with the process that started them.

Gymnasium's AsyncVectorEnv starts the processes and talks to them; its own worker function prints tracebacks, and it
waits without end for a worker that hangs.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import connection
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.utils import write_to_shared_memory

from envs.wrapped.lanes import RESET, Lanes
from envs.wrapped.openmp import end_threads
from envs.wrapped.time_limit import Clock, TimeLimit
from qrl.common.errors import TrainingError, UsageError

_START = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
"""Start method of processes. A fork inherits the parent's imports, such as an environment from a standalone file."""

PARENT_DEATH_SIGNAL = 1
"""Linux's PR_SET_PDEATHSIG: the signal that a process receives when the thread that started it ends."""

END_TIMEOUT = 10.0
"""Time to find out which process ended, and longest time to close environments [s]."""


class WorkerEnded(Exception):
    """A worker process ended, or was killed because an environment in it did not return in time.

    Args:
        index: number of the worker.
        exit_code: its exit code, if it ended by itself.
        lane, step: its last lane, counted from the first one of its shard, and the step there, or `RESET`.
    """

    def __init__(self, index: int, exit_code: int | None, lane: int, step: int) -> None:
        super().__init__()
        self.index, self.exit_code, self.lane, self.step = index, exit_code, lane, step


class Workers:
    """Processes that step shards of lanes, with the interface of `Lanes` over all lanes.

    Args:
        lanes: makes a shard from the arguments `first`, `n` and `marker` of `Lanes`.
        workers: number of processes.
        n: lanes of a shard.
        step_timeout: longest time of a step or a reset of one environment [s]; 0: no limit.
    """

    def __init__(self, lanes: Callable[..., Lanes], workers: int, n: int, step_timeout: float) -> None:
        self._timeout = step_timeout
        context = multiprocessing.get_context(_START)
        self._markers = [context.RawArray("q", [0, RESET]) for _ in range(workers)]
        shards = [partial(lanes, first=i * n, n=n, marker=marker) for i, marker in enumerate(self._markers)]
        in_main_thread = threading.current_thread() is threading.main_thread()
        end_threads()  # of earlier torch operations: a pool is also made after training, for the evaluation
        with TimeLimit(step_timeout):  # a worker tells its spaces after its first environment is made
            self._shards = AsyncVectorEnv(
                shards,
                copy=False,
                autoreset_mode=AutoresetMode.DISABLED,
                context=_START,
                worker=partial(_work, os.getpid(), in_main_thread),
            )
        self._finalizer = weakref.finalize(self, _kill, self._shards.processes)

    def reset(self, *, options: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """See `Lanes.reset`. Raise WorkerEnded if a process ended or was killed."""
        return self._ask(lambda: self._shards.reset_async(options=options), self._shards.reset_wait)

    def step(self, action: np.ndarray) -> tuple[Any, ...]:
        """See `Lanes.step`. Raise WorkerEnded if a process ended or was killed."""
        return self._ask(lambda: self._shards.step_async(action), self._shards.step_wait)

    def _ask(self, send: Callable[[], None], receive: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
        try:
            send()
            self._wait()
            return receive()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        except BaseException:  # such as Ctrl-C: AsyncVectorEnv would wait for the answers before it closes
            self._kill()
            raise

    def _wait(self) -> None:
        """Wait until all workers have answered. Raise WorkerEnded if a step takes too long."""
        pipes = self._shards.parent_pipes
        clocks = [Clock(self._timeout, marker) for marker in self._markers] if self._timeout else []
        waiting = {pipe: index for index, pipe in enumerate(pipes)}
        following = time.monotonic() + (clocks[0].tick if clocks else 0.0)
        while waiting:
            left = max(0.0, following - time.monotonic()) if clocks else None
            for pipe in connection.wait(list(waiting), left):
                del waiting[pipe]  # type: ignore[arg-type]
            if clocks and time.monotonic() >= following:
                following += clocks[0].tick
                late = [index for index in waiting.values() if clocks[index].is_over()]
                if late:
                    raise WorkerEnded(late[0], None, *self._markers[late[0]])

    def _ended(self) -> WorkerEnded:
        """Find the process that ended, and end the others too."""
        processes = self._shards.processes
        ended = connection.wait([each.sentinel for each in processes], timeout=END_TIMEOUT)
        index = next((i for i, each in enumerate(processes) if each.sentinel in ended), 0)
        processes[index].join(timeout=END_TIMEOUT)
        code = processes[index].exitcode
        self._kill()
        return WorkerEnded(index, code, *self._markers[index])

    def _kill(self) -> None:
        _kill(self._shards.processes)
        self._shards.closed = True  # otherwise close() would message the processes again

    def close(self) -> None:
        """Close the environments and end the processes, by force if they do not end in time. Raise TrainingError then.

        Further calls do nothing.
        """
        if self._shards.closed:
            return
        try:
            for pipe in self._shards.parent_pipes:
                pipe.send(("close", None))
            for pipe in self._shards.parent_pipes:
                if not pipe.poll(END_TIMEOUT):
                    raise TrainingError(f"an environment did not close within {END_TIMEOUT:g} s")
                if failure := pipe.recv()[0]:
                    raise TrainingError(failure)
        except (EOFError, OSError):
            pass  # a process that has ended is closed
        finally:
            self._kill()


def _kill(processes: Sequence[Any]) -> None:
    for each in processes:
        each.kill()
    for each in processes:
        each.join()


def _work(
    parent: int,
    from_main_thread: bool,
    index: int,
    make: Callable[[], Lanes],
    pipe: connection.Connection,
    parent_pipe: connection.Connection,
    memory: Any,
    error_queue: object,
    autoreset_mode: object,
    semaphore: object,
) -> None:
    """Answer the messages of AsyncVectorEnv, whose arguments of a worker these are, except for the first two."""
    try:
        _end_with(parent, from_main_thread)
        os.setpgid(0, 0)  # Signals to the group of the parent are for the parent, which finishes its iteration first.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        torch.set_num_threads(1)  # the workers are the parallelism
        parent_pipe.close()
        _answer(make, pipe, partial(write_to_shared_memory, shared_memory=memory), index)
    except BaseException:  # the parent reports the exit code with the tasks; a traceback would be a second message
        os._exit(1)


def _answer(make: Callable[[], Lanes], pipe: connection.Connection, write: Callable[..., None], index: int) -> None:
    """Make a shard and answer messages until the pool is closed. A failure is reported in place of a result."""
    lanes, failure = None, ""
    try:
        lanes = make()
    except UsageError as error:
        failure = str(error)
    answer: tuple[Any, ...]
    while True:
        command, data = pipe.recv()
        if command == "_check_spaces":
            pipe.send(((True, True), True))
            continue
        if lanes is None:
            pipe.send(((None, {"raised": failure}), True))
            continue
        if command == "close":
            pipe.send((_close(lanes), True))
            return
        answer = lanes.reset(**data) if command == "reset" else lanes.step(data)
        write(lanes.observation_space, index, answer[0])
        pipe.send(((None, *answer[1:]), True))


def _close(lanes: Lanes) -> str:
    """Close the environments; return the failure in one line."""
    try:
        lanes.close()
    except UsageError as error:
        return str(error)
    return ""


def _end_with(parent: int, from_main_thread: bool) -> None:
    """End this process when its parent ends, however that ends, also in the middle of a step.

    Linux sends its signal when the thread that started this process ends, so the signal is for the main thread only.
    """
    if sys.platform == "linux" and from_main_thread:
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the call
            os._exit(1)
        return
    process = multiprocessing.parent_process()
    assert process is not None

    def wait(sentinel: int) -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=wait, args=(process.sentinel,), daemon=True).start()
