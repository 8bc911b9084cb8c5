"""Memory of this machine."""

import os


def physical_memory() -> int:
    """Return this machine's physical memory [bytes]."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
