"""Environment variables by which `torchrun`, or another launcher, tells a process its place; read without torch."""

import os
import re
from collections.abc import Mapping

from qrl.common.checks import abbreviated
from qrl.common.errors import UsageError


def world_size(environ: Mapping[str, str] = os.environ) -> int:
    """Return the number of processes, 1 without a launcher. Raises UsageError for anything but a positive number."""
    return _number(environ, "WORLD_SIZE", default=1, least=1)


def rank(environ: Mapping[str, str] = os.environ) -> int:
    """Return the number of this process, from 0. Raises UsageError unless it is less than that of processes."""
    found, size = _number(environ, "RANK", default=0), world_size(environ)
    if found >= size:
        raise UsageError(f"environment variable RANK: {found} must be less than WORLD_SIZE, {size}")
    return found


def local_rank(environ: Mapping[str, str] = os.environ) -> int:
    """Return the number of this process on its machine, which is that of its GPU. Raises UsageError as `rank` does."""
    return _number(environ, "LOCAL_RANK", default=0)


def leads(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process leads the others: it alone prints and writes."""
    return rank(environ) == 0


def is_first(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process is the first one as far as its variables can be read; see `leads`."""
    return environ.get("RANK", "0") == "0"


def n_restarts(environ: Mapping[str, str] = os.environ) -> int:
    """Return how often `torchrun --max-restarts` has started the processes again, after one of them failed."""
    return _number(environ, "TORCHELASTIC_RESTART_COUNT", default=0)


def _number(environ: Mapping[str, str], name: str, *, default: int, least: int = 0) -> int:
    text = environ.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least:
        found = abbreviated(text)
        raise UsageError(f"environment variable {name}: expected a whole number, as torchrun sets it, found {found!r}")
    return int(text)
