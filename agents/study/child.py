"""Process of a run in a study: the command line, in a process that dies with the one that started it.

    python -m agents.study.child PARENT WORDS...     as python -m agents WORDS...; PARENT is a process id

On Linux, which can signal the death of a parent, a killed sweep leaves no process behind. Elsewhere, a run continues to
its end, and the lock of its folder keeps a second process out.
"""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""Option of prctl(2): the signal that a process gets when its parent dies."""


def die_with(parent: int) -> None:
    """Let the operating system kill this process when its parent dies; exit if it has died already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(128 + signal.SIGKILL)


if __name__ == "__main__":
    die_with(int(sys.argv.pop(1)))
    runpy.run_module("agents", run_name="__main__", alter_sys=True)
