"""The C library's allocator, set for programs that allocate the same large tensors again and again."""

import ctypes
import os


def keep_freed_memory() -> None:
    """Have glibc keep freed memory instead of returning it at once.

    Each iteration allocates and frees the same large tensors; handed back every time, they cost a page fault per 4 KiB
    when next touched, which makes the simulator 1.3 to 4 times slower. Called by commands and not on import, because
    it concerns the whole process.
    """
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return
        mallopt = ctypes.CDLL(None).mallopt
    except (ValueError, OSError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h.
    mallopt(trim_threshold, 1 << 30)
    # Older versions refuse more than 32 MiB.
    if not mallopt(mmap_threshold, 1 << 30):
        mallopt(mmap_threshold, 32 << 20)
