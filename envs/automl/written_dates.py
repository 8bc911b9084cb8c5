"""Dates as people write them: by which format a column has dates, and which parts of them vary."""

import itertools
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pandas as pd

from envs.automl import DateOrder
from envs.automl.apply import PARTS, Column, date_part, dates, parse_dates, without_zones
from envs.automl.cleaning import MAX_CLASSES
from envs.automl.kinds import MISSING_WORD, Kinds, has_digit, some

_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y"),
    *("%d-%b-%Y", "%d-%b-%y", "%b %Y", "%B %Y", "%m/%Y", "%Y/%m", "%y-%m-%d"),
    *("%Y-%m", "%d. %m. %Y"),
    *(f"{day}{sign}{year}" for sign in "/-" for year in ("%Y", "%y") for day in (f"%d{sign}%m", f"%m{sign}%d")),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_CLOCK = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p")
_FORMATS = (
    *map("".join, itertools.product(_DAYS, _TIMES)),
    *("%Y%m%d", "%Y%m%d%H%M%S", "ISO8601", "%d/%b/%Y:%H:%M:%S", "%a, %d %b %Y %H:%M:%S", *_CLOCK),
)
DATE_OF_DIGITS = re.compile(r"(18|19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])[0-5]\d[0-5]\d)?")
"""Dates without separators: 20230105, 20230105103000."""


def _like_dates(counts: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return the distinct cells that are not missing, if nearly all look like dates; else none."""
    cells = pd.Series([cell for cell in counts.index if not MISSING_WORD.fullmatch(cell)], dtype=object)
    dated = cells.map(
        lambda cell: (
            (has_digit(cell) and any(each in cell for each in "-/.: ")) or DATE_OF_DIGITS.fullmatch(cell) is not None
        )
    )
    return cells[:0] if len(cells) and (dated.mean() < 0.9 or cells.str.contains(r"^\d{1,2}:\d$").any()) else cells


def _is_of_digits(cell: str) -> bool:
    return DATE_OF_DIGITS.fullmatch(cell) is not None


def _is_season(cell: str) -> bool:
    """Return whether a cell is a year and the next one: 2004/05."""
    found = re.fullmatch(r"(\d{4})[-/](\d\d)", cell)
    return found is not None and (int(found[1]) + 1) % 100 == int(found[2])


def remark_on_dates(counts: "pd.Series[Any]", where: Callable[[str], str]) -> str:
    """Return which cells keep a column of dates from being one; else an empty string."""
    if (cells := _like_dates(counts)).empty:  # most columns: none of the many formats has to be tried
        return ""
    text = without_zones(cells)
    fit = {each: parse_dates(text, each).notna() for each in _FORMATS if parse_dates(text[:50], each).notna().any()}
    best = max(fit, key=lambda each: counts[cells[fit[each]]].sum(), default="")
    if not best or fit[best].all() or (n := counts[cells[fit[best]]].sum()) < 0.4 * counts.sum():
        return ""
    return f"{n} of {counts.sum()} cells are dates ({best}), but not {some(cells[~fit[best]].tolist(), where)}"


def date_formats(counts: "pd.Series[Any]") -> list[str]:
    """Return the formats by which all distinct cells are dates."""
    if (cells := _like_dates(counts)).empty or all(map(_is_season, cells)):
        return []
    text = without_zones(cells)
    formats = [each for each in _FORMATS if parse_dates(text[:5], each).notna().any()]
    found = []
    for each in formats:
        others = cells[parse_dates(text, each).isna()]
        few = len(others) <= 3 and len(cells) > MAX_CLASSES and counts[others].sum() <= 0.1 * counts.sum()
        if few or others.empty:
            found.append((len(others), each))
    best = [each for n_others, each in found if n_others == min(found)[0]]
    return [each for each in best if each != "ISO8601"] or best


def date_column(
    name: str, cells: "pd.Series[Any]", formats: list[str], day_first: bool, order: DateOrder, found: Kinds
) -> Column:
    """Return the column of dates, and note how it is read."""
    if open_order := len(formats) > 1:
        formats = [each for each in formats if each.startswith("%d") == day_first] or formats
    times = dates(cells, formats[0])
    unwanted = {"second"} if formats[0] not in _CLOCK else set()  # Those of a date hardly ever matter.
    unwanted |= {"day", "weekday"} if "Y" in formats[0] and "%d" not in formats[0] else set()
    wanted = [part for part in PARTS if part not in unwanted]
    parts = tuple(part for part in wanted if date_part(times, part).nunique() > 1)
    if "%y" in formats[0]:
        years = f"{times.min().year} to {times.max().year}"
        found.notes.append(f"column {name!r}: years of two digits are read as {years}")
    found.told.setdefault(f"dates ({formats[0] or 'as stored'}), read as {', '.join(parts) or 'one date'}", []).append(
        name
    )
    if open_order and order == "auto":
        found.notes.append(f"column {name!r}: the order of day and month is open: --dates day-first or month-first")
    missing = Counter(cells[times.isna()])
    found.notes += [f"column {name!r}: {cell!r} counts as missing ({count} cells)" for cell, count in missing.items()]
    return Column(name, "date", dates=formats[0], parts=parts)
