"""The documents: their Python blocks, command lines and headings."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")} - {ROOT / "CHANGELOG.md"})
"""All but the changelog, which names what is no longer there."""


def text_of(document: str | Path) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str | Path) -> list[str]:
    """Its fenced blocks of Python."""
    return re.findall(r"```python\n(.*?)```", text_of(document), flags=re.DOTALL)


def command_lines(document: str | Path) -> Iterator[str]:
    """Its commands, without comments: lines of indented and fenced blocks, and code in a sentence."""
    text = text_of(document)
    lines = re.findall(r"^ *([\w./]*python (?:run\.py|-m) .*)$", text, flags=re.MULTILINE)
    spans = re.findall(r"`((?:\S*python )?run\.py .+?|\S*python -m .+?)`", text)
    for command in dict.fromkeys([*lines, *spans]):
        yield re.sub(r"\s+#.*", "", command.rstrip("`"))


def anchors(document: str | Path) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    prose = re.sub(r"```.*?```", "", text_of(document), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
