"""Worlds of several processes, which are threads of the tests."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from torch import Tensor

Result = TypeVar("Result")


class ThreadWorld:
    """World of one of several threads that stand for processes."""

    def __init__(
        self, rank: int, size: int, passed: list[Tensor | None], barrier: threading.Barrier, turn: threading.Lock
    ) -> None:
        self.rank, self.size, self.turn = rank, size, turn
        self._passed, self._barrier = passed, barrier

    def gather(self, values: Tensor) -> list[Tensor]:
        """Return the values of every thread."""
        self._passed[self.rank] = values
        self.turn.release()
        self._barrier.wait(timeout=60)
        gathered = [each for each in self._passed if each is not None]
        self._barrier.wait(timeout=60)
        self.turn.acquire()
        return gathered


def worlds(size: int) -> list[ThreadWorld]:
    """Return the worlds of so many threads."""
    passed: list[Tensor | None] = [None] * size
    barrier, turn = threading.Barrier(size), threading.Lock()
    return [ThreadWorld(rank, size, passed, barrier, turn) for rank in range(size)]


def in_worlds(members: Sequence[ThreadWorld], functions: Sequence[Callable[[], Result]]) -> list[Result]:
    """Call each function in a thread of its own, one at a time between two exchanges; return the results.

    Threads share what processes do not: forward-mode differentiation has one level for all of them.
    """

    def call(world: ThreadWorld, function: Callable[[], Result]) -> Result:
        with world.turn:
            return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        tasks = [pool.submit(call, *each) for each in zip(members, functions, strict=True)]
        return [task.result() for task in tasks]
