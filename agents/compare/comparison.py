"""Comparison: results with their views as text and as files."""

from dataclasses import dataclass
from pathlib import Path

from agents.compare.outputs import MARK, check_outputs, format_of_output
from agents.compare.result import Results
from agents.compare.tables import csv_text, latex_text, terminal_text
from qrl.common.files import to_json, write_atomically
from qrl.common.trust import Trust


@dataclass(frozen=True)
class Comparison(Results):
    """Comparison of runs, as `agents.compare` returns it."""

    def table(self, width: int = 120) -> str:
        """Return findings, tables and warnings as text, in lines of at most `width` columns where that is possible."""
        return terminal_text(self, width)

    def save(self, path: Path | str, *, trust: bool = False) -> None:
        """Write the comparison into a file, whose suffix chooses the format.

        The formats are .html, .csv, .tex, .json, and those of Matplotlib, such as .png. A file of an earlier comparison
        is replaced.

        Args:
            path: the file.
            trust: execute all code outside this library that the runs name, to draw the circuits of an HTML page.

        Raises:
            UsageError: the suffix is unknown, the file exists and is of another origin, or it cannot be written.
        """
        path = Path(path)
        check_outputs([path])
        write_atomically(path, self.encoded(path, Trust(trust)))

    def encoded(self, path: Path, trust: Trust | None = None, animation: bytes | None = None) -> bytes:
        """Return the content of a file, whose suffix chooses the format.

        Args:
            path: the file.
            trust: code outside this library that may be executed to draw circuits; by default only what this user has
                trained with.
            animation: GIF for an HTML page, in place of those in the run folders.

        Raises:
            UsageError: the suffix is unknown.
        """
        format = format_of_output(path)
        match format:
            case "csv":
                return csv_text(self).encode()
            case "tex":
                return latex_text(self).encode()
            case "json":
                return (to_json(self.to_json(), indent=2) + "\n").encode()
            case "html":
                from agents.compare.page.page import page_of

                return page_of(self, trust or Trust(), animation).encode()
        from agents.compare.picture import picture_of  # matplotlib takes a while to import
        from qrl.common.pictures import encode

        return encode(picture_of(self), format, title=MARK)
