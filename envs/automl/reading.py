"""A table of one's own out of a CSV file of any size: what of it can be learned from, and what was left out.

The file is read in pieces: once as bytes, for its encoding; once for the target, of which a sample of rows is drawn
that keeps the shares of the classes; once for those rows. Whatever its length, little more than the sample is held.
"""

import codecs
import csv
import io
import itertools
import stat
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.automl.cleaning import MAX_CLASSES, idle, leaks, sample
from envs.automl.frames import LARGEST, encode, plain
from envs.automl.scoring import N_FOLDS
from qrl.common.errors import UsageError, suggest
from qrl.common.files import unusable

LEAST_ROWS = 30
"""With a target: of fewer the folds are too small to tell algorithms apart."""
MOST_CLASSES = 100
"""Of a target that is no numbers, or few."""
MOST_COLUMNS = 2000
LONGEST_LINE = 4 << 20
"""[bytes]"""
_PIECE = 32 << 20
"""Read at a time [bytes]."""
_NEARLY = r"[-+]?[$€£]?\s?[-+]?\d[\d.,' ]*(\s?[%$€£]|\s[A-Za-z]{1,4})?"
"""Numbers with separators of thousands, another decimal sign, a currency or a unit."""
_DISTINCT = 10_000
"""Different values after which a target is no target."""
MISSING = ("?",)
"""What stands for a missing value besides what pandas takes for one: nothing, NA, NaN, null, None and the like."""
_OTHERS = {
    b"\x1f\x8b": "is compressed by gzip: unpack it first",
    b"PK\x03\x04": "is a ZIP archive or a workbook: unpack it, or save it as CSV",
    b"\xff\xfe": "is in UTF-16: save it in UTF-8",
    b"\xfe\xff": "is in UTF-16: save it in UTF-8",
}
"""What files are that begin so."""


@dataclass(frozen=True)
class Layout:
    """How a CSV file is written."""

    path: Path
    encoding: str
    separator: str
    columns: tuple[str, ...]
    chunk: int
    """Lines to read at a time [lines]."""

    @property
    def options(self) -> dict[str, Any]:
        """What `pandas.read_csv` is to be told: every cell as text."""
        how = {"sep": self.separator, "encoding": self.encoding, "dtype": "str", "index_col": False}
        return {**how, "na_values": list(MISSING), "skipinitialspace": True, "compression": None}


@dataclass(frozen=True)
class Own:
    """A dataset of one's own, ready to be learned from."""

    layout: Layout
    target: str
    frame: pd.DataFrame
    """`plain` [row, column], of the rows drawn."""
    classes: NDArray[np.int64]
    """[row], numbered from 0; of the rows drawn."""
    names: tuple[str, ...]
    """Of the classes, in the order of their numbers."""
    edges: tuple[float, ...]
    """Where a target of numbers is cut into classes: each begins with its edge; empty if it was not cut."""
    labels: tuple[str, ...]
    """Names of these classes in the order of the numbers."""
    n_rows: int
    """Of the file."""
    n_usable: int
    """Rows with a target of a class that has two rows; the rows were drawn from these."""
    dropped: Mapping[str, str]
    """Columns that are not learned from, with the reason."""
    notes: tuple[str, ...]
    """What else there is to know, in sentences."""


def read(path: Path, target: str, *, rows: int, bins: int = 0, ignore: Collection[str] = ()) -> Own:
    """A CSV file with a header; comma, semicolon or tab; UTF-8 or Latin-1.

    Args:
        path: the file.
        target: column to be predicted.
        rows: to learn from at most; a sample is drawn from more.
        bins: cut a target of numbers into so many classes with about as many rows each; 0: do not.
        ignore: columns not to learn from.

    Raises:
        UsageError: it is no such file, has no such column, or nothing that a class can be learned from.
    """
    layout = layout_of(path)
    for name in (target, *ignore):
        if name not in layout.columns:
            raise UsageError(f"{path}: no column {name!r}{suggest(name, layout.columns)}")
    if target in ignore:
        raise UsageError(f"{path}: --ignore {target}: the target is not learned from anyway; name other columns")
    columns = [name for name in layout.columns if name != target and name not in ignore]
    if len(columns) > MOST_COLUMNS:
        raise UsageError(f"{path}: {len(columns)} columns; at most {MOST_COLUMNS} can be learned from, see --ignore")
    text, edges, labels = _cut(layout, target, bins) if bins else (_text(layout, target), (), ())
    n_rows = len(text)
    usable = np.flatnonzero(text.map(text.value_counts()).fillna(0).to_numpy(dtype=np.int64) >= 2)
    _check_target(layout, target, text, usable)
    classes, names = encode(text.iloc[usable])
    drawn = sample(classes, rows)
    frame, dropped, notes = _cleaned(_rows(layout, columns, usable[drawn]), layout, classes[drawn], n_rows)
    return Own(
        layout=layout,
        target=target,
        frame=frame,
        classes=classes[drawn],
        names=tuple(names),
        edges=edges,
        labels=labels,
        n_rows=n_rows,
        n_usable=len(usable),
        dropped={**dict.fromkeys(ignore, "ignored"), **dropped},
        notes=(*_about_rows(text, usable, drawn), *_about_classes(classes[drawn], names), *notes),
    )


# --- the file ---------------------------------------------------------------------------------------------------------


def layout_of(path: Path) -> Layout:
    """How a file is written, from all of its bytes and its first lines.

    Raises:
        UsageError: it is no text, has no header, or lines that cannot be of one table.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path} is not a regular file: a CSV file is expected")
        encoding, n_lines = _encoding(path)
        with path.open(encoding=encoding, newline="") as file:
            beginning = file.read(LONGEST_LINE)
        n_bytes = path.stat().st_size
    except OSError as error:
        raise unusable(path, error) from error
    if not beginning.strip():
        raise UsageError(f"{path} is empty: a CSV file with a header is expected")
    separator = max(",;\t", key=lambda each: len(_split(beginning, each)[0]))
    header, *first = _split(beginning, separator)
    if all(not name or _is_number(name) for name in header):
        raise UsageError(f"{path}: the first line has numbers: a header with the columns' names is expected")
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise UsageError(f"{path}: two columns are called {twice[0]!r}: give them names of their own")
    if first and len(first[0]) > len(header):
        raise UsageError(f"{path}: the header names {len(header)} columns, the line after it has {len(first[0])}")
    chunk = max(1, min(50_000, _PIECE * n_lines // max(1, n_bytes)))
    layout = Layout(path, encoding, separator, tuple(header), chunk)
    # As pandas calls them: columns without a name have one there.
    names = next(_pieces(layout, None)).columns
    return Layout(path, encoding, separator, tuple(map(str, names)), chunk)


def _encoding(path: Path) -> tuple[str, int]:
    """UTF-8 if all of the file is, else Latin-1; and the number of its lines.

    Raises:
        UsageError: it is not text.
    """
    decoder, utf8 = codecs.getincrementaldecoder("utf-8")(), True
    n_lines, since, controls = 0, 0, bytes(set(range(32)) - set(b"\t\n\r\f\x1a"))
    with path.open("rb") as file:
        start = file.read(4)
        for beginning, what in _OTHERS.items():
            if start.startswith(beginning):
                raise UsageError(f"{path} {what}; a CSV file in UTF-8 or Latin-1 is expected")
        file.seek(0)
        while piece := file.read(1 << 20):
            if b"\0" in piece or len(piece) - len(piece.translate(None, controls)) > len(piece) // 100:
                raise UsageError(f"{path} is not a text file: a CSV file in UTF-8 or Latin-1 is expected")
            ends = piece.count(b"\n") + (piece.count(b"\r") if b"\n" not in piece else 0)
            n_lines, since = n_lines + ends, 0 if ends else since + len(piece)
            if since >= LONGEST_LINE:
                raise UsageError(f"{path}: a line is longer than {LONGEST_LINE >> 20} MiB: not a CSV file")
            try:
                utf8 = utf8 and decoder.decode(piece) is not None
            except UnicodeDecodeError:
                utf8 = False
    return ("utf-8-sig" if utf8 else "latin-1"), n_lines


def _split(text: str, separator: str) -> list[list[str]]:
    """The header and the line after it."""
    lines = csv.reader(io.StringIO(text, newline=None), delimiter=separator, skipinitialspace=True)
    found: list[list[str]] = []
    try:
        for line in lines:
            found += [line] if any(line) else []
            if len(found) == 2:
                break
    except csv.Error:  # a field longer than csv takes: pandas is to say what is wrong
        pass
    return found or [[""]]


def _pieces(layout: Layout, columns: list[str] | None) -> Iterator[pd.DataFrame]:
    """The file piece by piece, all cells as text."""
    try:
        with (
            warnings.catch_warnings(),
            pd.read_csv(layout.path, usecols=columns, chunksize=layout.chunk, **layout.options) as reader,
        ):
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield from reader
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).removeprefix("Error tokenizing data. C error: ").split())
        raise UsageError(f"{layout.path}: not a table: {reason}") from error
    except OSError as error:
        raise unusable(layout.path, error) from error


def _rows(layout: Layout, columns: list[str], wanted: NDArray[np.int64]) -> pd.DataFrame:
    """These rows, by their numbers in the file from 0, which ascend."""
    found, first = [], 0
    for piece in _pieces(layout, columns):
        inside = wanted[(wanted >= first) & (wanted < first + len(piece))]
        found.append(piece[columns].iloc[inside - first].apply(_stripped))
        first += len(piece)
    return pd.concat(found, ignore_index=True)


def _stripped(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Text without blanks around it; nothing but blanks is missing."""
    text = column.str.strip()
    return text.where(text != "")


# --- the target -------------------------------------------------------------------------------------------------------


def _text(layout: Layout, target: str) -> "pd.Series[Any]":
    """The target as it stands in the file [row], None where it is missing."""
    known: dict[Any, Any] = {}
    pieces: list[Any] = []
    for piece in _pieces(layout, [target]):
        values = _stripped(piece[target]).astype(object)
        # One object for each class, however many rows it has.
        known |= {value: value for value in values.dropna().unique() if value not in known}
        if len(known) > _DISTINCT:
            break
        pieces.append(values.map(known.get).where(values.notna(), None).astype(object))
    numbers = as_numbers(pd.Series(list(known), dtype=object), layout.separator)
    where = (
        f"{layout.path}: column {target!r} has {'more than ' * (len(known) > _DISTINCT)}{min(len(known), _DISTINCT)}"
    )
    if numbers is not None and len(known) > MAX_CLASSES:
        raise UsageError(
            f"{where} different numbers: that is regression, and only classes can be predicted; "
            "nearest to it is --bins 4, which predicts the quarter that a number is in"
        )
    if len(known) > MOST_CLASSES:
        raise UsageError(f"{where} different texts: at most {MOST_CLASSES} classes can be told apart")
    return pd.concat(pieces, ignore_index=True) if pieces else pd.Series([], dtype=object)


def _cut(layout: Layout, target: str, bins: int) -> tuple["pd.Series[Any]", tuple[float, ...], tuple[str, ...]]:
    """The target as names of classes [row] between quantiles, where these begin, and the names."""
    pieces = []
    for piece in _pieces(layout, [target]):
        numbers = as_numbers(_stripped(piece[target]).astype(object), layout.separator)
        if numbers is None:
            raise UsageError(f"{layout.path}: --bins is for a column of numbers, {target!r} has text")
        pieces.append(numbers)
    values = np.concatenate(pieces) if pieces else np.zeros(0)
    there = values[~np.isnan(values)]
    if not len(there):
        return pd.Series([None] * len(values), dtype=object), (), ()
    quantiles = np.unique(np.quantile(there, np.arange(1, bins) / bins))
    edges = tuple(float(edge) for edge in quantiles if edge > there.min())
    labels = bin_names(edges)
    text = pd.Series(np.array(labels, dtype=object)[np.searchsorted(edges, values, side="right")], dtype=object)
    text[np.isnan(values)] = None
    return text, edges, labels


def bin_names(edges: tuple[float, ...]) -> tuple[str, ...]:
    """What classes between edges are called, numbered so that text is in the order of the numbers."""
    ends = [f"{edge!r}" for edge in edges]
    between = [f"from {low} to below {high}" for low, high in itertools.pairwise(ends)]
    parts = [f"below {ends[0]}", *between, f"from {ends[-1]}"] if ends else ["all"]
    return tuple(f"{number:02d} {part}" for number, part in enumerate(parts, start=1))


def _check_target(layout: Layout, target: str, text: "pd.Series[Any]", usable: NDArray[np.int64]) -> None:
    """Raises UsageError if there is too little to learn from."""
    where, n_there = f"{layout.path}: column {target!r}", int(text.notna().sum())
    if len(text) and not n_there:
        raise UsageError(f"{where} has only missing values, as NA, nan, null and ? are: there is nothing to predict")
    if n_there < LEAST_ROWS:
        raise UsageError(f"{where}: {n_there} rows with a target; at least {LEAST_ROWS} are needed to compare anything")
    aside = f" besides {len(text) - n_there} missing values, as NA, None, null and ? are" if n_there < len(text) else ""
    if text.nunique() < 2:
        raise UsageError(
            f"{where} has one class only, {text.dropna().iloc[0]!r}{aside}: there is nothing to tell apart"
        )
    if text.iloc[usable].nunique() < 2:
        raise UsageError(f"{where}: fewer than two classes have two rows or more")
    if text.value_counts().max() < N_FOLDS:
        raise UsageError(f"{where}: no class has as many rows as there are folds, {N_FOLDS}")


# --- columns ----------------------------------------------------------------------------------------------------------


def as_numbers(column: "pd.Series[Any]", separator: str) -> NDArray[np.float64] | None:
    """Text as numbers, missing as NaN; None if something there is none. Where no comma separates, it may be decimal."""
    numbers = _numbers_among(column.dropna(), separator)
    if numbers.isna().any():
        return None
    return numbers.where(numbers.abs() <= LARGEST).reindex(column.index).to_numpy()


def _numbers_among(there: "pd.Series[Any]", separator: str) -> "pd.Series[Any]":
    text = there.astype(str)
    if separator != ",":
        text = text.str.replace(",", ".")
    return pd.to_numeric(text, errors="coerce").astype(np.float64)


def _cleaned(
    text: pd.DataFrame, layout: Layout, classes: NDArray[np.int64], n_rows: int
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """The columns to learn from, those that are left out with the reason, and notes about columns that say much."""
    if not text.shape[1]:
        raise UsageError(f"{layout.path}: there is no column besides the target")
    columns: dict[str, Any] = {}
    notes: list[str] = []
    for name in text.columns:
        values = text[name].astype(object)
        numbers = as_numbers(values, layout.separator)
        columns[name] = values.where(values.notna(), None) if numbers is None else numbers
        if numbers is None:
            notes += _about_text(values.dropna(), layout.separator)
    frame = plain(pd.DataFrame(columns))
    dropped = {name: "empty" if frame[name].isna().all() else idle(frame[name], n_rows) for name in frame.columns}
    dropped = {name: reason for name, reason in dropped.items() if reason}
    if len(dropped) == frame.shape[1]:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in dropped.items())
        raise UsageError(f"{layout.path}: no column is left to learn from ({reasons[:300]})")
    frame = frame.drop(columns=list(dropped))
    lost = {name: int(frame[name].isna().sum() - text[name].isna().sum()) for name in frame.columns}
    notes += [f"column {name!r}: {n} numbers beyond {LARGEST:g} count as missing" for name, n in lost.items() if n]
    notes += [
        f"column {name!r} alone says the class nearly always: is it known before the class is? (--ignore {name})"
        for name in frame.columns
        if leaks(frame[name], classes)
    ]
    return frame, dropped, notes


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# --- what is said -----------------------------------------------------------------------------------------------------


def _about_rows(text: "pd.Series[Any]", usable: NDArray[np.int64], drawn: NDArray[np.int64]) -> Iterator[str]:
    if missing := int(text.isna().sum()):
        yield f"rows without a target (as NA, None, null and ? are), left out: {missing}"
    if alone := int(text.notna().sum()) - len(usable):
        yield f"rows that are the only one of their class, left out: {alone}"
    if len(drawn) < len(usable):
        yield f"algorithms are compared on {len(drawn)} of {len(usable)} rows, drawn by class (--rows)"


def _about_text(there: "pd.Series[Any]", separator: str) -> Iterator[str]:
    """Of a column of text: whether it seems to be one of numbers, but for some cells."""
    none = _numbers_among(there, separator).isna()
    nearly = none & there.astype(str).str.fullmatch(_NEARLY).astype(bool)
    n = len(there) - int((none & ~nearly).sum())
    if n > 0.5 * len(there):
        yield (
            f"column {there.name!r} is text, though {n} of {len(there)} cells are numbers or look like them: "
            f"{there[none].iloc[0]!r} is none that can be read"
        )


def _about_classes(classes: NDArray[np.int64], names: list[str]) -> Iterator[str]:
    same: dict[float, str] = {}
    for name in filter(_is_number, names):
        if (other := same.setdefault(float(name), name)) != name:
            yield f"classes {other!r} and {name!r} are the same number, but two classes"
    counts = np.bincount(classes, minlength=len(names))
    for name, count in zip(names, counts, strict=True):
        if count < N_FOLDS:
            yield f"class {name!r} has {count} rows, fewer than the {N_FOLDS} folds: its accuracy is chance"
