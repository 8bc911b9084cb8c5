"""Waiting policy of OpenMP, whose threads share torch's operations."""

import os
import sys

PASSIVE = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Environment variables of the standard, of libgomp, and of Intel's and LLVM's libraries: sleep instead of spinning."""


def wait_passively() -> None:
    """Make OpenMP's threads sleep while they wait for each other.

    By default they spin. A thread whose core is taken by another process then keeps all others spinning in every small
    operation, which slows training down by a factor of 10 and more. The OpenMP library reads the variables when it is
    loaded, with torch, so do nothing if torch is loaded already. Do nothing either if the user has set one of them. The
    commands call this function; the import does not, because the setting affects the whole process and its children.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in PASSIVE):
        os.environ.update(PASSIVE)
