"""Processes of one training, as `torchrun` starts them, and the exchange of tensors between them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Protocol, runtime_checkable

import torch
import torch.distributed
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from agents.shards import launch
from qrl.common.errors import TrainingError, UsageError

TIMEOUT = timedelta(minutes=30)
"""Longest wait for another process; the leader may be writing, or evaluating with a reference agent."""


@runtime_checkable
class World(Protocol):
    """Processes of a training."""

    rank: int
    """Number of this process; process 0 leads: it alone reads options of output, prints and writes."""
    size: int

    def gather(self, values: Tensor) -> list[Tensor]:
        """Return the values [n] of every process, in the order of the ranks; n is the same for all."""


class OneProcess:
    """World of a training in one process."""

    rank, size = 0, 1

    def gather(self, values: Tensor) -> list[Tensor]:
        """Return the values."""
        return [values]


class Processes:
    """World of processes that `torchrun` has started, or another launcher that sets the same variables."""

    def __init__(self) -> None:
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()

    def gather(self, values: Tensor) -> list[Tensor]:
        """Return the values of every process. Raises TrainingError if another process has ended."""
        gathered = [torch.empty_like(values) for _ in range(self.size)]
        try:
            torch.distributed.all_gather(gathered, values)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise TrainingError(f"another process of this training has ended, or does not answer: {reason}") from error
        return gathered


@contextmanager
def processes(device: str) -> Iterator[World]:
    """Join the processes of a training; they communicate by gloo, and by NCCL for tensors on GPUs.

    Raises UsageError for variables of a launcher that make no sense, and if the other processes cannot be reached.
    """
    if launch.world_size() == 1:
        yield OneProcess()
        return
    # Default arguments of this module hold the process group that exists when it is first imported, which the first
    # optimiser does. So held, the group and its threads would outlive this context, and a thread that gives up a tensor
    # while Python exits aborts the process.
    import_module("torch.distributed.nn.functional")
    on_gpus = device.startswith("cuda")
    if on_gpus:
        torch.cuda.set_device(launch.local_rank())
    try:
        store, rank, size = next(rendezvous("env://"))
        # The store may outlive a restart, and with it the addresses of processes that have ended.
        store = PrefixStore(f"attempt {launch.n_restarts()}", store)
        backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
        torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"the processes of this training cannot reach each other: {reason}") from error
    try:
        yield Processes()
    finally:
        torch.distributed.destroy_process_group()
