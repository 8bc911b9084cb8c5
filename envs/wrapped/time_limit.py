"""Time limit of third-party code that runs in the main thread."""

import atexit
import signal
import threading
from types import FrameType
from typing import Protocol, runtime_checkable

TICKS = 4
"""Number of times that the clock looks at a call before its limit is over."""

STEP_TIMEOUT = 300.0
"""Default time that a step or a reset of one environment may take [s]: generous, for slow simulators."""

LONGEST_TIMEOUT = 1e6
"""Longest time limit [s]."""


@runtime_checkable
class Marker(Protocol):
    """Integers that tell which call of third-party code is running: a list, or an array that processes share."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> int: ...

    def __setitem__(self, index: int, value: int, /) -> None: ...


class TimeExceeded(KeyboardInterrupt):
    """Third-party code took longer than its limit.

    Like Ctrl-C, it is no Exception, so that `except Exception` in third-party code does not swallow it.
    """


class Clock:
    """Clock that tells, tick by tick, whether the marker of the running call has stayed the same for the whole limit.

    A loop over many environments sets the marker before each call, and the limit is that of one call: a call that
    hangs is found after one to 1 + 1 / TICKS times the limit, without any cost for a call that returns.
    """

    def __init__(self, seconds: float, marker: Marker) -> None:
        self.tick = seconds / TICKS
        """Time between ticks [s]."""
        self._marker, self._same, self._seen = marker, 0, [-1]

    def is_over(self, context: int = 0) -> bool:
        """Count a tick; return whether the limit of the running call is over. A new context is another call."""
        now = [context, *(self._marker[index] for index in range(len(self._marker)))]
        self._same = self._same + 1 if now == self._seen else 1
        self._seen = now
        return self._same > TICKS


class TimeLimit:
    """Context manager that raises TimeExceeded in its context once the marker has stayed the same for too long.

    Signals reach Python code of the main thread only: in other threads, in C code that never returns to Python, and in
    programs that use SIGALRM for themselves, nothing happens. If third-party code catches the exception, it is raised
    again, at every tick. Inside another limit, that one holds.

    The timer goes on between contexts, since to set it for each step would take longer than some steps; it ends at the
    first tick outside of a context.

    Args:
        seconds: the limit; 0: none.
        marker: tells which call is running; without one, the limit is that of the whole context.
    """

    def __init__(self, seconds: float, marker: Marker | None = None) -> None:
        self._clock = Clock(seconds, [0] if marker is None else marker)
        self._installed, self._running, self._entered = False, False, 0

    def __enter__(self) -> None:
        if self._clock.tick > 0 and threading.get_ident() == threading.main_thread().ident:
            self._running = self._installed or self._install()
            self._entered += 1

    def __exit__(self, *_: object) -> None:
        self._running = False

    def _install(self) -> bool:
        """Start the timer unless something else uses its signal; return whether it runs."""
        present = signal.getsignal(signal.SIGALRM)
        other = getattr(present, "__self__", None)
        if isinstance(other, TimeLimit) and not other._running:
            other._installed = False
        elif present is not signal.SIG_DFL or signal.getitimer(signal.ITIMER_REAL)[0]:
            return False
        self._installed = True
        atexit.register(_stop_timer)  # Python's exit restores the default action of the signal: to end the process.
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, self._clock.tick, self._clock.tick)
        return True

    def _look(self, _: int, __: FrameType | None) -> None:
        if not self._running:
            self._installed = False
            _stop_timer()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        elif self._clock.is_over(self._entered):
            raise TimeExceeded


def _stop_timer() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    atexit.unregister(_stop_timer)
