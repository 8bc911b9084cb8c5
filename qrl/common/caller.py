"""Warnings that name the line of the user's code."""

import inspect
import warnings
from types import FrameType


def warn_caller(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line from which the package of the calling function was entered.

    That line is the same however many of the package's own functions are on the way, as a fixed `stacklevel` is not.
    """
    here = inspect.currentframe()
    frame = None if here is None else here.f_back
    level, package = 2, _package(frame)
    while frame is not None and _package(frame) == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level - 1 if frame is None else level)


def _package(frame: FrameType | None) -> str:
    return "" if frame is None else str(frame.f_globals.get("__name__", "")).partition(".")[0]
