"""Signal handling: SIGINT and SIGTERM stop training after the current iteration, and an evaluation immediately."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn


class Interrupts:
    """Context manager that records SIGINT and SIGTERM, so that the training loop can save a checkpoint and stop.

    ```
    with Interrupts() as stop:
        while not stop: ...
    ```

    The first signal is acknowledged on stderr; a further SIGINT raises Interrupted, and one more ends the process, even
    if third-party code catches exceptions. Python handles signals in its main thread only; in another thread, the
    context manager has no effect.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        """Number of the first signal received, or None."""
        self._previous: dict[int, Any] = {}

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
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            raise Interrupted(number)


@contextmanager
def ignored() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM inside the context, where another process decides what they mean."""
    previous = _install(lambda *_: None)
    try:
        yield
    finally:
        _restore(previous)


class Interrupted(KeyboardInterrupt):
    """Training or an evaluation was stopped by a signal; whatever can be saved is saved."""

    def __init__(self, number: int, *, told: bool = False) -> None:
        super().__init__()
        self.told = told
        """Whether the user has been told."""
        self.exit_code = 128 + number
        """Exit code by shell convention: 130 for SIGINT, 143 for SIGTERM."""


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Make SIGINT and SIGTERM raise Interrupted inside the context. In a thread other than the main one, do nothing."""

    def stop(number: int, _: FrameType | None) -> NoReturn:
        raise Interrupted(number)

    previous = _install(stop)
    try:
        yield
    finally:
        _restore(previous)


def _install(handler: Callable[[int, FrameType | None], Any]) -> dict[int, Any]:
    """Install a handler of SIGINT and SIGTERM; return the previous handlers by signal number."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    # A shell starts background jobs with SIGINT ignored; keep it ignored.
    numbers = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in numbers}


def _restore(previous: dict[int, Any]) -> None:
    for number, handler in previous.items():
        # None stands for a handler that was not installed from Python and cannot be restored from Python.
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _say(text: str) -> None:
    """Write a line to stderr, bypassing Python's buffers: they are not reentrant in a signal handler."""
    start = "\n" if os.isatty(2) else ""  # keep the line of a progress bar
    with suppress(OSError):
        os.write(2, f"{start}{text}\n".encode())
