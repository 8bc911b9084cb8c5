"""Kinds of a table's columns: numbers as people write them, dates, free text, text."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from envs.automl import DateOrder, Decimal
from envs.automl.apply import (
    CURRENCY,
    LIMIT,
    PARTS,
    Column,
    date_part,
    dates,
    parse_dates,
    parse_number,
    plain_numbers,
    without_zones,
    words,
)
from envs.automl.cleaning import MAX_CLASSES, seldom_repeats

_MISSING_WORD = re.compile(
    r"[-–—.*]{1,3}|n[/.]?[ad]\.?|k\.a\.|nan|none|null|nil|unknown|missing|not available|unbekannt|keine angabe|"
    r"#[a-zäöü/0]{2,9}[!?]?|0000-00-00( 00:00:00)?|00[./]00[./]0000|0{1,8}|9999-?12-?31",
    re.IGNORECASE,
)
"""Words that are missing values in columns of numbers or dates."""
_FACTORS = {
    "": 1.0,
    **dict.fromkeys(("k", "K", "tsd", "thousand"), 1e3),
    **dict.fromkeys(("M", "m", "mn", "mln", "mio", "million", "millions"), 1e6),
    **dict.fromkeys(("B", "b", "bn", "bln", "mrd", "billion", "billions"), 1e9),
    **dict.fromkeys(("tn", "trillion"), 1e12),
}
"""Factors by the ends of numbers, without a full stop."""
_ALSO_UNITS = {"", "m", "b"}
"""Ends that are factors only of sums of money, or beside other factors: metres, bits."""
_ADDRESS = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})")
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
_DIGITS = re.compile(r"(18|19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])[0-5]\d[0-5]\d)?")
"""Dates without separators: 20230105, 20230105103000."""
_VOCABULARY = 100
"""Number of words of a column of free text that are counted."""
_SAMPLE = 20_000
"""Number of cells from which these words are chosen."""


@dataclass
class Kinds:
    """Columns of a table and notes about them."""

    columns: dict[str, Column] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
    """Why a column is not what it resembles."""
    notes: list[str] = field(default_factory=list)
    told: dict[str, list[str]] = field(default_factory=dict)
    """Names of columns by how they are read, unless as plain numbers or text."""

    def all_notes(self) -> Iterator[str]:
        """Yield what the user is told."""
        for how, names in self.told.items():
            listed = ", ".join(map(repr, names[:8])) + f" and {len(names) - 8} more" * (len(names) > 8)
            yield f"column{'s' * (len(names) > 1)} {listed}: {how}"
        yield from self.notes


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
    read = {name: _numbers(counts) for name, counts in texts.items()}
    marks = {each.decided for each in read.values() if each.fits and each.decided}
    mark = {"comma": ",", "point": ".", "auto": marks.pop() if len(marks) == 1 else ""}[decimal]
    times = {
        name: [""] if cells[name].dtype.kind == "M" else _date_formats(texts[name])
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
            found.columns[name] = _date_column(name, column, times[name], day_first, order, found)
        elif name in read:
            if remark := read[name].remark(where) or _remark_on_dates(texts[name], where):
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


class _Numbers:
    """Distinct cells of a column by how they are read as numbers."""

    def __init__(self, counts: "pd.Series[Any]") -> None:
        self.counts: Mapping[str, int] = counts.to_dict()
        self.point, self.comma = ({cell: parse_number(cell, mark) for cell in self.counts} for mark in ".,")
        self.either = [cell for cell in self.counts if self.point[cell] or self.comma[cell]]
        self.only_point = [cell for cell in self.either if not self.comma[cell]]
        self.only_comma = [cell for cell in self.either if not self.point[cell]]
        self.open = [
            cell
            for cell in self.either
            if self.point[cell] and self.comma[cell] and self.point[cell] != self.comma[cell]
        ]
        others = [cell for cell in self.counts if not self.point[cell] and not self.comma[cell]]
        self.missing = [cell for cell in others if _MISSING_WORD.fullmatch(cell)]
        self.others = [cell for cell in others if not _MISSING_WORD.fullmatch(cell)]
        few = len(self.others) <= 3 and len(self.either) > MAX_CLASSES and not any(map(_has_digit, self.others))
        if few and self.n(self.others) <= 0.1 * self.n(self.counts):
            self.missing, self.others = [*self.missing, *self.others], []
        self.decided = "," if len(self.only_comma) > len(self.only_point) else "." if self.only_point else ""
        written = [cell for cell in self.either if re.search(r"\d[-–—]$", cell)]
        if not any(re.search(r"[.,]\d", cell) for cell in written):
            self.others += written  # A minus at the end is one of sums of money; 2- may be a mark, 1990- a year.
        if not any(re.search(r"[.,]\d|e[-+]", cell, re.IGNORECASE) for cell in self.either):
            self.others += [cell for cell in self.either if re.fullmatch(r"\d+e\d+", cell, re.IGNORECASE)]
        exact = {int(cell) for cell in self.either if cell.isdecimal() and len(cell) > 15}
        if len(set(map(float, exact))) < len(exact):
            self.others += [cell for cell in self.either if cell.isdecimal() and len(cell) > 15]
        parts = [_ADDRESS.fullmatch(cell) for cell in self.either]
        if all(each and max(map(int, each.groups())) < 256 for each in parts):
            self.others += self.either  # 192.168.100.200 is an address on a network.
        digits = [cell for cell in self.either if not _MISSING_WORD.fullmatch(cell)]
        if len(digits) > 1 and all(map(_DIGITS.fullmatch, digits)):
            self.others += self.either  # dates
        self.limits = [cell for cell in self.either if re.match(LIMIT, cell) or cell.endswith("+")]
        if self.n(self.limits) > 0.5 * self.n(self.either):
            self.others += self.limits  # <50K and >=50K are classes.
        if self.decided:
            self.others += self.only_point if self.decided == "," else self.only_comma
        units: dict[str, list[float]] = {}
        for cell in self.either:
            value, unit = self.point[cell] or self.comma[cell] or (0.0, "")
            units.setdefault(unit, []).append(value)
        self.units = tuple(units)
        named = [unit for unit in units if unit]
        self.factors = _factors(self.units)
        self.mixed = (len(named) > 1 and not self.factors) or ("%" in units and any(units.get("", ())))
        self.fits = bool(self.either) and not self.others and not self.mixed

    def n(self, cells: "Mapping[str, int] | list[str]") -> int:
        """Return the number of cells with these texts."""
        return sum(self.counts[cell] for cell in cells)

    def column(self, name: str, mark: str, found: Kinds, where: Callable[[str], str]) -> Column:
        """Return the column of numbers, and note how it is read."""
        decimal = self.decided or mark
        if self.open and not decimal:
            decimal = self._likely()
            (cell, *_) = self.open
            values = [f"{(parsed[cell] or (0.0,))[0]:.12g}" for parsed in (self.point, self.comma)]
            read, other = values if decimal == "." else values[::-1]
            say = "comma" if decimal == "." else "point"
            found.notes.append(f"column {name!r}: {cell!r} is read as {read}; --decimal {say} reads it as {other}")
        decimal = decimal or "."
        group = "," if decimal == "." else "."
        cells = [cell for cell in self.either if not cell.isdecimal()]
        how = [
            *(["decimal commas"] if decimal == "," and any("," in cell for cell in cells) else []),
            *(
                [f"thousands {'commas' if group == ',' else 'points'}"]
                if any(re.search(rf"\d[{group}]\d", cell) for cell in cells)
                else []
            ),
            *(["thousands blanks"] if any(re.search(r"\d\s\d", cell) for cell in cells) else []),
            *(["thousands apostrophes"] if any(re.search("\\d['’]\\d", cell) for cell in cells) else []),
            *(f"in {unit}" for unit in self.units if unit and not self.factors),
            *(["factors " + ", ".join(filter(None, self.units))] if self.factors else []),
            *([f"limits such as {self.limits[0]!r} as their numbers"] if self.limits else []),
            *(["leading zeros"] if any(re.match(r"0\d", cell) for cell in self.either) else []),
            *(["minus at the end"] if any(re.search(r"\d-$", cell) for cell in cells) else []),
            *(["a dash for no cents"] if any(re.search(r"[.,/:][-–—]", cell) for cell in cells) else []),
            *(["brackets as minus"] if any(cell.startswith("(") for cell in cells) else []),
        ]
        if how:
            found.told.setdefault(f"numbers, {', '.join(how)}", []).append(name)
        if same := self._same():
            found.notes.append(f"column {name!r}: {same[0]!r} and {same[1]!r} are the same number")
        for cell in self.missing:
            found.notes.append(
                f"column {name!r}: {cell!r} counts as missing ({self.counts[cell]} cells, {where(cell)})"
            )
        units = tuple((unit, self.factors.get(unit, 1.0)) for unit in dict.fromkeys(("", *self.units)))
        return Column(name, "number", decimal=decimal, units=units)

    def _same(self) -> list[str]:
        """Return two cells that are equal but for zeros at the end, as versions may be, or a limit and its number."""
        versions = all(re.fullmatch(r"\d+[.,]\d{1,2}", cell) for cell in self.either)
        first: dict[object, str] = {}
        for cell in self.either if versions or self.limits else []:
            if (other := first.setdefault(self.point[cell] or self.comma[cell], cell)) != cell and (
                versions or cell in self.limits or other in self.limits
            ):
                return [other, cell]
        return []

    def _likely(self) -> str:
        """Return the decimal mark of numbers such as 1.571 where no other column has one.

        Beside whole numbers of up to three digits, 1.571 is a number of thousands; beside larger ones, or beside none
        of three digits, it is not. A point is otherwise a decimal point, and a comma separates thousands.
        """
        mark, other = (".", ",") if "." in self.open[0] else (",", ".")
        if self.factors:
            unscaled = all(self.factors.get((self.point[cell] or (0, ""))[1], 1.0) == 1 for cell in self.open)
            return other if unscaled else "."  # 771.000 € beside 7 Mio. €
        whole = [abs(parsed[0]) for cell in self.either if cell not in self.open and (parsed := self.point[cell])]
        if whole:
            return other if 100 <= max(whole) < 1000 else mark
        return "."

    def remark(self, where: Callable[[str], str]) -> str:
        """Return which cells keep a column that resembles numbers from being one; else an empty string."""
        total, numbers = self.n(self.counts), [cell for cell in self.either if cell not in self.others]
        if self.n(numbers) < 0.4 * total:
            return ""
        if not self.others:
            units = ", ".join(unit or "none" for unit in self.units[:6])
            return f"its numbers have various units ({units})"
        return f"{self.n(numbers)} of {total} cells are numbers, but not {_some(self.others, where)}"


def _numbers(counts: "pd.Series[Any]") -> _Numbers:
    """Return how distinct cells are read; a part decides for many plain numbers, which takes less time."""
    head, rest = _Numbers(counts[:1000]), counts.index[1000:].to_series()
    if head.fits and len(rest):
        whole = not head.open and all(cell.isdecimal() and len(cell) < 16 for cell in rest)
        if whole or (head.decided and plain_numbers(rest, head.decided).notna().all()):
            return head
    return _Numbers(counts) if len(rest) else head


def _factors(units: tuple[str, ...]) -> dict[str, float]:
    """Return the factors of the ends of numbers, such as $3k and $2bn; none if they are units, or just one factor."""
    currencies = {found[0] for unit in units if (found := re.search(CURRENCY, unit))}
    ends = {unit: re.sub(CURRENCY, "", unit).strip().removesuffix(".") for unit in units}
    factors = {unit: _FACTORS.get(end, _FACTORS.get(end.lower(), 0.0)) for unit, end in ends.items()}
    sure = len(currencies) == 1 or not {*ends.values()} <= _ALSO_UNITS
    various = len(units) > 1 and max(factors.values()) > 1
    return factors if various and sure and len(currencies) < 2 and all(factors.values()) else {}


def _some(cells: list[str], where: Callable[[str], str]) -> str:
    """List the first cells, and where they are."""
    return ", ".join(f"{cell!r} ({where(cell)})" for cell in cells[:3]) + ", …" * (len(cells) > 3)


def _has_digit(cell: str) -> bool:
    return any(each.isdecimal() for each in cell)


def _like_dates(counts: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return the distinct cells that are not missing, if nearly all look like dates; else none."""
    cells = pd.Series([cell for cell in counts.index if not _MISSING_WORD.fullmatch(cell)], dtype=object)
    dated = cells.map(
        lambda cell: (_has_digit(cell) and any(each in cell for each in "-/.: ")) or _DIGITS.fullmatch(cell) is not None
    )
    return cells[:0] if len(cells) and (dated.mean() < 0.9 or cells.str.contains(r"^\d{1,2}:\d$").any()) else cells


def _is_season(cell: str) -> bool:
    """Return whether a cell is a year and the next one: 2004/05."""
    found = re.fullmatch(r"(\d{4})[-/](\d\d)", cell)
    return found is not None and (int(found[1]) + 1) % 100 == int(found[2])


def _remark_on_dates(counts: "pd.Series[Any]", where: Callable[[str], str]) -> str:
    """Return which cells keep a column of dates from being one; else an empty string."""
    if (cells := _like_dates(counts)).empty:  # most columns: none of the many formats has to be tried
        return ""
    text = without_zones(cells)
    fit = {each: parse_dates(text, each).notna() for each in _FORMATS if parse_dates(text[:50], each).notna().any()}
    best = max(fit, key=lambda each: counts[cells[fit[each]]].sum(), default="")
    if not best or (n := counts[cells[fit[best]]].sum()) < 0.4 * counts.sum():
        return ""
    return f"{n} of {counts.sum()} cells are dates ({best}), but not {_some(cells[~fit[best]].tolist(), where)}"


def _date_formats(counts: "pd.Series[Any]") -> list[str]:
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


def _date_column(
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
