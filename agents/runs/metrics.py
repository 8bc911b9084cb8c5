"""Metrics of a run: one JSON object per iteration, appended atomically."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from qrl.common.errors import UsageError
from qrl.common.files import parse_json, path_error, to_json, write_all, write_atomically


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
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                size = os.fstat(descriptor).st_size
                try:
                    write_all(descriptor, data)
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(descriptor, size)
                    raise
            finally:
                os.close(descriptor)
        except OSError as error:
            raise path_error(self.path, error) from error

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows. An incomplete last line, left by a kill during a write, is skipped.

        Raises:
            UsageError: another line is damaged; the message gives its number.
        """
        rows, problems = self._read()
        if problems:
            raise UsageError(problems[0])
        return rows

    def trim(self, iteration: int) -> list[str]:
        """Delete damaged rows and the rows after `iteration`, before training resumes from that checkpoint.

        Returns: a message about each damaged row.

        Raises:
            UsageError: the operating system refuses to write; the file stays unchanged.
        """
        rows, problems = self._read()
        text = "".join(to_json(row) + "\n" for row in rows if row["iteration"] <= iteration).encode()
        if self.path.exists() and self.path.read_bytes() != text:
            write_atomically(self.path, text)
        return problems

    def sync(self) -> None:
        """Flush all rows to disk: the rows up to a checkpoint must be as durable as the checkpoint itself.

        Raises:
            UsageError: the operating system refuses.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            raise path_error(self.path, error) from error

    def _read(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Read the undamaged rows, and a message about each damaged row."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return [], []
        except OSError as error:
            raise path_error(self.path, error) from error
        rows: list[dict[str, Any]] = []
        problems: list[str] = []
        for number, line in enumerate(data.split(b"\n")[:-1], start=1):
            try:
                row = parse_json(line)
            except (ValueError, RecursionError):
                problems.append(f"{self.path}: line {number} is damaged")
                continue
            if isinstance(row, dict) and isinstance(row.get("iteration"), int):
                rows.append(row)
            else:
                problems.append(f"{self.path}: line {number} is not a row of metrics: it has no iteration")
        return rows, problems
