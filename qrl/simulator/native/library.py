"""Load the native kernel: the shared library beside this file, where it was built and runs on this machine.

Without it, the fused executor runs. A library that cannot be used causes one warning; a missing one is reported by
`status` alone.
"""

import ctypes
import os
import platform
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from qrl.common.errors import UsageError
from qrl.common.files import kind_of, read_regular
from qrl.simulator.native.elf import defect
from qrl.simulator.native.requested import INSTRUCTION_SETS, VARIABLE, requested, requested_instruction_set

ABI = 1
"""Version of the C interface; the same number is in dispatch.cpp."""
FILE = Path(__file__).resolve().parent / "qrl_native.so"
"""The library, loaded from nowhere else."""
REMEDY = "install again with GCC or Clang, or run make native in a source tree"


@dataclass(frozen=True)
class Library:
    """Loaded library and the instruction set to call it with."""

    functions: ctypes.CDLL
    """C functions, with the types of their arguments and results."""
    instruction_set: str
    build: str
    """Compiler and its version."""

    @property
    def number(self) -> int:
        """Number of the instruction set in the C interface."""
        return INSTRUCTION_SETS.index(self.instruction_set)


@dataclass(frozen=True)
class Unusable:
    """Reason why the native kernel does not run."""

    reason: str
    remedy: str = ""
    broken: bool = False
    """Whether there is a library that cannot be used, about which the user is warned."""

    def __str__(self) -> str:
        """Format as one line."""
        return f"native kernel: {self.reason}, the fused executor runs" + (f": {self.remedy}" if self.remedy else "")


class _Broken(Exception):
    """A library that cannot be used; the message says why."""


def library() -> Library | None:
    """Return the library with the instruction set that QRL_ENGINE asks for, by default the best one of this machine.

    Return None if there is none that runs here; warn, once in a process, if there is one that cannot be used.

    Raises:
        UsageError: QRL_ENGINE is unknown.
    """
    found = find()
    if isinstance(found, Library):
        return found
    if found.broken:
        _warn(str(found))
    return None


def status() -> str:
    """Describe the native kernel in one line. Raises UsageError if QRL_ENGINE is unknown."""
    found = find()
    if isinstance(found, Unusable):
        return str(found)
    unused = f"; not used, as {VARIABLE}=fused" if requested() == "fused" else ""
    return f"native kernel: {found.instruction_set} ({found.build}){unused}"


@cache
def find() -> Library | Unusable:
    """Load the library, or find out why it cannot be used. Raises UsageError if QRL_ENGINE is unknown."""
    wanted = requested_instruction_set()
    try:
        if kind_of(FILE, follow_links=False) == "missing":
            return Unusable("not built", REMEDY)
        functions = _load()
    except (_Broken, UsageError) as error:
        return Unusable(str(error), REMEDY, broken=True)
    names = [wanted] if wanted else _candidates()
    runs = [name for name in names if functions.qrl_native_supported(INSTRUCTION_SETS.index(name))]
    if not runs:
        return Unusable(f"this processor does not run the instruction set {' or '.join(names)}, or it was not built")
    return Library(functions, runs[0], functions.qrl_native_build().decode(errors="backslashreplace"))


def _load() -> ctypes.CDLL:
    """Load the library and declare its functions.

    Raises:
        _Broken: the file is no shared library of this version for this machine.
        UsageError: the file cannot be read.
    """
    if kind_of(FILE, follow_links=False) != "file":
        raise _Broken(f"{FILE}: not a regular file")
    if wrong := defect(read_regular(FILE)):
        raise _Broken(f"{FILE}: {wrong}")
    try:
        functions = ctypes.CDLL(os.fspath(FILE))  # an absolute path: no folder is searched
        _check_version(functions)
        _declare(functions)
    except OSError as error:
        reason = str(error).removeprefix(f"{FILE}: ")
        raise _Broken(f"{FILE}: {reason}") from error
    except AttributeError as error:
        function = str(error).rpartition(": ")[2]
        raise _Broken(f"{FILE}: no function {function}: another library, or of another version") from error
    return functions


def _check_version(functions: ctypes.CDLL) -> None:
    """Raise _Broken if the library has another interface, and AttributeError if it does not say which."""
    functions.qrl_native_abi.argtypes = ()
    functions.qrl_native_abi.restype = ctypes.c_int32
    if (abi := functions.qrl_native_abi()) != ABI:
        raise _Broken(f"{FILE}: of another version of this software (interface {abi}, not {ABI})")


def _declare(functions: ctypes.CDLL) -> None:
    """Declare arguments and results of the C functions. Raises AttributeError if one is missing."""
    functions.qrl_native_supported.argtypes = (ctypes.c_int32,)
    functions.qrl_native_supported.restype = ctypes.c_int32
    functions.qrl_native_build.argtypes = ()
    functions.qrl_native_build.restype = ctypes.c_char_p
    functions.qrl_native_lanes.argtypes = (ctypes.c_int32, ctypes.c_int32)
    functions.qrl_native_lanes.restype = ctypes.c_int32
    # The arguments are pointers to the structures of `encoding` and `calls`: declaring their types here as well would
    # only make each call slower.
    functions.qrl_native_run.restype = ctypes.c_int32


def _candidates() -> list[str]:
    """Return the instruction sets to choose from, best first.

    On x86, without instructions of fused multiplication and addition, the fused executor is faster than the kernel.
    """
    return ["avx512", "avx2"] if platform.machine().lower() in ("x86_64", "amd64") else ["generic"]


@cache
def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=3)
