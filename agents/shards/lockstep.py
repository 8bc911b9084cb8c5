"""Shards of one process in lockstep: each has a thread, and they take turns between two exchanges."""

import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from agents.shards.world import World
from qrl.common.errors import TrainingError

Result = TypeVar("Result")


class Stopped(TrainingError):
    """End of a shard because another one of the process has failed."""


class Lockstep:
    """Exchange between the shards of all processes; those of this process run one at a time.

    Python would run the threads of a process one at a time anyway; whole turns spare it to switch between them, and
    leave the other cores to other processes.
    """

    def __init__(self, world: World, n_shards: int) -> None:
        self.world, self.n_local = world, n_shards // world.size
        self.first = world.rank * self.n_local
        """Index of the first shard of this process."""
        self._turn = 0
        self._passed: list[Tensor] = []
        self._gathered: list[Tensor] = []
        self._failed = False
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(self.n_local, "shard") if self.n_local > 1 else None

    def gather(self, index: int, values: Tensor) -> list[Tensor]:
        """Return the values [n] that every shard passed, in the order of the shards."""
        local = index - self.first
        self._passed.append(values)
        if local == self.n_local - 1:
            whole = self.world.gather(torch.stack(self._passed).flatten())
            self._gathered = [part for each in whole for part in each.unflatten(0, (self.n_local, -1)).unbind()]
            self._passed = []
        self._pass_on(local)
        self._wait_for(local)
        return self._gathered

    def run(self, functions: Sequence[Callable[[], Result]]) -> list[Result]:
        """Run a function for each shard of this process, all with the same exchanges; return their results.

        Raises what the first of them raises; the others then end at their next exchange.
        """
        if self._pool is None:
            return [function() for function in functions]
        self._turn, self._passed, self._failed = 0, [], False
        context = [contextvars.copy_context() for _ in functions]
        tasks = [
            self._pool.submit(context[local].run, self._in_turn, local, function)
            for local, function in enumerate(functions)
        ]
        errors = [error for task in tasks if (error := task.exception()) is not None]
        if errors:
            raise next((error for error in errors if not isinstance(error, Stopped)), errors[0])
        return [task.result() for task in tasks]

    def _in_turn(self, local: int, function: Callable[[], Result]) -> Result:
        self._wait_for(local)
        try:
            result = function()
        except BaseException:
            with self._changed:
                self._failed = True
                self._changed.notify_all()
            raise
        self._pass_on(local)
        return result

    def _pass_on(self, local: int) -> None:
        """Give the turn to the next shard."""
        with self._changed:
            self._turn = (local + 1) % self.n_local
            self._changed.notify_all()

    def _wait_for(self, local: int) -> None:
        """Wait for this shard's turn. Raises Stopped if another shard has failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._failed or self._turn == local)
            if self._failed:
                raise Stopped("another shard of this process has failed")
