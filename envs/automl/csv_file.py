"""Reader of CSV files of any size: the layout, and the cells as text, in chunks."""

import codecs
import csv
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.automl.frames import MAX_MAGNITUDE
from qrl.common.errors import UsageError
from qrl.common.files import open_stream, path_error

MAX_LINE_BYTES = 4 << 20
"""Longest line of a CSV file [bytes]."""
_CHUNK_BYTES = 32 << 20
"""Size of a chunk [bytes]."""
MISSING = ("?",)
"""Text of missing values, in addition to those of pandas: empty cells, NA, NaN, null, None and others."""
_UNSUPPORTED = {
    b"\x1f\x8b": "is compressed by gzip: unpack it first",
    b"PK\x03\x04": "is a ZIP archive or a workbook: unpack it, or save it as CSV",
    b"\xff\xfe": "is in UTF-16: save it in UTF-8",
    b"\xfe\xff": "is in UTF-16: save it in UTF-8",
}
"""Unsupported kinds of files by their first bytes."""


@dataclass(frozen=True)
class Layout:
    """Layout of a CSV file."""

    path: Path
    encoding: str
    separator: str
    columns: tuple[str, ...]
    chunk: int
    """Size of a chunk [lines]."""

    @property
    def options(self) -> dict[str, Any]:
        """Options of `pandas.read_csv`, which reads every cell as text."""
        layout = {"sep": self.separator, "encoding": self.encoding, "dtype": "str", "index_col": False}
        return {**layout, "na_values": list(MISSING), "skipinitialspace": True, "compression": None}

    def chunks(self, columns: list[str] | None) -> Iterator[pd.DataFrame]:
        """Read the file in chunks, all cells as text."""
        try:
            with (
                warnings.catch_warnings(),
                pd.read_csv(self.path, usecols=columns, chunksize=self.chunk, **self.options) as reader,
            ):
                warnings.simplefilter("error", pd.errors.ParserWarning)
                yield from reader
        except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning) as error:
            reason = " ".join(str(error).removeprefix("Error tokenizing data. C error: ").split())
            raise UsageError(f"{self.path}: not a table: {reason}") from error
        except OSError as error:
            raise path_error(self.path, error) from error

    def rows(self, columns: list[str], indices: NDArray[np.int64]) -> pd.DataFrame:
        """Read the rows with these indices, which are in ascending order and counted from 0."""
        found, first = [], 0
        for chunk in self.chunks(columns):
            inside = indices[(indices >= first) & (indices < first + len(chunk))]
            found.append(chunk[columns].iloc[inside - first].apply(strip_text))
            first += len(chunk)
        return pd.concat(found, ignore_index=True)


def layout_of(path: Path) -> Layout:
    """Return the layout of a file, from all of its bytes and its first lines.

    Raises:
        UsageError: the file is not text, has no header, or has lines that do not form a table.
    """
    try:
        encoding, n_lines, n_bytes = _encoding(path)
        with io.TextIOWrapper(open_stream(path), encoding, newline="") as file:
            beginning = file.read(MAX_LINE_BYTES)
    except OSError as error:
        raise path_error(path, error) from error
    if not beginning.strip():
        raise UsageError(f"{path} is empty; expected a CSV file with a header")
    separator = max(",;\t", key=lambda each: len(_split(beginning, each)[0]))
    header, *first = _split(beginning, separator)
    if all(not name or is_number(name) for name in header):
        raise UsageError(f"{path}: the first line has numbers; expected a header with the column names")
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise UsageError(f"{path}: two columns are named {twice[0]!r}; column names must be unique")
    if first and len(first[0]) > len(header):
        raise UsageError(f"{path}: the header has {len(header)} columns, but the next line has {len(first[0])}")
    chunk = max(1, min(50_000, _CHUNK_BYTES * n_lines // max(1, n_bytes)))
    layout = Layout(path, encoding, separator, tuple(header), chunk)
    # Names from pandas, which names unnamed columns.
    names = next(layout.chunks(None)).columns
    return Layout(path, encoding, separator, tuple(map(str, names)), chunk)


def _encoding(path: Path) -> tuple[str, int, int]:
    """Return the encoding, UTF-8 if the whole file is valid UTF-8, else Latin-1; and the numbers of lines and of bytes.

    Raises:
        UsageError: the file is not text.
    """
    decoder, utf8 = codecs.getincrementaldecoder("utf-8")(), True
    n_lines, since, controls = 0, 0, bytes(set(range(32)) - set(b"\t\n\r\f\x1a"))
    with open_stream(path) as file:
        start = file.read(4)
        for beginning, what in _UNSUPPORTED.items():
            if start.startswith(beginning):
                raise UsageError(f"{path} {what}; expected a CSV file in UTF-8 or Latin-1")
        file.seek(0)
        while chunk := file.read(1 << 20):
            if b"\0" in chunk or len(chunk) - len(chunk.translate(None, controls)) > len(chunk) // 100:
                raise UsageError(f"{path} is not a text file; expected a CSV file in UTF-8 or Latin-1")
            ends = chunk.count(b"\n") + (chunk.count(b"\r") if b"\n" not in chunk else 0)
            n_lines, since = n_lines + ends, 0 if ends else since + len(chunk)
            if since >= MAX_LINE_BYTES:
                raise UsageError(f"{path}: a line is longer than {MAX_LINE_BYTES >> 20} MiB: not a CSV file")
            try:
                utf8 = utf8 and decoder.decode(chunk) is not None
            except UnicodeDecodeError:
                utf8 = False
        return ("utf-8-sig" if utf8 else "latin-1"), n_lines, file.tell()


def _split(text: str, separator: str) -> list[list[str]]:
    """Return the cells of the header and of the line after it."""
    lines = csv.reader(io.StringIO(text, newline=None), delimiter=separator, skipinitialspace=True)
    found: list[list[str]] = []
    try:
        for line in lines:
            found += [line] if any(line) else []
            if len(found) == 2:
                break
    except csv.Error:  # a field too long for csv: pandas reports the error
        pass
    return found or [[""]]


def strip_text(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Strip blanks around text; blank text becomes missing."""
    text = column.str.strip()
    return text.where(text != "")


def as_numbers(column: "pd.Series[Any]", separator: str) -> NDArray[np.float64] | None:
    """Convert text to numbers, missing text to NaN; return None if some text is not a number.

    A comma may be the decimal sign if it is not the separator.
    """
    numbers = parse_numbers(column.dropna(), separator)
    if numbers.isna().any():
        return None
    return numbers.where(numbers.abs() <= MAX_MAGNITUDE).reindex(column.index).to_numpy()


def parse_numbers(column: "pd.Series[Any]", separator: str) -> "pd.Series[Any]":
    """Convert text to numbers; text that is not a number becomes NaN."""
    text = column.astype(str)
    if separator != ",":
        text = text.str.replace(",", ".")
    return pd.to_numeric(text, errors="coerce").astype(np.float64)


def is_number(text: str) -> bool:
    """Return whether Python reads `text` as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
