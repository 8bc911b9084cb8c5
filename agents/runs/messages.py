"""Lines for the user on standard error, and warnings of libraries, which never stand beside an error.

This module imports only the standard library.
"""

import io
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

MOST_HELD = 100
"""Maximum number of distinct warnings that are kept until the end of a command."""


def tell(text: str) -> None:
    """Print a text as one line to standard error, with control characters escaped; do nothing if that is closed."""
    stream = sys.stderr
    if stream is None:  # closed before Python started
        return
    line = escaped(text)
    with suppress(OSError, ValueError):  # a closed pipe or file
        print(line, file=stream, flush=True)


def print_anything() -> None:
    """Let standard output and error escape the characters that their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def escaped(text: str) -> str:
    """Return a text in one line, without control characters, such as those of a terminal in the name of a file."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Return a text with its control characters escaped and its spaces as they are, such as the name of a file."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def warn(text: str) -> None:
    """Print a warning to standard error."""
    tell(f"warning: {text}")


def without_password(text: str) -> str:
    """Return a text, such as a word of a command line, without the password of a URL."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", text)


@contextmanager
def held_warnings() -> Iterator[None]:
    """Hold back the warnings of libraries, and print each distinct one as one line unless the block ends in an error.

    They are warnings of Python, log records that no handler takes, and exceptions in destructors and in threads, which
    Python can only print.
    """
    held = _Held()
    shown, last, ignored = warnings.showwarning, logging.lastResort, sys.unraisablehook
    in_thread = threading.excepthook
    warnings.showwarning = held.showwarning  # type: ignore[assignment]  # mypy knows the exact signature only
    logging.lastResort = held.handler
    sys.unraisablehook = lambda error: held.add(f"{error.err_msg or 'exception ignored'}: {error.exc_value!r}")
    threading.excepthook = lambda error: held.add(f"exception in a thread: {error.exc_value!r}")
    try:
        yield
    except Exception:
        raise
    except BaseException:  # an interruption is no error
        held.print()
        raise
    else:
        held.print()
    finally:
        warnings.showwarning, logging.lastResort, sys.unraisablehook = shown, last, ignored
        threading.excepthook = in_thread


class _Held:
    """Distinct lines, in the order of their first occurrence."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}
        self._n_more = 0
        self.handler = _Handler(self)

    def add(self, line: str) -> None:
        """Hold a line."""
        if len(self._lines) < MOST_HELD or line in self._lines:
            self._lines[line] = None
        else:
            self._n_more += 1

    def showwarning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Hold a warning of Python; an explicit `file` receives it at once."""
        if file is not None:
            file.write(warnings.formatwarning(message, category, filename, lineno, line))
        else:
            self.add(f"{category.__name__}: {message} ({Path(filename).name}, line {lineno})")

    def print(self) -> None:
        """Print the lines."""
        for line in self._lines:
            warn(line)
        if self._n_more:
            warn(f"{self._n_more} more warnings")


class _Handler(logging.Handler):
    """Handler of log records that no other handler takes."""

    def __init__(self, held: _Held) -> None:
        super().__init__(logging.WARNING)
        self._held = held

    def emit(self, record: logging.LogRecord) -> None:
        """Hold a record."""
        self._held.add(f"{record.name}: {record.getMessage()}")
