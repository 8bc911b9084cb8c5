"""Reader of a user's table: the usable columns and rows, and the reasons for those left out."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.automl import DateOrder, Decimal, apply
from envs.automl.apply import MAX_MAGNITUDE, Column, Reading
from envs.automl.cleaning import is_target_leak, stratified_sample, uninformative_reason
from envs.automl.columns import kinds_of
from envs.automl.frames import encode
from envs.automl.kinds import Kinds
from envs.automl.layout import check_names, layout_of, line_of, parsing, short_lines
from envs.automl.scoring import N_FOLDS
from envs.automl.target import bins_of, check_distinct, check_target
from qrl.common.errors import UsageError, suggest
from qrl.common.memory import physical_memory

T = TypeVar("T")

MEMORY_PER_BYTE = 20
"""Memory that a byte of a CSV file takes as cells of text. If a file takes more than half of this machine's memory, a
random share of its rows is read."""


@dataclass(frozen=True)
class UserDataset:
    """User's dataset, cleaned for training classifiers."""

    path: Path | None
    """Its file; None: a frame."""
    reading: Reading
    frame: pd.DataFrame
    """`frames.plain` table [row, column] of all usable rows: those with a target whose class has at least two rows."""
    classes: NDArray[np.int64]
    """Classes [row], numbered from 0."""
    sample: NDArray[np.int64]
    """Rows of the stratified sample on which algorithms are screened, in ascending order; all rows if they are few."""
    names: tuple[str, ...]
    """Names of the classes, in the order of their numbers."""
    labels: NDArray[Any]
    """Classes as the target has them: whole numbers and booleans of a typed column, else the names [class]."""
    n_rows: int
    """Number of rows that were read."""
    dropped: Mapping[str, str]
    """Unused columns, with the reason."""
    notes: tuple[str, ...]
    """Further notes for the user, as sentences."""

    @property
    def target(self) -> str:
        """Name of the target column."""
        return self.reading.target.name


def read_dataset(
    data: Path | pd.DataFrame,
    target: str,
    *,
    rows: int,
    bins: int = 0,
    ignore: Collection[str] = (),
    decimal: Decimal = "auto",
    dates: DateOrder = "auto",
) -> UserDataset:
    """Read a CSV file with a header, a Parquet file or a workbook; or a frame, of which only text is interpreted.

    Args:
        data: the file, or the frame.
        target: name of the target column.
        rows: largest size of the sample.
        bins: number of quantile bins of a numeric target; 0: no binning.
        ignore: columns that are not used.
        decimal: decimal mark of numbers such as 1.571 where their column leaves it open.
        dates: order of day and month where a column leaves it open.

    Raises:
        UsageError: the data is not a table, has no such column, or has too few usable columns, rows or classes.
    """
    path = data if isinstance(data, Path) else None
    where = str(path or "the frame")
    if isinstance(data, Path):
        reading, header, notes = layout_of(data, target.strip())
    else:
        reading, header, notes = Reading(Column(""), (), form="frame"), [str(name).strip() for name in data], []
    target, ignore = target.strip(), [name.strip() for name in ignore]
    check_names(where, header, 1 + len(ignore))
    for name in (target, *ignore):
        if name not in header:
            cells = [cell for cell in header if path and apply.parse_number(cell, ".")]
            aside = (
                f"; the first line, expected to have the column names, has data such as {cells[0]!r}" if cells else ""
            )
            names = [" ".join(each.split()) for each in header]
            raise UsageError(f"{where}: unknown column {name!r}{aside}{suggest(name, names)}")
    if target in ignore:
        raise UsageError(f"{where}: --ignore {target}: the target is never an input; ignore other columns")
    if not (columns := [name for name in header if name != target and name not in ignore]):
        raise UsageError(f"{where}: the target is the only column")
    place: Callable[[int], str]
    if isinstance(data, Path):
        table, reading = _rows(data, reading, notes)
        given, place = table[target], partial(line_of, data, reading)
    else:
        table, index = apply.cells_of(data.reset_index(drop=True)), data.index
        given = data.iloc[:, header.index(target)].reset_index(drop=True)
        place = lambda row: f"row {index[row]}"  # noqa: E731
    # Rows without a target, such as totals below a table, do not decide on the kinds of columns.
    found = kinds_of(table.loc[table[target].notna(), [*columns, target]], decimal, dates, place)
    where = f"{where}: column {target!r}"
    reading = replace(reading, target=found.columns.pop(target), columns=tuple(found.columns.values()))
    if bins:
        edges, labels = bins_of(where, table[target], reading.target, bins)
        reading = replace(reading, edges=edges, labels=labels)
    else:
        check_distinct(where, table[target], reading.target)
    text = apply.classes(table, reading)
    check_target(where, text)
    usable = text.map(text.value_counts()).fillna(0) >= 2
    classes, names = encode(text[usable])
    sample = stratified_sample(classes, rows)
    inputs, dropped, further = _cleaned(where, table[usable], reading, found, classes)
    about = (*_about_rows(text, usable, sample), *_about_classes(classes, names), *found.all_notes(), *further)
    return UserDataset(
        path=path,
        reading=replace(reading, columns=tuple(_used(reading.columns, inputs))),
        frame=inputs,
        classes=classes,
        sample=sample,
        names=tuple(names),
        labels=_labels(given[usable], classes, names, binned=bool(bins)),
        n_rows=len(table),
        dropped={**dict.fromkeys(ignore, "ignored"), **dropped},
        notes=(*notes, *about),
    )


def _rows(path: Path, reading: Reading, notes: list[str]) -> tuple[pd.DataFrame, Reading]:
    """Read the rows of a file whose layout is known, at most a share that fits into memory; add notes about others."""
    if reading.form == "csv":
        share = min(1.0, physical_memory() / (2 * MEMORY_PER_BYTE * max(1, os.stat(path).st_size)))
        reading = replace(reading, share=share)
    with parsing(path, reading.form):
        cells = apply.read_cells(path, reading, reading.share)
    if reading.form == "csv" and cells.iloc[:, -1].isna().any():
        short = short_lines(path, reading, cells.shape[1])
        notes += _told("lines with fewer cells than the header, the last ones count as missing", short, str)
    is_row = apply.is_row(cells)
    if reading.share < 1:
        notes.append(f"the file is too large for memory: {is_row.sum()} rows are read, a random {reading.share:.0%}")
    notes += _told(
        "repeated headers and comments, left out", cells.index[~is_row].tolist(), partial(line_of, path, reading)
    )
    return cells[is_row], reading


def _told(what: str, rows: Sequence[T], where: Callable[[T], str]) -> Iterator[str]:
    """Yield a note about rows, if there are any, with the places of the first ones."""
    if len(rows):
        yield f"{what}: {len(rows)} ({', '.join(map(where, rows[:5]))}{', …' * (len(rows) > 5)})"


def _used(columns: Iterable[Column], frame: pd.DataFrame) -> Iterator[Column]:
    """Yield the columns from which the columns of a cleaned frame are made."""
    for column in columns:
        parts = tuple(part for part in column.parts if column.prefix + part in frame)
        if parts or column.name in frame:
            yield replace(column, parts=parts)


def _labels(cells: "pd.Series[Any]", classes: NDArray[np.int64], names: list[str], *, binned: bool) -> NDArray[Any]:
    """Return the classes as the target has them: whole numbers, booleans, or text with its blanks [class].

    They are named as in `names` if the target is binned, or has other types, or several texts for one class.
    """
    first = np.unique(classes, return_index=True)[1]
    cells = cells.infer_objects()
    kind = (cells.cat.categories if isinstance(cells.dtype, pd.CategoricalDtype) else cells).dtype.kind
    if not binned and kind in "biuf" and (kind in "biu" or (cells.astype(float) % 1 == 0).all()):
        return cells.iloc[first].astype(bool if kind == "b" else np.int64).to_numpy()
    same = cells.astype(object).groupby(classes).nunique() == 1
    known = zip(names, cells.iloc[first], same, strict=True)
    return np.array(
        [cell if alone and isinstance(cell, str) and not binned else name for name, cell, alone in known], dtype=object
    )


def _cleaned(
    where: str, table: pd.DataFrame, reading: Reading, found: Kinds, classes: NDArray[np.int64]
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Return the usable inputs, the columns left out with the reason, and notes about suspicious columns."""
    frame = apply.inputs(table, reading.columns).reset_index(drop=True)
    reasons = {name: _reason(frame[name]) for name in frame.columns}
    dropped = {name: found.remarks.get(name, "") or reason for name, reason in reasons.items() if reason}
    dropped |= {column.name: "one date" for column in reading.columns if column.kind == "date" and not column.parts}
    frame = frame.drop(columns=[name for name in dropped if name in frame])
    if not frame.shape[1]:
        listed = "; ".join(f"{name}: {reason}" for name, reason in dropped.items())
        raise UsageError(f"{where}: no usable column is left ({listed[:500]})")
    source = {name: column for column in reading.columns for name in column.names}
    notes = []
    for name in frame.columns:
        if source[name].kind == "number":
            lost = apply.numbers(table[name], source[name], np.inf).notna().sum() - frame[name].notna().sum()
            notes += [f"column {name!r}: {lost} numbers beyond {MAX_MAGNITUDE:g} count as missing"] if lost else []
    notes += [
        f"column {name!r} alone nearly determines the class; if it is not known at prediction time, use --ignore "
        f"{source[name].name}"
        for name in frame.columns
        if is_target_leak(frame[name], classes)
    ]
    return frame, dropped, notes


def _reason(column: "pd.Series[Any]") -> str:
    """Return why a column is not used, with an example of text; else an empty string."""
    if column.isna().all():
        return "empty"
    reason = uninformative_reason(column)
    return f"{reason}, such as {column.dropna().iloc[0][:40]!r}" if reason and column.dtype == object else reason


def _about_rows(text: "pd.Series[Any]", usable: "pd.Series[Any]", sample: NDArray[np.int64]) -> Iterator[str]:
    if missing := int(text.isna().sum()):
        yield f"rows without a target (empty, NA, None, null or ?), left out: {missing}"
    if n_singletons := int((text.notna() & ~usable).sum()):
        yield f"rows of classes with a single row, left out: {n_singletons}"
    if len(sample) < usable.sum():
        yield f"algorithms are screened on a stratified sample of {len(sample)} of {usable.sum()} rows (--rows)"


def _about_classes(classes: NDArray[np.int64], names: list[str]) -> Iterator[str]:
    values = apply.plain_numbers(pd.Series(names, dtype=object), ".")
    first: dict[object, str] = {}
    for name, value in zip(names, values, strict=True):
        if (other := first.setdefault(name.casefold() if np.isnan(value) else value, name)) != name:
            same = "differ only in case" if np.isnan(value) else "are the same number"
            yield f"classes {other!r} and {name!r} {same}, but count as two classes"
    for name, count in zip(names, np.bincount(classes, minlength=len(names)), strict=True):
        if count < N_FOLDS:
            yield f"class {name!r} has {count} rows, fewer than the {N_FOLDS} folds: its recall is unreliable"
