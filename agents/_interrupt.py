"""Ctrl-C and `kill` end a run between two iterations, with everything saved."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """While entered, SIGINT and SIGTERM are noted instead of acted upon: the loop looks, saves and leaves.

    ```
    with Interrupts() as stop:
        while not stop: ...
    sys.exit(stop.exit_code)
    ```

    Python handles signals in its main thread only; entered in another thread it changes nothing.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        """The first signal that came."""
        self._previous: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it: 130 for SIGINT, 143 for SIGTERM; 0 if none came."""
        return 0 if self.signal is None else 128 + self.signal

    def __bool__(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # A shell starts background jobs with SIGINT ignored: that choice is left alone.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed from Python and cannot be put back from there.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is None:
            self.signal = int(number)
