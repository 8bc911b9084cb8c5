"""Display of the progress of a study: a table redrawn in place on a terminal, a line per finished run elsewhere."""

import io
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from agents.runs.messages import escaped
from agents.runs.progress import Stream
from agents.study.progress import RunProgress, line, table

INTERVAL = 0.5
"""Time between two drawings of the table [s]."""


class Display:
    """Display of the progress of runs.

    Args:
        runs: all runs of the plan.
        jobs: number of parallel processes.
        quiet: show nothing.
        stream: output stream, by default standard error.
    """

    def __init__(
        self, runs: Sequence[RunProgress], jobs: int, *, quiet: bool = False, stream: Stream | None = None
    ) -> None:
        self.runs, self.jobs = runs, jobs
        self._stream: Stream = io.StringIO() if quiet else stream or sys.stderr or io.StringIO()
        self._drawn, self._last = 0, -INTERVAL

    def update(self) -> None:
        """Redraw the table, if it is time."""
        now = time.monotonic()
        if self._stream.isatty() and now - self._last >= INTERVAL:
            self._last = now
            self._draw()

    def finished(self, run: RunProgress, text: str = "") -> None:
        """Show that a run has ended; `text` is a line about one that failed."""
        if self._stream.isatty():
            if text:
                self.note(text)
        else:
            self._refresh()
            self._write(f"{line(run, self.runs, self.jobs)}\n" + (f"{escaped(text)}\n" if text else ""))

    def note(self, text: str) -> None:
        """Show a line, above the table on a terminal."""
        self._erase()
        self._write(f"{escaped(text)}\n")

    def close(self) -> None:
        """Draw the table for the last time."""
        if self._stream.isatty():
            self._draw()
            self._drawn = 0

    def _refresh(self) -> None:
        for each in self.runs:
            if each.state == "running":
                each.read()

    def _draw(self) -> None:
        self._refresh()
        size = shutil.get_terminal_size()
        rows = table(self.runs, jobs=self.jobs, columns=size.columns, lines=size.lines)
        self._erase()
        self._write("".join(f"{row}\n" for row in rows))
        self._drawn = len(rows)

    def _erase(self) -> None:
        if self._drawn:
            self._write(f"\x1b[{self._drawn}A\x1b[J")  # up to the first line of the table; clear to the end
        self._drawn = 0

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # A closed terminal ends no training.
            self._stream.write(text)
            self._stream.flush()
