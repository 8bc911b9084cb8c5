"""Engine that exact circuits run on: the native kernel, or the fused executor in torch.

The environment variable QRL_ENGINE chooses: `fused`, or `native`. Without it, the native kernel runs if there is one.
`native-generic`, `native-avx2` and `native-avx512` also choose the instruction set, for tests.
"""

from functools import cache
from typing import Literal

from qrl.common.errors import UsageError, suggest
from qrl.simulator.native.library import Unusable, find, library
from qrl.simulator.native.requested import VARIABLE, requested

Engine = Literal["native", "fused"]
NATIVE, FUSED = "native", "fused"


@cache
def engine() -> Engine:
    """Return the engine of exact circuits in this process; QRL_ENGINE is read once.

    Raises:
        UsageError: QRL_ENGINE is unknown, or asks for a native kernel that does not run here.
    """
    wanted = requested()
    if wanted == "fused":
        return "fused"
    if wanted:
        found = find()
        if isinstance(found, Unusable):
            remedy = f"; {found.remedy}" if found.remedy else ""
            raise UsageError(f"{VARIABLE}={wanted}: native kernel: {found.reason}{remedy}")
        return "native"
    return "fused" if library() is None else "native"


def check_engine(name: str) -> None:
    """Raise UsageError unless the name is that of an engine, and the engine runs here."""
    if name not in (NATIVE, FUSED):
        raise UsageError(f"circuit: unknown engine {name!r}{suggest(name, (NATIVE, FUSED))}")
    if name == NATIVE and library() is None:
        raise UsageError(f"circuit: {find()}")


def engine_name() -> str:
    """Return the engine with its instruction set, such as "native-avx2", as a value of QRL_ENGINE.

    Raises as `engine` does.
    """
    used = library() if engine() == "native" else None
    return "fused" if used is None else f"native-{used.instruction_set}"
