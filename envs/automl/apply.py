"""Read a table as a `Reading` says: self-contained, since each `best.py` has a copy of this module."""

import csv
import difflib
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

MAX_MAGNITUDE = 1e30
"""Largest magnitude of a number; larger ones are missing, as their squares and trees' single precision overflow."""
MISSING = ("?",)
"""Text of missing values, in addition to those of pandas: empty cells, NA, NaN, null, None, #N/A and others."""
PARTS = ("year", "month", "day", "weekday", "hour", "minute", "second")
"""Parts of a date that become columns."""
_FAR_YEAR = 2900
"""Year from which a date is missing: 9999-12-31 is none. Buddhist years are earlier."""
_CHUNK = 50_000
"""Rows of a CSV file that are parsed at once."""
CURRENCY = r"[A-Z]{0,3}[$€£¥₹₩₽₺₫฿]|USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|BRL|PLN|SEK|NOK|DKK|CZK|HUF|ZAR|Rs|Fr|kr"
"""Pattern of currencies."""
_UNIT = (
    r"(?:(?![¼-¾⅐-⅞²³¹⁰-₉:/])[^\d\s.,()+−-]|/[A-Za-z])[^\d\s.,()+−-]{0,11}(?:(?<=m)[23])?\.?"  # 7½ is not 7
    rf"(?:\s(?:{CURRENCY}))?"
)
LIMIT = r"[<>]=?\s*|[≤≥~]\s*"
_NUMBER = {
    decimal: re.compile(
        rf"(?:{LIMIT})?(?P<open>\()?(?P<sign>[-+−–]?)\s*(?:(?P<before>{CURRENCY})(?:(?<=[a-z])\.)?)?\s*"
        rf"(?P<inner>[-+−–(]?)"
        rf"(?P<whole>[1-9]\d{{0,2}}(?P<mark>[{group}'’\s])\d{{3}}(?:(?P=mark)\d{{3}})*{indian}|\d+|(?=[{decimal}]\d))"
        rf"(?P<fraction>[{decimal}](?:\d+|[-–—]{{1,2}}|)|[/:]-)?(?P<exponent>[eE][-+]?\d+)?"
        rf"\s*(?P<after>(?:{_UNIT})?)(?P<last>-?)\+?(?P<close>\))?"
    )
    for decimal, group, indian in ((".", ",", r"|[1-9]\d?(?:,\d\d)+,\d{3}"), (",", ".", ""))
}
"""Numbers by their decimal mark: grouped digits, a currency or a unit, a minus or brackets around what is owed, a dash
in place of the cents, as in 48,- and 50/-, a sign of a limit, as in <0.5 and 30+."""
_ZONE = re.compile(r"(:\d\d(?:[.,]\d+)?)\s*(?:Z|UTC|GMT|[-+]\d\d:?\d\d)$")
"""Time zone after a time. Parts of dates are those that a clock there shows."""


@dataclass(frozen=True)
class Column:
    """How a column is read."""

    name: str
    kind: str = "text"
    """Its kind: number, date, words (free text) or text."""
    decimal: str = "."
    """Decimal mark of numbers."""
    units: tuple[tuple[str, float], ...] = (("", 1.0),)
    """Currencies and units of numbers, with their factors: thousands in "3k"."""
    dates: str = ""
    """Format of dates, for `pandas.to_datetime`."""
    parts: tuple[str, ...] = ()
    """Columns that a column of dates or of free text becomes: some of `PARTS`, or words that are counted."""
    prefix: str = ""
    """Beginning of the names of these columns."""

    @property
    def names(self) -> list[str]:
        """Names of the columns of `inputs`."""
        return [self.prefix + part for part in self.parts] if self.kind in ("date", "words") else [self.name]


@dataclass(frozen=True)
class Reading:
    """How a file is read."""

    target: Column
    columns: tuple[Column, ...]
    """Input columns."""
    form: str = "csv"
    """Form of the file: csv, parquet or excel."""
    encoding: str = "utf-8-sig"
    separator: str = ","
    skipped: int = 0
    """Number of lines above the header."""
    share: float = 1.0
    """Fraction of rows that are used, at random, of a file that is too large for memory."""
    edges: tuple[float, ...] = ()
    """Lower edges of the bins of a numeric target, except the first bin's; empty if the target is not binned."""
    labels: tuple[str, ...] = ()
    """Names of the bins in ascending order."""


def parse_number(cell: str, decimal: str) -> tuple[float, str] | None:
    """Return the number in a cell, and its currency or unit; None if the cell is not one number."""
    if cell.lower().lstrip("+-") in ("inf", "infinity"):
        return float(cell), ""
    found = _NUMBER[decimal].fullmatch(cell)
    if not found:
        return None
    sign = found["sign"] + found["inner"] + found["last"] + (found["open"] or "")
    if len(sign) > 1 or ("(" in sign) != bool(found["close"]):
        return None
    if found["last"] and re.sub(CURRENCY, "", found["after"]):  # 5A- is a mark, and 5kg- nothing that people write
        return None
    if found["mark"] and found["exponent"]:  # 8.695e+04 has no thousands
        return None
    whole = re.sub(r"\D", "", found["whole"])
    fraction = re.sub(r"[-–—/:]", "", found["fraction"] or "").replace(",", ".")
    value = float(f"{whole or 0}{fraction}{found['exponent'] or ''}")
    return (-value if sign and sign != "+" else value), (found["before"] or "") + found["after"]


def plain_numbers(text: "pd.Series[Any]", decimal: str) -> "pd.Series[Any]":
    """Return the numbers without groups and units in a column; other cells are NaN."""
    if decimal == ",":
        text = text.mask(text.str.contains(".", regex=False, na=False)).str.replace(",", ".", regex=False)
    return pd.to_numeric(text, errors="coerce").astype(float)


def numbers(cells: "pd.Series[Any]", column: Column, largest: float = MAX_MAGNITUDE) -> "pd.Series[Any]":
    """Return the numbers of a column; missing, other and too large ones are NaN."""
    if cells.dtype.kind in "biuf":
        values = cells.astype("Float64").astype(float)
    else:
        text = cells.astype(object)
        values, factors = plain_numbers(text, column.decimal), dict(column.units)
        known = {}
        for cell in text[values.isna()].dropna().unique():
            value, unit = parse_number(cell, column.decimal) or (math.nan, "")
            known[cell] = value * factors.get(unit, math.nan)
        # By position: rows may have the same index.
        values = values.where(values.notna(), text.map(known).astype(float).to_numpy())
    return values.where(values.abs() <= largest)


def dates(cells: "pd.Series[Any]", form: str) -> "pd.Series[Any]":
    """Return the times of a column of this format, without their time zones; other cells and far years are missing."""
    times = cells.dt.tz_localize(None) if cells.dtype.kind == "M" else parse_dates(without_zones(cells), form)
    return times.where(times.dt.year < _FAR_YEAR)


def without_zones(cells: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return cells without the time zones of their times; those without a digit are missing."""
    text = cells.astype(object).map(lambda cell: _ZONE.sub(r"\1", cell) if isinstance(cell, str) else cell)
    return text.where(text.isna() | text.astype(str).str.contains(r"\d"))  # pandas takes "today" and "now" for dates


def parse_dates(text: "pd.Series[Any]", form: str) -> "pd.Series[Any]":
    """Return the times in cells `without_zones`; those of another format are missing."""
    return pd.to_datetime(text, format=form or None, errors="coerce")


def date_part(times: "pd.Series[Any]", part: str) -> "pd.Series[Any]":
    """Return one of `PARTS` as numbers."""
    return getattr(times.dt, part).astype(float)


def words(cell: object) -> list[str]:
    """Return the words of a cell, in lower case."""
    return re.findall(r"[^\W\d_]{2,}", str(cell).lower())


def _rows_above_header(rows: Iterable[tuple[int, list[str]]], reading: Reading) -> int:
    """Return the number of rows above the header, of which a new file may have others: that with most of the columns.

    Args:
        rows: the first rows, each with the number of rows above it.
        reading: how the first file was read.
    """
    names = {column.name for column in (*reading.columns, reading.target)}
    found = {
        above: len(names & {name_of(cell) or f"Unnamed: {index}" for index, cell in enumerate(cells)})
        for above, cells in rows
    }
    best = max(found, key=found.__getitem__, default=0)
    return best if reading.columns and found and 2 * found[best] >= len(reading.columns) else reading.skipped


def _lines_above_header(file: TextIO, reading: Reading) -> int:
    """Return the number of lines above the header. Raises ValueError if the file is empty or separated otherwise."""
    one, above, rows = reading.separator if len(reading.separator) == 1 else " ", 0, []
    lines = csv.reader((line for _, line in zip(range(100), file, strict=False)), delimiter=one, skipinitialspace=True)
    with suppress(csv.Error):  # a long field
        for line in lines:
            rows.append((above, line))
            above = lines.line_num
    if not any(map(str.strip, itertools.chain.from_iterable(line for _, line in rows))):
        raise ValueError(f"{file.name} is empty")
    if len(reading.columns) > 1 and max(len(line) for _, line in rows) < 2:
        raise ValueError(f"{file.name}: its columns are not separated by {one!r}, as those of the first file are")
    return _rows_above_header(rows, reading)


def _encoding(path: str | Path, reading: Reading) -> str:
    """Return the encoding of a file: UTF-8 if it is valid UTF-8, else that of the file that was read first."""
    if reading.encoding.startswith("utf"):
        return reading.encoding
    with open(path, encoding="utf-8-sig", newline="") as file, suppress(UnicodeDecodeError):
        while file.read(1 << 20):
            pass
        return "utf-8-sig"
    return reading.encoding


def _check_form(path: str | Path, reading: Reading) -> None:
    """Raise ValueError if a file has another form than the one that was read first."""
    with open(path, "rb") as file:
        start = file.read(4)
    form = {b"PAR1": "parquet", b"PK\x03\x04": "excel"}.get(start, "csv")
    if form != reading.form:
        raise ValueError(f"{path} is a file of the form {form}, not {reading.form} as the first one was")


def _chunks(path: str | Path, reading: Reading, share: float) -> Iterator[pd.DataFrame]:
    _check_form(path, reading)
    if reading.form == "parquet":
        yield with_named_index(pd.read_parquet(path))
    elif reading.form == "excel":
        top = pd.read_excel(path, header=None, dtype=str, nrows=100).fillna("")
        skipped = _rows_above_header(enumerate(top.to_numpy().tolist()), reading)
        yield pd.read_excel(path, dtype=object, na_values=list(MISSING), skiprows=skipped)
    else:
        yield from _chunks_of_text(path, reading, share)


def with_named_index(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose index became columns where it has names, and was left out where it has none."""
    unnamed = [level for level, name in enumerate(table.index.names) if name is None]
    if len(unnamed) == table.index.nlevels:
        return table.reset_index(drop=True)
    return table.reset_index(level=unnamed, drop=True).reset_index() if unnamed else table.reset_index()


def _chunks_of_text(path: str | Path, reading: Reading, share: float) -> Iterator[pd.DataFrame]:
    encoding, rng = _encoding(path, reading), np.random.default_rng(0)
    with open(path, encoding=encoding, errors="replace", newline="") as file:
        skipped = _lines_above_header(file, reading)
    errors = "strict" if encoding.startswith("utf") else "replace"
    with open(path, encoding=encoding, errors=errors, newline="") as file, _named_encoding(path, encoding):
        for _ in range(skipped):  # pandas would count lines within quotes as one
            next(file)
        with pd.read_csv(
            file if skipped else path,
            sep=reading.separator,
            encoding=encoding,
            encoding_errors=errors,
            dtype="str",
            index_col=False,
            na_values=list(MISSING),
            skipinitialspace=True,
            compression=None,
            chunksize=_CHUNK,
        ) as chunks:
            for chunk in chunks:
                yield chunk if share == 1 else chunk[rng.random(len(chunk)) < share]


@contextmanager
def _named_encoding(path: str | Path, encoding: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in {encoding.removesuffix('-sig')}: save it as UTF-8") from error


def read_cells(path: str | Path, reading: Reading, share: float = 1.0) -> pd.DataFrame:
    """Return the cells of a file: text without blanks around it, None where missing; typed columns as they are.

    Args:
        path: the file.
        reading: how the file is read.
        share: fraction of rows of a CSV file that are kept.
    """
    return cells_of(pd.concat(list(_chunks(path, reading, share))))


def name_of(cell: object) -> str:
    """Return the name of a column, without blanks around it and without byte order marks."""
    return str(cell).replace("\ufeff", "").strip()


def cells_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of a table, see `read_cells`; durations become seconds, categories remain categories."""
    made = {}
    for name in table.columns:
        column = table[name].infer_objects()
        if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "boolean":
            column = column.astype("boolean")  # some are missing
        if column.dtype.kind == "m":
            column = column.dt.total_seconds()
        elif column.dtype.kind not in "biufM":
            categories = isinstance(column.dtype, pd.CategoricalDtype)
            if categories and column.cat.categories.dtype.kind in "biu":
                made[name_of(name)] = column
                continue
            text = column.astype(object)
            text = text.where(text.notna(), "").astype(str).str.strip().astype(object)
            text = text.where((text != "") & ~text.isin(MISSING), None)
            column = text.astype("category") if categories else text
        made[name_of(name)] = column
    return pd.DataFrame(made, index=table.index)


def is_row(table: pd.DataFrame) -> "pd.Series[Any]":
    """Return which rows of cells are neither the header once more nor a comment."""
    comment = table.iloc[:, 0].astype(str).str.startswith("#") & table.iloc[:, 1:].isna().all(axis=1)
    return ~(comment | (table == list(table.columns)).all(axis=1))


def read_table(path: str | Path, reading: Reading, share: float = 1.0) -> pd.DataFrame:
    """Return the cells of a file, see `read_cells`, without repeated headers and comments."""
    cells = read_cells(path, reading, share)
    return cells[is_row(cells)]


def as_text(cells: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return a column as text, None where missing; 1.0 beside missing numbers is 1."""
    if cells.dtype.kind == "f" and (cells.dropna() % 1 == 0).all():
        cells = cells.astype("Int64")
    text = cells.astype(object)
    return text.map(str, na_action="ignore").astype(object).where(text.notna(), None)


def check_columns(table: pd.DataFrame, columns: tuple[Column, ...]) -> None:
    """Raise ValueError if a table lacks columns."""
    if missing := [column.name for column in columns if column.name not in table]:
        near = difflib.get_close_matches(missing[0], [str(name) for name in table], n=1)
        aside = f"; is {near[0]!r} meant to be {missing[0]!r}?" if near else ""
        raise ValueError(f"missing column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing[:8]))}{aside}")


def inputs(table: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    """Return inputs as float64 with NaN, or text with None; dates become their parts, free text counts of words.

    Raises ValueError if a column is missing.
    """
    check_columns(table, columns)
    made: dict[str, Any] = {}
    for column in columns:
        cells = table[column.name]
        if column.kind == "number":
            made[column.name] = numbers(cells, column)
        elif column.kind == "date":
            times = dates(cells, column.dates)
            made |= zip(column.names, (date_part(times, part) for part in column.parts), strict=True)
        elif column.kind == "words":
            counts = [Counter(words(cell)) for cell in as_text(cells).fillna("")]
            made |= zip(column.names, ([float(each[word]) for each in counts] for word in column.parts), strict=True)
        else:
            made[column.name] = as_text(cells)
    return pd.DataFrame(made, index=table.index)


def unread(table: pd.DataFrame, made: pd.DataFrame, columns: tuple[Column, ...]) -> Iterator[str]:
    """Yield what is said of columns with cells that are no numbers or dates; `made` are the `inputs` of the table."""
    for column in columns:
        if column.kind in ("number", "date"):
            cells = table[column.name].dropna()
            if len(lost := cells[made.loc[cells.index, column.names[0]].isna()]):
                what = f"no {column.kind}s and count as missing, such as {str(lost.iloc[0])!r}"
                yield f"column {column.name!r}: {len(lost)} of {len(cells)} cells are {what}"


def classes(table: pd.DataFrame, reading: Reading) -> "pd.Series[Any]":
    """Return the names of the classes [row]; None where the target is missing."""
    cells = table[reading.target.name]
    if not reading.labels:
        return as_text(cells)
    values = numbers(cells, reading.target)
    names = np.array(reading.labels, dtype=object)[np.searchsorted(reading.edges, values, side="right")]
    return pd.Series(names, table.index, dtype=object).where(values.notna(), None)
