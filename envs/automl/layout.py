"""Layout of a user's file: form, encoding, separator, header."""

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from zipfile import ZipFile

from envs.automl.apply import Column, Reading, name_of, parse_number
from envs.automl.encoding import MAX_LINE_BYTES, encoding_of
from qrl.common.errors import UsageError
from qrl.common.files import open_stream, path_error
from qrl.common.memory import check_fits

MAX_NAME = 2000
"""Longest name of a column [characters]."""
MAX_BREAKS = 20
"""Largest number of line breaks in a name."""
MAX_COLUMNS = 2000
"""Largest number of input columns."""
csv.field_size_limit(MAX_LINE_BYTES)  # of the whole process, and larger than its default of 128 KiB
_MEMORY_PER_BYTE = 20
"""Memory that a byte of a typed file takes as cells."""
_TITLES = 100
"""Number of rows of a workbook in which the header is looked for."""
_LINES = 200
"""Number of lines that decide on the separator."""
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
"""Names that pandas gives to the levels of an index without names."""
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UNSUPPORTED = {
    b"\x1f\x8b": "is compressed by gzip: unpack it first",
    b"PK\x03\x04": "is a ZIP archive or a workbook: unpack it; a workbook's name must end in .xlsx",
    b"\xd0\xcf\x11\xe0": "is a workbook of an old format: save it as .xlsx or CSV",
    b"%PDF": "is a PDF",
    b"{\\rtf": "is a text document (RTF)",
    b"{": "is JSON",
    b"[": "is JSON",
    b"<": "is a page or XML",
}
"""Unsupported kinds of files by their first bytes."""


def layout_of(path: Path, target: str) -> tuple[Reading, list[str], list[str]]:
    """Return how a file is read, still without its columns; the names in its header; and notes for the user.

    The header is the line with the name of the target; above it may be titles and whatever else.

    Raises:
        UsageError: the file is not a table, or an extra is not installed.
    """
    try:
        with open_stream(path) as file:
            start = file.read(5)
    except OSError as error:
        raise path_error(path, error) from error
    if start[:4] == b"PAR1" or (start[:4] == b"PK\x03\x04" and path.suffix.lower() in (".xlsx", ".xlsm")):
        return _typed(path, target, "parquet" if start[:4] == b"PAR1" else "excel")
    for signature, what in _UNSUPPORTED.items():
        if start.removeprefix(codecs.BOM_UTF8).lstrip().startswith(signature):
            raise UsageError(f"{path} {what}; expected a CSV file, or Parquet or Excel")
    encoding = encoding_of(path, start.startswith(_UTF16))
    with io.TextIOWrapper(open_stream(path), encoding, errors="replace", newline="") as text:
        beginning = text.read(MAX_LINE_BYTES)
    if not beginning.strip():
        raise UsageError(f"{path} is empty; expected a CSV file with a header")
    separator, lines, titled = _separator(beginning, target)
    skipped, header = lines[0]
    for name in header:
        if len(name) > MAX_NAME or name.count("\n") > MAX_BREAKS:
            shown = " ".join(name[:40].split())
            raise UsageError(
                f"{path}: a name in the header has {len(name)} characters ({shown} …): is a quote left open?"
            )
    if not any(header):
        raise UsageError(f"{path} has no header; expected a line with the column names")
    if all(not name or parse_number(name, ".") for name in header):
        raise UsageError(f"{path}: the first line has numbers; expected a header with the column names")
    if len(lines) > 1 and len(lines[1][1]) > len(header):
        raise UsageError(f"{path}: the header has {len(header)} columns, but the next line has {len(lines[1][1])}")
    notes = [f"lines above the header, left out: {skipped}"] if titled else []
    if not encoding.startswith("utf"):
        notes.append(f"the file is not in UTF-8; read as {encoding}")
    if separator not in ",;\t":
        notes.append(f"columns are separated by {separator if separator == '|' else 'blanks'}")
    reading = Reading(Column(""), (), encoding=encoding, separator=separator, skipped=skipped)
    return reading, [name or f"Unnamed: {index}" for index, name in enumerate(header)], notes


def line_of(path: Path, reading: Reading, row: int) -> str:
    """Return where a row of the table is in its file, such as "line 12"."""
    if reading.form != "csv":
        return f"row {row + reading.skipped + (2 if reading.form == 'excel' else 1)}"
    return f"line {next(number for number, _ in itertools.islice(_lines(path, reading), row + 1, None))}"


def short_lines(path: Path, reading: Reading, n_columns: int) -> list[str]:
    """Return where the lines of a CSV file are that have fewer cells than there are columns, except comments."""
    lines = _lines(path, reading)
    return [f"line {number}" for number, cells in lines if len(cells) < n_columns and not cells[0].startswith("#")]


def _lines(path: Path, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a CSV file from the header, except empty ones: number and cells."""
    blanks = len(reading.separator) > 1
    with io.TextIOWrapper(open_stream(path), reading.encoding, errors="replace", newline="") as text:
        below = itertools.islice(text, reading.skipped, None)
        lines = csv.reader(below, delimiter=" " if blanks else reading.separator)
        for line in lines:
            if cells := [cell for cell in line if cell] if blanks else line:
                yield lines.line_num + reading.skipped, cells


def _typed(path: Path, target: str, form: str) -> tuple[Reading, list[str], list[str]]:
    """Return the reading and the names of a Parquet file or a workbook, which must fit into memory."""
    read = _names_in_parquet if form == "parquet" else partial(_names_in_workbook, target=target)
    with parsing(path, form):
        size, names, skipped, notes = read(path)
    check_fits(str(path), "reading", _MEMORY_PER_BYTE * size)
    return Reading(Column(""), (), form=form, skipped=skipped), [name_of(name) for name in names], notes


@contextmanager
def parsing(path: Path, form: str) -> Iterator[None]:
    """Raise UsageError for what parsers raise on damaged files: those of workbooks and Parquet files, anything."""
    try:
        yield
    except (UsageError, MemoryError):
        raise
    except ImportError as error:
        raise UsageError(f"{path}: reading {form} needs another package: pip install 'qrl-meta[tables]'") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise path_error(path, error) from error
        if form == "csv" and not isinstance(error, ValueError | Warning):
            raise
        what = {"parquet": "a Parquet file", "excel": "a workbook"}.get(form, "a table")
        reason = " ".join(str(error).removeprefix("Error tokenizing data. C error: ").split())[:300]
        raise UsageError(f"{path}: not {what}: {reason or type(error).__name__}") from error


def _names_in_parquet(path: Path) -> tuple[int, list[str], int, list[str]]:
    """Return the size in memory [bytes], the names of the columns, the rows above them, and notes."""
    from pyarrow import parquet

    about = parquet.read_metadata(path)
    size = sum(about.row_group(index).total_byte_size for index in range(about.num_row_groups))
    names = [name for name in about.schema.to_arrow_schema().names if not _UNNAMED_INDEX.fullmatch(name)]
    return size, names, 0, []


def _names_in_workbook(path: Path, target: str) -> tuple[int, list[str], int, list[str]]:
    """Return the size in memory [bytes], the names of the columns, the rows above them, and notes."""
    import pandas as pd

    with ZipFile(path) as archive:
        size = sum(each.file_size for each in archive.infolist())
    check_fits(str(path), "reading", _MEMORY_PER_BYTE * size)
    with pd.ExcelFile(path) as book:
        top = book.parse(nrows=_TITLES, header=None, dtype=object)
        sheets = book.sheet_names
    first = f"the first of {len(sheets)} sheets" if len(sheets) > 1 else "its sheet"
    if top.empty:
        raise UsageError(f"{path}: {first}, {sheets[0]!r}, is empty; expected a header and rows")
    rows = top.map(lambda cell: "" if pd.isna(cell) else name_of(cell)).to_numpy().tolist()
    skipped = header_row(rows, target)
    if skipped is None:
        skipped = next((row for row, cells in enumerate(rows) if sum(map(bool, cells)) > 1), 0)
    names = [name or f"Unnamed: {index}" for index, name in enumerate(rows[skipped])]
    notes = [f"{first} is read: {sheets[0]!r}"] if len(sheets) > 1 else []
    return size, names, skipped, notes + [f"lines above the header, left out: {skipped}"] * (skipped > 0)


def _separator(text: str, target: str) -> tuple[str, list[tuple[int, list[str]]], bool]:
    """Return the separator, the lines that it splits, each with its number from 0, and whether lines are above them.

    A separator splits nearly all lines like the header; of several, the one with the most columns. Blanks come last.
    """
    said = re.match(r"sep=([,;\t| ])\r?\n", text)  # as Excel writes it
    signs, blanks = (said[1].replace(" ", ""), said[1] * (said[1] == " ")) if said else (",;\t|", " ")
    split = {each: list(_split(text, each))[bool(said) :] for each in signs + blanks}
    for below, separators in itertools.product((partial(_from_header, target=target), _below_titles), (signs, blanks)):
        found = {}
        for each in separators:
            lines = below(split[each])
            n_columns = len(lines[0][1]) if lines else 0
            if n_columns > 1 and sum(len(line) == n_columns for _, line in lines) >= 0.9 * len(lines):
                found[each] = lines
        if found:
            best = max(found, key=lambda each: len(found[each][0][1]))
            return (r"\s+" if best == " " else best), found[best], found[best][0][0] > 0
    best = max(split, key=lambda each: len(split[each][0][1]) if split[each] else 0)
    return (r"\s+" if best == " " else best), split[best] or [(0, [""])], bool(said)


def _from_header(lines: list[tuple[int, list[str]]], target: str) -> list[tuple[int, list[str]]]:
    """Return the lines from the header; none without one."""
    header = header_row([cells for _, cells in lines], target)
    return [] if header is None else lines[header:]


def header_row(rows: Sequence[Sequence[str]], target: str) -> int | None:
    """Return the number of the first row with the name of the target and another name, or else with it alone."""
    found = [row for row, cells in enumerate(rows) if target in cells]
    return next((row for row in found if sum(map(bool, rows[row])) > 1), found[0] if found else None)


def _below_titles(lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Return the lines below those with one cell."""
    return list(itertools.dropwhile(lambda line: sum(map(bool, line[1])) == 1, lines))


def _split(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first lines with their cells, without blank lines and comments, and the number of lines above each.

    A line that begins with # is the header if the first other line has as many cells, some of which are numbers.
    """
    rows = csv.reader(io.StringIO(text, newline=None), delimiter=separator, skipinitialspace=True)
    above, found = 0, 0
    comment: tuple[int, list[str]] = 0, []
    try:
        for row in rows:
            cells = [name_of(cell) for cell in row]
            if separator == " " and cells and not cells[-1]:
                cells.pop()
            if any(cells) and cells[0].startswith("#"):
                comment = above, cells
            elif any(cells):
                if not found and len(cells) == len(comment[1]) > 1 and any(parse_number(cell, ".") for cell in cells):
                    yield comment
                yield above, cells
                found += 1
            if found == _LINES:
                return
            above = rows.line_num
    except csv.Error:  # a field too long for csv: pandas reports the error
        pass


def check_names(where: str, names: list[str], n_unused: int) -> None:
    """Raise UsageError if there are too many columns besides `n_unused`, or two of one name."""
    if (n_inputs := len(names) - n_unused) > MAX_COLUMNS:
        raise UsageError(f"{where}: {n_inputs} columns are too many; at most {MAX_COLUMNS} are supported, see --ignore")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UsageError(f"{where}: two columns are named {twice[0]!r}; column names must be unique")
