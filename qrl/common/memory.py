"""Memory of this machine."""

import os

from qrl.common.errors import UsageError


def physical_memory() -> int:
    """Return this machine's physical memory [bytes]."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def largest_file() -> int:
    """Return the size of the largest file of tensors to be read [bytes].

    Its content is in memory three times: as bytes, as tensors, and in the model that takes them over.
    """
    return physical_memory() // 3


def check_fits(user: str, what: str, needed: float | int) -> None:
    """Raise UsageError if `what`, which takes `needed` bytes, exceeds this machine's memory.

    The message begins with `user`, such as "agent maml".
    """
    if needed > physical_memory():
        raise UsageError(
            f"{user}: {what} needs about {needed / 2**30:.3g} GiB, "
            f"this machine has {physical_memory() / 2**30:.3g}; use fewer wires, layers, tasks, episodes or steps"
        )
