"""How much memory a gradient takes."""

from collections.abc import Callable

import torch
from torch import Tensor

from qrl._memory import physical_memory
from qrl.errors import UsageError


def saved_bytes(compute: Callable[[], object]) -> int:
    """What autograd keeps of a computation for its gradient [bytes]."""
    saved: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        kept = compute()
    del kept  # until now: storages that are freed in between may have the same address
    return sum(saved.values())


def check_fits(agent: str, what: str, needed: float) -> None:
    """Raises UsageError if `what`, which takes `needed` bytes, cannot fit into this machine's memory."""
    if needed > physical_memory():
        raise UsageError(
            f"agent {agent}: {what} needs about {needed / 2**30:.3g} GiB, "
            f"this machine has {physical_memory() / 2**30:.3g}; use fewer wires, layers, tasks, episodes or steps"
        )
