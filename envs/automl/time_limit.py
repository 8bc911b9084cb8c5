"""Wall-clock budget of a search, by signal: a fit that is running when the budget ends is abandoned."""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
from numpy.typing import NDArray


class OutOfTime(BaseException):
    """Signal that the budget has ended. Not an Exception, so that it does not count as a failure of an algorithm."""


class TimeBudget:
    """Wall-clock budget that starts with the object.

    Args:
        seconds: the budget [s]; None: unlimited.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds, self._started = seconds, time.monotonic()

    def left(self, share: float = 1.0) -> float:
        """Return what is left of a share of the budget [s]."""
        return math.inf if self.seconds is None else share * self.seconds - (time.monotonic() - self._started)

    def allows(self, seconds: float, share: float = 1.0) -> bool:
        """Return whether something that takes so long would end within a share of the budget."""
        return seconds <= self.left(share)

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Raise OutOfTime in this block when the budget ends; only in the main thread, where signals are received.

        The signal is repeated, as code called by an extension module may ignore an exception.
        """
        if self.seconds is None or threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            raise OutOfTime

        previous = signal.signal(signal.SIGALRM, stop)
        try:
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, self.left()), 1.0)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)


def relative_durations(seconds: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how long each choice takes relative to the others, as a median over datasets [choice].

    Args:
        seconds: time of each choice on each dataset [dataset, choice].
    """
    logs = np.log(np.maximum(seconds, 1e-3).astype(float))
    return np.exp(np.median(logs - logs.mean(1, keepdims=True), axis=0))
