"""Numbers as people write them: which cells of a column are numbers, and how they are read."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from envs.automl.apply import CURRENCY, LIMIT, Column, parse_number, plain_numbers
from envs.automl.cleaning import MAX_CLASSES
from envs.automl.kinds import MISSING_WORD, Kinds, has_digit, some
from envs.automl.written_dates import DATE_OF_DIGITS

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


class Numbers:
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
        self.missing = [cell for cell in others if MISSING_WORD.fullmatch(cell)]
        self.others = [cell for cell in others if not MISSING_WORD.fullmatch(cell)]
        few = len(self.others) <= 3 and len(self.either) > MAX_CLASSES and not any(map(has_digit, self.others))
        if few and self.n(self.others) <= 0.1 * self.n(self.counts):
            self.missing, self.others = [*self.missing, *self.others], []
        self.decided = "," if len(self.only_comma) > len(self.only_point) else "." if self.only_point else ""
        self.limits = [cell for cell in self.either if re.match(LIMIT, cell) or cell.endswith("+")]
        self.others = list(dict.fromkeys([*self.others, *self._codes()]))
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

    def _codes(self) -> list[str]:
        """Return the cells that are codes, dates or classes in the form of numbers."""
        found, text = [], self.either
        minus_at_end = [cell for cell in text if re.search(r"\d[-–—]$", cell)]
        if not any(re.search(r"[.,]\d", cell) for cell in minus_at_end):
            found += minus_at_end  # A minus at the end is one of sums of money; 2- may be a mark, 1990- a year.
        if not any(re.search(r"[.,]\d|e[-+]", cell, re.IGNORECASE) for cell in text):
            found += [cell for cell in text if re.fullmatch(r"\d+e\d+", cell, re.IGNORECASE)]
        long = [cell for cell in text if cell.isdecimal() and len(cell) > 15]
        if len({float(cell) for cell in long}) < len({int(cell) for cell in long}):
            found += long
        parts = [_ADDRESS.fullmatch(cell) for cell in text]
        if all(each and max(map(int, each.groups())) < 256 for each in parts):
            found += text  # 192.168.100.200 is an address on a network.
        digits = [cell for cell in text if not MISSING_WORD.fullmatch(cell)]
        if len(digits) > 1 and all(map(DATE_OF_DIGITS.fullmatch, digits)):
            found += text
        if self.n(self.limits) > 0.5 * self.n(text) or len(text) <= MAX_CLASSES:
            found += self.limits  # <50K and >=50K are classes, as are 0, 1, 2 and 3+.
        return found

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
        limits = set(self.limits)
        for cell in self.either if versions or limits else []:
            other = first.setdefault(self.point[cell] or self.comma[cell], cell)
            if other != cell and (versions or not limits.isdisjoint((cell, other))):
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
        left_open = set(self.open)
        whole = [abs(parsed[0]) for cell in self.either if cell not in left_open and (parsed := self.point[cell])]
        if whole:
            return other if 100 <= max(whole) < 1000 else mark
        return "."

    def remark(self, where: Callable[[str], str]) -> str:
        """Return which cells keep a column that resembles numbers from being one; else an empty string."""
        others = set(self.others)
        total, numbers = self.n(self.counts), [cell for cell in self.either if cell not in others]
        if self.n(numbers) < 0.4 * total:
            return ""
        if not self.others:
            units = ", ".join(unit or "none" for unit in self.units[:6])
            return f"its numbers have various units ({units})"
        return f"{self.n(numbers)} of {total} cells are numbers, but not {some(self.others, where)}"


def numbers_in(counts: "pd.Series[Any]") -> Numbers:
    """Return how distinct cells are read; a part decides for many plain numbers, which takes less time."""
    head, rest = Numbers(counts[:1000]), counts.index[1000:].to_series()
    if head.fits and len(rest):
        whole = not head.open and all(cell.isdecimal() and len(cell) < 16 for cell in rest)
        if whole or (head.decided and plain_numbers(rest, head.decided).notna().all()):
            return head
    return Numbers(counts) if len(rest) else head


def _factors(units: tuple[str, ...]) -> dict[str, float]:
    """Return the factors of the ends of numbers, such as $3k and $2bn; none if they are units, or just one factor."""
    currencies = {found[0] for unit in units if (found := re.search(CURRENCY, unit))}
    ends = {unit: re.sub(CURRENCY, "", unit).strip().removesuffix(".") for unit in units}
    factors = {unit: _FACTORS.get(end, _FACTORS.get(end.lower(), 0.0)) for unit, end in ends.items()}
    sure = len(currencies) == 1 or not {*ends.values()} <= _ALSO_UNITS
    various = len(units) > 1 and max(factors.values()) > 1
    return factors if various and sure and len(currencies) < 2 and all(factors.values()) else {}
