"""Files of a comparison: the suffix chooses the format; files of another origin are never replaced."""

from collections.abc import Sequence
from pathlib import Path

from agents.compare.result import FORMAT
from agents.compare.tables import CSV_START, LATEX_MARK
from qrl.common.errors import UsageError, suggest
from qrl.common.files import check_new_file, check_replaceable, kind_of, open_stream

MARK = "qrl-meta comparison"
"""Text at the beginning of every HTML, PNG and SVG file of a comparison."""
DOCUMENTS = ("html", "csv", "tex", "json")
"""Formats that are not pictures."""
IN_STUDY = (*DOCUMENTS, "png")
"""Formats that are written into a study."""
BEGINNING = 4096
"""Size of the part of a file that shows whose it is [bytes]."""
_MARKS = {
    "csv": ",".join(CSV_START).encode(),
    "tex": LATEX_MARK.encode(),
    "json": f'{{\n  "format": "{FORMAT}"'.encode(),
}
"""Beginnings of files by format; other formats contain MARK."""


def study_files(study: Path) -> tuple[Path, ...]:
    """Return the files of the comparison of a study."""
    return tuple(study / f"comparison.{suffix}" for suffix in IN_STUDY)


def format_of_output(path: Path) -> str:
    """Return the format that a suffix names: a document's, or a picture's.

    Raises:
        UsageError: the suffix is missing or unknown.
    """
    suffix = path.suffix[1:].lower()
    if suffix in DOCUMENTS:
        return suffix
    from qrl.common.pictures import formats  # matplotlib takes a while to import

    known = formats()
    if suffix in known:
        return suffix
    missing = f"no format {suffix!r}" if suffix else "the name has no suffix that says its format"
    raise UsageError(f"{path}: {missing}{suggest(suffix, (*DOCUMENTS, *known))}")


def check_outputs(paths: Sequence[Path]) -> None:
    """Check that all these files can be written, without writing any.

    Raises:
        UsageError: a suffix is unknown, a path is given twice, a file that no comparison has written exists, or a
            folder is missing or read-only.
    """
    for index, path in enumerate(paths):
        format = format_of_output(path)
        if path in paths[:index]:
            raise UsageError(f"{path} is given twice")
        if kind_of(path, follow_links=False) == "missing":
            check_new_file(path)
        elif not _is_ours(path, format):
            raise UsageError(f"{path} exists and is no comparison by this software: choose another --out")
        else:
            check_replaceable(path)


def _is_ours(path: Path, format: str) -> bool:
    """Return whether an existing file was written by a comparison. Raises UsageError for a file that is not regular."""
    check_replaceable(path)
    with open_stream(path) as stream:
        start = stream.read(BEGINNING)
    return start.startswith(_MARKS[format]) if format in _MARKS else MARK.encode() in start
