"""Engine that the environment variable QRL_ENGINE asks for."""

import os

from qrl.common.errors import UsageError, suggest

VARIABLE = "QRL_ENGINE"
INSTRUCTION_SETS = ("generic", "avx2", "avx512")
"""Instruction sets of the native kernel, in the order of their numbers in its C interface."""
CHOICES = ("fused", "native", *(f"native-{name}" for name in INSTRUCTION_SETS))


def requested() -> str:
    """Return the value of QRL_ENGINE, one of `CHOICES`; "" if it is unset or empty.

    Raises:
        UsageError: the value is unknown.
    """
    value = os.environ.get(VARIABLE, "")
    if value and value not in CHOICES:
        raise UsageError(f"{VARIABLE}: unknown engine {value!r}{suggest(value, CHOICES)}")
    return value


def requested_instruction_set() -> str:
    """Return the instruction set that QRL_ENGINE asks for; "" if it leaves the choice open. Raises as `requested`."""
    return requested().partition("-")[2]
