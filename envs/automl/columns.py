"""Kinds of a table's columns: numbers as people write them, dates, free text, text."""

import itertools
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pandas as pd

from envs.automl import DateOrder, Decimal
from envs.automl.apply import Column, words
from envs.automl.cleaning import seldom_repeats
from envs.automl.kinds import Kinds
from envs.automl.written_dates import date_column, date_formats, remark_on_dates
from envs.automl.written_numbers import numbers_in

_VOCABULARY = 100
"""Number of words of a column of free text that are counted."""
_SAMPLE = 20_000
"""Number of cells from which these words are chosen."""


def kinds_of(table: pd.DataFrame, decimal: Decimal, order: DateOrder, line: Callable[[int], str]) -> Kinds:
    """Return how the columns of a table of cells are read.

    A column decides on its decimal mark and on the order of its dates; where it leaves them open, the options do, then
    the other columns.

    Args:
        table: cells [row, column]; the index has the numbers of the rows in the file.
        decimal: decimal mark where a column leaves it open.
        order: order of day and month where a column leaves it open.
        line: returns where a row is in the file.
    """
    found, cells = Kinds(), {name: table[name].dropna() for name in table.columns}
    found.columns |= {name: Column(name, "number" if _is_number(column) else "text") for name, column in cells.items()}
    texts = {name: column.value_counts() for name, column in cells.items() if column.dtype == object and len(column)}
    read = {name: numbers_in(counts) for name, counts in texts.items()}
    marks = {each.decided for each in read.values() if each.fits and each.decided}
    mark = {"comma": ",", "point": ".", "auto": marks.pop() if len(marks) == 1 else ""}[decimal]
    times = {
        name: [""] if cells[name].dtype.kind == "M" else date_formats(texts[name])
        for name in cells
        if cells[name].dtype.kind == "M" or (name in read and not read[name].fits)
    }
    days = {each[0][:2] == "%d" for each in times.values() if len(each) == 1}
    day_first = {"day-first": True, "month-first": False, "auto": days == {True} or (not days and mark == ",")}[order]
    for name, column in cells.items():
        where = lambda cell, column=column: line(int(column.index[(column == cell).to_numpy().argmax()]))  # noqa: E731
        if name in read and read[name].fits:
            found.columns[name] = read[name].column(name, mark, found, where)
        elif times.get(name):
            found.columns[name] = date_column(name, column, times[name], day_first, order, found)
        elif name in read:
            if remark := read[name].remark(where) or remark_on_dates(texts[name], where):
                found.remarks[name] = remark
                found.notes.append(f"column {name!r} is read as text: {remark}")
            elif _is_json(texts[name].index):
                found.remarks[name] = "JSON, whose fields are not read; make them columns"
            elif seldom_repeats(len(texts[name]), len(column)) and (chosen := _vocabulary(column)):
                found.columns[name] = Column(name, "words", parts=chosen)
                some = ", ".join(chosen[:5]) + ", …" * (len(chosen) > 5)
                found.notes.append(f"column {name!r}: free text, read as counts of {len(chosen)} words ({some})")
    for name, column in found.columns.items():
        if column.parts:
            prefix = f"{name}: "
            while any(other.startswith(prefix) for other in found.columns):
                prefix = f"{name}:{prefix.removeprefix(name)}"
            found.columns[name] = replace(column, prefix=prefix)
    return found


def _is_number(cells: "pd.Series[Any]") -> bool:
    """Return whether a typed column has numbers; whole numbers that double precision would make equal are codes."""
    return cells.dtype.kind in "bf" or (cells.dtype.kind in "iu" and cells.nunique() == cells.astype(float).nunique())


def _is_json(cells: "pd.Index[Any]") -> bool:
    """Return whether cells are lists or objects of JSON."""
    with suppress(ValueError, RecursionError):
        return all(cell[0] in "{[" and json.loads(cell) is not None for cell in cells[:20])
    return False


def _vocabulary(cells: "pd.Series[Any]") -> tuple[str, ...]:
    """Return the words of free text that divide its rows most evenly; none if cells have fewer than 2.5 words."""
    sets = [words(cell) for cell in cells.iloc[:: max(1, len(cells) // _SAMPLE)]]
    if sum(map(len, sets)) < 2.5 * len(sets):
        return ()
    counts = Counter(itertools.chain.from_iterable(map(set, sets)))
    least = max(5, 0.02 * len(sets))
    evenly = {word: min(count, len(sets) - count) for word, count in counts.items()}
    frequent = sorted((word for word in counts if evenly[word] >= least), key=lambda word: (-evenly[word], word))
    return tuple(frequent[:_VOCABULARY])
