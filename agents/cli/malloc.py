"""Settings of the C library's allocator for programs that repeatedly allocate the same large tensors."""

import ctypes
import os


def keep_freed_memory() -> None:
    """Make glibc keep freed memory instead of returning it to the operating system.

    Each iteration allocates and frees the same large tensors. Memory that was returned costs a page fault per 4 KiB
    when it is allocated again, which slows the simulator down by a factor of 1.3 to 4. The commands call this function;
    the import does not, because the setting affects the whole process. With another C library, do nothing.
    """
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return
        mallopt = ctypes.CDLL(None).mallopt
    except (ValueError, OSError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h.
    mallopt(trim_threshold, 1 << 30)
    # Older versions of glibc refuse more than 32 MiB.
    if not mallopt(mmap_threshold, 1 << 30):
        mallopt(mmap_threshold, 32 << 20)
