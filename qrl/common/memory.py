"""How much memory there is."""

import os


def physical_memory() -> int:
    """This machine's memory [bytes]."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
