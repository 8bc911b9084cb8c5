"""OpenMP threads of this process, which a fork must not inherit."""

import ctypes
import os
import re
from pathlib import Path

from qrl.common.errors import UsageError
from qrl.common.files import LARGEST_TEXT, open_stream

_MAPPED_FILES = Path("/proc/self/maps")
_SOFT = 1
"""OpenMP's omp_pause_soft: threads end, settings such as their number stay."""


def end_threads() -> None:
    """End the OpenMP threads of the calling thread; the next parallel operation starts new ones.

    In a child of a fork, GNU's library (libgomp) would wait without end for threads that only its parent has. Other
    OpenMP libraries start anew after a fork. Several copies of libgomp may be loaded: torch and scikit-learn bring
    their own. Do nothing on systems other than Linux, and for versions of libgomp before GCC 9.
    """
    try:
        with open_stream(_MAPPED_FILES) as file:
            maps = file.read(LARGEST_TEXT)
    except (UsageError, OSError):
        return
    for path in sorted(set(re.findall(rb"/.*/libgomp[^/\n]*\.so[^/\n]*$", maps, re.MULTILINE))):
        try:
            pause = ctypes.CDLL(os.fsdecode(path)).omp_pause_resource_all
        except (OSError, AttributeError):  # the file was replaced since, or the version is too old
            continue
        pause(_SOFT)
