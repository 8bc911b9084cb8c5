"""Kinds of a table's columns, and what is told of them."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from envs.automl.apply import CURRENCY, Column

MISSING_WORD = re.compile(
    rf"(?:(?:{CURRENCY})\s*)?[-–—.*]{{1,3}}(?:\s*(?:{CURRENCY}))?|"
    r"n[/.]?[ad]\.?|k\.a\.|nan|none|null|nil|unknown|missing|not available|unbekannt|keine angabe|"
    r"#[a-zäöü/0]{2,9}[!?]?|0000-00-00( 00:00:00)?|00[./]00[./]0000|0{1,8}|9999-?12-?31",
    re.IGNORECASE,
)
"""Words that are missing values in columns of numbers or dates."""


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


def some(cells: list[str], where: Callable[[str], str]) -> str:
    """List the first cells, and where they are."""
    return ", ".join(f"{cell!r} ({where(cell)})" for cell in cells[:3]) + ", …" * (len(cells) > 3)


def has_digit(cell: str) -> bool:
    """Return whether a cell has a digit."""
    return any(each.isdecimal() for each in cell)
