"""Metrics of a run: one JSON object per iteration, each whole or not there."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from qrl.common.errors import UsageError
from qrl.common.files import parse_json, to_json, unusable, write_all, write_whole


class Metrics:
    """The rows of a `metrics.jsonl`; there need not be a file yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, object]) -> None:
        """Append one row, whole or not at all.

        Raises:
            TrainingError: a number in it is not finite.
            UsageError: the system refuses to write.
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
            raise unusable(self.path, error) from error

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows. A last line without its end, left by a kill in the middle of a write, is passed over.

        Raises:
            UsageError: another line is damaged; the message gives its number.
        """
        rows, problems = self._read()
        if problems:
            raise UsageError(problems[0])
        return rows

    def trim(self, iteration: int) -> list[str]:
        """Drop the rows after `iteration` and damaged ones, as resuming from that checkpoint does first.

        Returns: a line about each damaged row.

        Raises:
            UsageError: the system refuses to write; the file is left as it was.
        """
        rows, problems = self._read()
        text = "".join(to_json(row) + "\n" for row in rows if row["iteration"] <= iteration).encode()
        if self.path.exists() and self.path.read_bytes() != text:
            write_whole(self.path, text)
        return problems

    def sync(self) -> None:
        """Have all rows on the disk: those up to a checkpoint must outlast whatever the checkpoint outlasts.

        Raises:
            UsageError: the system refuses.
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
            raise unusable(self.path, error) from error

    def _read(self) -> tuple[list[dict[str, Any]], list[str]]:
        """The undamaged rows, and a line about each that is not."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return [], []
        except OSError as error:
            raise unusable(self.path, error) from error
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
