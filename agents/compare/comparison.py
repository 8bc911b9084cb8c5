"""Comparison: results with their views as text and as files."""

from dataclasses import dataclass
from pathlib import Path

from agents.compare.outputs import check_outputs, format_of_output
from agents.compare.result import Results
from agents.compare.tables import csv_text, latex_text, terminal_text
from qrl.common.errors import UsageError
from qrl.common.files import to_json, write_atomically


@dataclass(frozen=True)
class Comparison(Results):
    """Comparison of runs, as `agents.compare` returns it."""

    def table(self, width: int = 120) -> str:
        """Return findings, tables and warnings as text, in lines of at most `width` columns where that is possible."""
        return terminal_text(self, width)

    def save(self, path: Path | str) -> None:
        """Write the comparison into a file, whose suffix chooses the format: .csv, .tex, .json.

        A file of an earlier comparison is replaced.

        Raises:
            UsageError: the suffix is unknown, the file exists and is of another origin, or it cannot be written.
        """
        path = Path(path)
        check_outputs([path])
        write_atomically(path, self.encoded(path))

    def encoded(self, path: Path) -> bytes:
        """Return the content of a file, whose suffix chooses the format. Raises UsageError for an unknown suffix."""
        format = format_of_output(path)
        match format:
            case "csv":
                return csv_text(self).encode()
            case "tex":
                return latex_text(self).encode()
            case "json":
                return (to_json(self.to_json(), indent=2) + "\n").encode()
        raise UsageError(f"{path}: no format {format!r}")
