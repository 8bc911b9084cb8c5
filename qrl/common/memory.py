"""Memory of this machine."""

import os


def physical_memory() -> int:
    """Return this machine's physical memory [bytes]."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def largest_file() -> int:
    """Return the size of the largest file of tensors to be read [bytes].

    Its content is in memory three times: as bytes, as tensors, and in the model that takes them over.
    """
    return physical_memory() // 3
