"""Layout of a user's file: form, encoding, separator, header."""

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from envs.automl.apply import Column, Reading, parse_number
from envs.automl.encoding import MAX_LINE_BYTES, encoding_of
from qrl.common.errors import UsageError
from qrl.common.files import open_stream, path_error
from qrl.common.memory import check_fits

if TYPE_CHECKING:
    import pandas as pd

MAX_NAME = 500
"""Longest name of a column [characters]."""
MAX_BREAKS = 3
"""Largest number of line breaks in a name."""
MAX_COLUMNS = 2000
"""Largest number of input columns."""
csv.field_size_limit(MAX_LINE_BYTES)  # of the whole process, and larger than its default of 128 KiB
_TITLES = 20
"""Number of rows of a workbook in which the header is looked for."""
_LINES = 200
"""Number of lines that decide on the separator."""
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


def layout_of(path: Path) -> tuple[Reading, list[str], list[str]]:
    """Return how a file is read, still without its columns; the names in its header; and notes for the user.

    Raises:
        UsageError: the file is not a table, or an extra is not installed.
    """
    try:
        with open_stream(path) as file:
            start = file.read(5)
    except OSError as error:
        raise path_error(path, error) from error
    if start[:4] == b"PAR1" or (start[:4] == b"PK\x03\x04" and path.suffix.lower() in (".xlsx", ".xlsm")):
        return _typed(path, "parquet" if start[:4] == b"PAR1" else "excel")
    for signature, what in _UNSUPPORTED.items():
        if start.removeprefix(codecs.BOM_UTF8).lstrip().startswith(signature):
            raise UsageError(f"{path} {what}; expected a CSV file, or Parquet or Excel")
    encoding = encoding_of(path, start.startswith(_UTF16))
    with io.TextIOWrapper(open_stream(path), encoding, errors="replace", newline="") as text:
        beginning = text.read(MAX_LINE_BYTES)
    if not beginning.strip():
        raise UsageError(f"{path} is empty; expected a CSV file with a header")
    separator, lines, titled = _separator(beginning)
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


def _typed(path: Path, form: str) -> tuple[Reading, list[str], list[str]]:
    """Return the reading and the names of a Parquet file or a workbook, which must fit into memory."""
    import pandas as pd

    notes, skipped = [], 0
    try:
        if form == "parquet":
            from pyarrow import ArrowException, parquet

            try:
                about = parquet.read_metadata(path)
            except ArrowException as error:
                raise UsageError(f"{path}: not a Parquet file: {' '.join(str(error).split())[:200]}") from error
            size = sum(about.row_group(index).total_byte_size for index in range(about.num_row_groups))
            names = list(about.schema.to_arrow_schema().names)
        else:
            with ZipFile(path) as archive:
                size = sum(each.file_size for each in archive.infolist())
            check_fits(str(path), "reading", 20 * size)
            with pd.ExcelFile(path) as book:
                top = book.parse(nrows=_TITLES, header=None)
                skipped = _header_of(top)
                header = enumerate(top.iloc[skipped])
                names = [f"Unnamed: {index}" if pd.isna(name) else str(name) for index, name in header]
                if len(book.sheet_names) > 1:
                    notes.append(f"the first of {len(book.sheet_names)} sheets is read: {book.sheet_names[0]!r}")
            if skipped:
                notes.append(f"lines above the header, left out: {skipped}")
    except ImportError as error:
        raise UsageError(f"{path}: reading {form} needs another package: pip install 'qrl-meta[tables]'") from error
    except (BadZipFile, KeyError, ValueError) as error:
        raise error if isinstance(error, UsageError) else UsageError(f"{path}: not a workbook: {error}") from error
    check_fits(str(path), "reading", 20 * size)
    return Reading(Column(""), (), form=form, skipped=skipped), [name.strip() for name in names], notes


def _header_of(top: "pd.DataFrame") -> int:
    """Return the number of the header among the first rows of a workbook.

    It has as many cells as any of them, text or years; or else, as one without a name for its first column, it is above
    the first row with other numbers.
    """
    import pandas as pd

    n_cells = top.notna().sum(axis=1).to_numpy()
    named = top.map(lambda cell: pd.isna(cell) or _is_name(cell)).all(axis=1).to_numpy()
    if (full := named & (n_cells == n_cells.max())).any():
        return int(full.argmax())
    above = int((~named).argmax()) - 1
    return above if above >= 0 and n_cells[above] > 1 else int((n_cells > 1).argmax())


def _is_name(cell: object) -> bool:
    """Return whether a cell of a workbook can be a name: text, or a year."""
    return isinstance(cell, str) or (isinstance(cell, int | float) and 1500 <= cell < 2200)


def _separator(text: str) -> tuple[str, list[tuple[int, list[str]]], bool]:
    """Return the separator, the lines that it splits, each with its number from 0, and whether lines are above them.

    A separator splits nearly all lines like the header; of several, the one with the most columns. Blanks come last.
    """
    said = re.match(r"sep=([,;\t| ])\r?\n", text)  # as Excel writes it
    signs, blanks = (said[1].replace(" ", ""), said[1] * (said[1] == " ")) if said else (",;\t|", " ")
    split = {each: list(_split(text, each))[bool(said) :] for each in signs + blanks}
    for separators, below in itertools.chain(
        itertools.product([signs], [_below_padded_titles, _below_preamble]),
        itertools.product([blanks, signs], [_below_padded_titles, _below_titles]),
    ):
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


def _below_padded_titles(lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Return the lines below those that have one cell, and separators as if there were more."""
    below = list(itertools.dropwhile(lambda line: len(line[1]) > 1 == sum(map(bool, line[1])) and line[1][0], lines))
    return below if below and _is_header(below[0][1]) else lines


def _below_titles(lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Return the lines below those with one cell."""
    return list(itertools.dropwhile(lambda line: sum(map(bool, line[1])) == 1, lines))


def _below_preamble(lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Return the lines from the first one with as many cells as most lines have, if it looks like a header."""
    if not lines:
        return lines
    usual = Counter(len(line) for _, line in lines).most_common(1)[0][0]
    below = list(itertools.dropwhile(lambda line: len(line[1]) != usual or sum(map(bool, line[1])) == 1, lines))
    return below if below and _is_header(below[0][1]) else lines


def _is_header(cells: list[str]) -> bool:
    """Return whether cells can be names: the numbers among them are years, and the first is none."""
    numbers = [cell for cell in cells if parse_number(cell, ".") or parse_number(cell, ",")]
    return cells[0] not in numbers and all(re.fullmatch(r"(1[5-9]|20|21)\d\d", cell) for cell in numbers)


def _split(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first lines with their cells, without blank lines and comments, and the number of lines above each.

    A line that begins with # is the header if the first other line has as many cells, some of which are numbers.
    """
    rows = csv.reader(io.StringIO(text, newline=None), delimiter=separator, skipinitialspace=True)
    above, found = 0, 0
    comment: tuple[int, list[str]] = 0, []
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
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
