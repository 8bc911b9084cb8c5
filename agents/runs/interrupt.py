"""Ctrl-C and `kill` end training between two iterations, with everything saved, and an evaluation at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn


class Interrupts:
    """While entered, SIGINT and SIGTERM are noted instead of acted upon: the loop looks, saves and leaves.

    ```
    with Interrupts() as stop:
        while not stop: ...
    sys.exit(stop.exit_code)
    ```

    The first signal is acknowledged on stderr; SIGINT after it raises KeyboardInterrupt.
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
        self._previous = _install(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self._previous)
        self._previous = {}

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is None:
            self.signal = int(number)
            again = " again" if number == signal.SIGINT else ""
            _say(f"finishing this iteration, then saving; press Ctrl-C{again} to stop now")
        elif number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt


class Interrupted(KeyboardInterrupt):
    """A signal that came inside `stopping_at_once`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """While entered, SIGINT and SIGTERM raise Interrupted; likewise in the main thread only."""

    def stop(number: int, _: FrameType | None) -> NoReturn:
        raise Interrupted(number)

    previous = _install(stop)
    try:
        yield
    finally:
        _restore(previous)


def _install(handler: Callable[[int, FrameType | None], Any]) -> dict[int, Any]:
    """Handle SIGINT and SIGTERM; the handlers there were."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    # A shell starts background jobs with SIGINT ignored: that choice is left alone.
    numbers = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in numbers}


def _restore(previous: dict[int, Any]) -> None:
    for number, handler in previous.items():
        # None stands for a handler that was not installed from Python and cannot be put back from there.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _say(text: str) -> None:
    """Write a line to stderr past Python's buffers, which a signal handler must not enter a second time."""
    start = "\n" if os.isatty(2) else ""  # a bar's line is left as it is
    with suppress(OSError):
        os.write(2, f"{start}{text}\n".encode())
