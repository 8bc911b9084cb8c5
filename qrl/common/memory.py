"""Memory of this machine and of its GPUs."""

import os
from typing import TYPE_CHECKING

from qrl.common.errors import UsageError

if TYPE_CHECKING:
    import torch


def physical_memory() -> int:
    """Return this machine's physical memory [bytes]."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def largest_file() -> int:
    """Return the size of the largest file of tensors to be read [bytes].

    Its content is in memory three times: as bytes, as tensors, and in the model that takes them over.
    """
    return physical_memory() // 3


def memory_of(device: "torch.device | str" = "cpu") -> tuple[str, float | int]:
    """Return what has the memory of a torch device, such as "this machine", and its size [bytes].

    The memory of a GPU is its own; that of other devices is taken to be this machine's.
    """
    if not str(device).startswith("cuda"):
        return "this machine", physical_memory()
    import torch  # here, as the commands check their options before they import it

    return f"the GPU {device}", torch.cuda.mem_get_info(torch.device(device))[1]


def check_fits(user: str, what: str, needed: float | int, device: "torch.device | str" = "cpu") -> None:
    """Raise UsageError if `what`, which takes `needed` bytes, exceeds the memory of a torch device.

    The message begins with `user`, such as "agent maml".
    """
    owner, size = memory_of(device)
    if needed > size:
        raise UsageError(
            f"{user}: {what} needs about {needed / 2**30:.3g} GiB, "
            f"{owner} has {size / 2**30:.3g}; use fewer wires, layers, tasks, episodes or steps"
        )
