"""How much memory a gradient takes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from qrl.backends.backend import uncounted
from qrl.common.errors import UsageError
from qrl.common.memory import physical_memory


def saved_bytes(policy: nn.Module, compute: Callable[[], object]) -> int:
    """What autograd keeps of a computation with a policy for its gradient [bytes]; its circuits are not counted."""
    held: list[Tensor] = []

    def hold(tensor: Tensor) -> int:
        held.append(tensor)
        return len(held) - 1

    with uncounted(policy), torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(hold, held.__getitem__):
        compute()
    # Of storages that are all alive: one that was freed in between might share its address with another.
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in held}
    held.clear()  # the graph refers to it, and what is in it to the graph: no collector would see that circle
    return sum(storages.values())


def check_fits(who: str, what: str, needed: float) -> None:
    """Raises UsageError if `what`, which takes `needed` bytes, cannot fit into this machine's memory."""
    if needed > physical_memory():
        raise UsageError(
            f"{who}: {what} needs about {needed / 2**30:.3g} GiB, "
            f"this machine has {physical_memory() / 2**30:.3g}; use fewer wires, layers, tasks, episodes or steps"
        )
