"""Metrics of a run: one JSON object per iteration, appended atomically."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from qrl.common.errors import UsageError
from qrl.common.files import (
    LARGEST_RESULT,
    MissingFileError,
    open_regular,
    parse_json,
    path_error,
    read_regular,
    to_json,
    write_all,
    write_atomically,
)


class Metrics:
    """Rows of a `metrics.jsonl` file, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, object]) -> None:
        """Append one row atomically.

        Raises:
            TrainingError: the row contains a non-finite number.
            UsageError: the operating system refuses to write.
        """
        data = to_json(dict(row)).encode() + b"\n"
        descriptor = open_regular(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            size = os.fstat(descriptor).st_size
            try:
                write_all(descriptor, data)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        except OSError as error:
            raise path_error(self.path, error) from error
        finally:
            os.close(descriptor)

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows. An incomplete last line, left by a kill during a write, is skipped.

        Raises:
            UsageError: another line is damaged or out of order; the message gives its number.
        """
        rows, problems = self._parse(self._data())
        if problems:
            raise UsageError(problems[0])
        return rows

    def trim(self, iteration: int, *, has_last: bool = True) -> list[str]:
        """Delete damaged rows and the rows after `iteration`, before training resumes from that checkpoint.

        Returns: a message about each damaged row and, with `has_last`, about missing rows at the end.

        Raises:
            UsageError: the operating system refuses to write; the file stays unchanged.
        """
        data = self._data()
        rows, problems = self._parse(data)
        kept = [row for row in rows if row["iteration"] <= iteration]
        text = "".join(to_json(row) + "\n" for row in kept).encode()
        if data != text:
            write_atomically(self.path, text, follow_links=False)
        problems = [f"{problem}, dropped" for problem in problems]
        last = kept[-1]["iteration"] if kept else 0
        lacks_last = has_last and last < iteration
        return problems + ([f"{self.path} ends at iteration {last}, not at {iteration}"] if lacks_last else [])

    def last_iteration(self) -> int:
        """Return the iteration of the last undamaged row; 0 without one.

        Raises:
            UsageError: the file cannot be read.
        """
        rows, _ = self._parse(self._data())
        return rows[-1]["iteration"] if rows else 0

    def sync(self) -> None:
        """Flush all rows to disk: the rows up to a checkpoint must be as durable as the checkpoint itself.

        Raises:
            UsageError: the operating system refuses.
        """
        try:
            descriptor = open_regular(self.path, os.O_RDONLY)
        except MissingFileError:
            return
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise path_error(self.path, error) from error
        finally:
            os.close(descriptor)

    def _data(self) -> bytes:
        """Return the content of the file; nothing if it does not exist."""
        try:
            return read_regular(self.path, LARGEST_RESULT)
        except MissingFileError:
            return b""

    def _parse(self, data: bytes) -> tuple[list[dict[str, Any]], list[str]]:
        """Return the undamaged rows, and a message about each damaged row."""
        rows: list[dict[str, Any]] = []
        problems: list[str] = []
        for number, line in enumerate(data.split(b"\n")[:-1], start=1):
            try:
                row = parse_json(line)
            except ValueError:
                problems.append(f"{self.path}: line {number} is damaged")
                continue
            iteration = row.get("iteration") if isinstance(row, dict) else None
            before = rows[-1]["iteration"] if rows else 0
            if not isinstance(row, dict) or type(iteration) is not int:
                problems.append(f"{self.path}: line {number} is not a row of metrics: it has no iteration")
            elif iteration <= before:
                problems.append(f"{self.path}: line {number} is of iteration {iteration}, after that of {before}")
            else:
                rows.append(row)
        return rows, problems
