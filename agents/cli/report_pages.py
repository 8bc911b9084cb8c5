"""Command `report` on the folder of a search, or of a selection: the page about it."""

from collections.abc import Callable, Sequence

from agents.cli.compare_options import ReportOptions
from agents.compare.outputs import check_outputs, format_of_output
from agents.runs.messages import printable
from agents.runs.provenance import versions_in
from agents.select import page as selection
from agents.select.options import RESULT
from agents.tuning.page import page_of
from agents.tuning.record import Record, versions_of
from agents.tuning.report import summary
from qrl.common.errors import UsageError
from qrl.common.files import check_replaceable, from_json, write_atomically


def run_search_report(options: ReportOptions) -> int:
    """Write the page about a search and print its summary; return the exit code.

    Raises:
        UsageError: the record of the search is damaged, an option is one of runs, or the page cannot be written.
    """

    def page() -> tuple[str, Sequence[str]]:
        record = Record.read(options.run)
        return page_of(record, options.run, versions_of(options.run)), list(summary(options.run, record))

    return _report(options, "search", page)


def run_selection_report(options: ReportOptions) -> int:
    """Write the page about a selection and print its result; return the exit code.

    Raises:
        UsageError: best.json is damaged, an option is one of runs, or the page cannot be written.
    """

    def page() -> tuple[str, Sequence[str]]:
        file = options.run / RESULT
        record, versions = selection.read_record(file), versions_in(from_json(file))
        lines = [record.title, f"expected on new rows: {record.expectation}"]
        return selection.page_of(record, options.run, versions), lines

    return _report(options, "selection", page)


def _report(options: ReportOptions, what: str, page: Callable[[], tuple[str, Sequence[str]]]) -> int:
    """Check the options, write the page and print its lines."""
    path = options.run
    for name in ("at", "threshold"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name}: {path} is the folder of a {what}: this is an option for a run")
    if options.video:
        raise UsageError(f"--video: {path} is the folder of a {what}: this is an option for a run")
    out = path / "report.html" if options.out is None else options.out
    if options.out is None:
        check_replaceable(out)
    elif format_of_output(out) != "html":
        raise UsageError(f"{out}: the page about a {what} is HTML: give the suffix .html")
    else:
        check_outputs([out])
    html, lines = page()
    write_atomically(out, html.encode())
    print("\n".join(map(printable, lines)))
    print(f"\nwrote {printable(str(out))}")
    return 0
