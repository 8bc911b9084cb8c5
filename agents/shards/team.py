"""Team: all shards of a training, of which a process holds some, and the process that leads."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import safetensors.torch
import torch
from torch import Tensor

from agents.core.shard import WHOLE, Shard
from agents.shards import launch
from agents.shards.lockstep import Lockstep
from agents.shards.world import OneProcess, World, processes
from qrl.common.errors import UsageError

Result = TypeVar("Result")


class Team:
    """Shards of a training and the processes that hold them.

    Raises UsageError unless each process holds the same number of shards.
    """

    def __init__(self, n_shards: int, world: World | None = None) -> None:
        self.world = world or OneProcess()
        _check_division(n_shards, self.world.size)
        self.n_shards = n_shards
        self._lockstep = Lockstep(self.world, n_shards)

    @property
    def shards(self) -> list[Shard]:
        """Shards of this process."""
        if self.n_shards == 1:
            return [WHOLE]
        lockstep = self._lockstep
        return [Shard(lockstep.first + local, self.n_shards, lockstep) for local in range(lockstep.n_local)]

    @property
    def leads(self) -> bool:
        """Whether this process leads the others: it alone prints and writes."""
        return self.world.rank == 0

    def run(self, functions: Sequence[Callable[[], Result]]) -> list[Result]:
        """Run a function for each shard of this process; see `Lockstep.run`."""
        return self._lockstep.run(functions)

    def broadcast(self, content: bytes) -> bytes:
        """Return the bytes that the leader passed; those of other processes do not count."""
        if self.world.size == 1:
            return content
        (length, *_) = self.world.gather(torch.tensor([len(content)]))
        own = torch.zeros(int(length), dtype=torch.uint8)
        if self.leads:
            own = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        return bytes(self.world.gather(own)[0].tolist())

    def broadcast_json(self, value: object) -> object:
        """Return the JSON value that the leader passed."""
        return json.loads(self.broadcast(json.dumps(value).encode()))

    def broadcast_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors that the leader passed, on the CPU."""
        if self.world.size == 1:
            return dict(tensors)
        contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        return safetensors.torch.load(self.broadcast(safetensors.torch.save(contiguous)))


def _check_division(n_shards: int, n_processes: int) -> None:
    if n_shards % n_processes:
        shards = f"{n_shards} shards" if n_shards > 1 else "1 shard"
        remedy = "start so many processes that they divide the shards, or begin a training with other --shards"
        raise UsageError(f"{n_processes} processes cannot share {shards} equally: {remedy}")


@contextmanager
def team(n_shards: int, device: str) -> Iterator[Team]:
    """Join the team of a training of so many shards. Raises UsageError as `Team` and `processes` do."""
    _check_division(n_shards, launch.world_size())  # Before they connect: one that ends meanwhile disturbs the others.
    with processes(device) as world:
        yield Team(n_shards, world)
