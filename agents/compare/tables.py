"""Tables as text: on the terminal, as CSV, and as LaTeX."""

import csv
import io
import math
import textwrap
from collections.abc import Sequence

from agents.compare.columns import Table, heading_of, printed, rows_of, tables_of
from agents.compare.format import MINUS
from agents.compare.result import Group, Results, Section
from agents.compare.statistics import Estimate

CSV_START = ("environment", "setting", "split", "reference", "axis", "agent", "model")
"""Names of the first columns of a CSV file."""
LEAST_WIDTH = 40
"""Smallest width of lines of text [columns]."""
LATEX_MARK = "% qrl-meta comparison"
"""First line of a LaTeX file."""
FIRST_UNKNOWN = 0x180
"""First character that LaTeX does not know without packages, with a few exceptions."""
_LATEX = {
    "\\": r"\textbackslash{}",
    **{each: rf"\{each}" for each in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",
    MINUS: "$-$",
    "–": "--",
    "×": r"$\times$",
    "Ŝ": r"$\hat{S}$",
    "∞": r"$\infty$",
    "ε": r"$\varepsilon$",
    "δ": r"$\delta$",
}
"""Characters that plain LaTeX would not print as they are."""


def terminal_text(results: Results, width: int) -> str:
    """Return findings, warnings and tables of all sections, in lines of at most `width` columns where possible.

    Lines of legends that several sections share are in the first one only.
    """
    shown: set[str] = set()
    blocks = [_section_text(section, width, shown) for section in results.sections]
    warnings = "\n".join(f"warning: {text}" for text in results.warnings)
    return _printable("\n\n".join([*blocks, *([warnings] if warnings else [])]))


def _printable(text: str) -> str:
    """Return a text with control characters escaped, such as those of a terminal in a name from a file."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def _section_text(section: Section, width: int, shown: set[str]) -> str:
    parts = [f"{heading_of(section)}\n{section.finding}"]
    for table in tables_of(section):
        parts += _aligned(printed(table, section.groups), section, width)
        if legend := [line for line in table.legend if line not in shown]:
            shown.update(legend)
            parts.append("\n".join(_filled(line, width) for line in legend))
    return "\n\n".join(parts)


def _filled(line: str, width: int) -> str:
    return textwrap.fill(words(line), max(width, LEAST_WIDTH), subsequent_indent="  ")


def _aligned(table: Table, section: Section, width: int) -> list[str]:
    """Return a table in columns, the first aligned left, all others right.

    Columns that do not fit into the width are a further table, again with the first column.
    """
    rows = [[column.title for column in table.columns], *rows_of(table, section.groups)]
    (names, *columns), blocks = list(zip(*rows, strict=True)), []
    while columns:
        chosen, used = [_padded(names, left=True)], max(map(len, names))
        while columns and (len(chosen) == 1 or used + 2 + max(map(len, columns[0])) <= width):
            used += 2 + max(map(len, columns[0]))
            chosen.append(_padded(columns.pop(0)))
        blocks.append("\n".join("  ".join(row).rstrip() for row in zip(*chosen, strict=True)))
    return blocks


def _padded(cells: Sequence[str], *, left: bool = False) -> list[str]:
    width = max(map(len, cells))
    return [cell.ljust(width) if left else cell.rjust(width) for cell in cells]


def csv_text(results: Results) -> str:
    """Return all groups as CSV in full precision; the ends of intervals have columns of their own, empty without any.

    A sample complexity that is never reached is "inf".
    """
    sections = [(section, tables_of(section)) for section in results.sections]
    estimated: dict[str, bool] = {}
    for _, tables in sections:
        for column in (column for table in tables for column in table.columns):
            estimated[column.name] = estimated.get(column.name, False) or column.estimated
    names = [*CSV_START]
    for name, has_interval in estimated.items():
        names += [name, f"{name}_low", f"{name}_high"] if has_interval else [name]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
    writer.writeheader()
    for section, tables in sections:
        for group in section.groups:
            writer.writerow(_csv_row(section, tables, group))
    return stream.getvalue()


def _csv_row(section: Section, tables: tuple[Table, ...], group: Group) -> dict[str, str]:
    about = (section.env, section.setting, section.split, section.reference, group.axis, group.agent, group.model)
    row = dict(zip(CSV_START, about, strict=True))
    for column in (column for table in tables for column in table.columns):
        value = column.value(group)
        if isinstance(value, Estimate):
            row |= {f"{column.name}_{end}": _cell(getattr(value, end)) for end in ("low", "high")}
            value = value.value
        row[column.name] = _cell(value)
    return row


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) and math.isfinite(value) else str(value)


def latex_text(results: Results) -> str:
    """Return the tables as LaTeX `tabular`s with their legends below, which need no package."""
    parts = [LATEX_MARK, *(f"% note: {words(text)}" for text in results.notes)]
    for section in results.sections:
        parts.append(f"% {words(heading_of(section))}; {words(section.finding)}")
        parts += [f"% warning: {words(text)}" for text in section.warnings]
        parts += [_tabular(printed(table, section.groups), section) for table in tables_of(section)]
    return "\n".join(parts) + "\n"


def _tabular(table: Table, section: Section) -> str:
    titles = " & ".join(latex_escaped(column.title) for column in table.columns)
    rows = [" & ".join(map(latex_escaped, row)) for row in rows_of(table, section.groups)]
    body = "\n".join(rf"  {row} \\" for row in rows)
    return "\n".join(
        [
            f"% {table.title}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"  \hline",
            rf"  {titles} \\",
            r"  \hline",
            body,
            r"  \hline",
            r"\end{tabular}",
            *([rf"\par{{\footnotesize {'. '.join(map(latex_escaped, table.legend))}.\par}}"] if table.legend else []),
        ]
    )


def latex_escaped(text: str) -> str:
    """Return a text as LaTeX prints it, without packages; letters of other scripts than Latin as their numbers."""
    return "".join(
        _LATEX.get(each, each if ord(each) < FIRST_UNKNOWN else f"U+{ord(each):04X}") for each in words(text)
    )


def words(text: str) -> str:
    """Return a text with single spaces, in one line."""
    return " ".join(text.split())
