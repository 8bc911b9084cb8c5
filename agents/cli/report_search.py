"""Command `report` on the folder of a search: the page about it."""

from agents.cli.compare_options import ReportOptions
from agents.compare.outputs import check_outputs, format_of_output
from agents.runs.messages import printable
from agents.tuning.page import page_of
from agents.tuning.record import Record, versions_of
from agents.tuning.report import summary
from qrl.common.errors import UsageError
from qrl.common.files import check_replaceable, write_atomically


def run_search_report(options: ReportOptions) -> int:
    """Write the page about a search and print its summary; return the exit code.

    Raises:
        UsageError: the record of the search is damaged, an option is one of runs, or the page cannot be written.
    """
    path = options.run
    for name in ("at", "threshold"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name}: {path} is the folder of a search: this is an option for a run")
    if options.video:
        raise UsageError(f"--video: {path} is the folder of a search: this is an option for a run")
    out = path / "report.html" if options.out is None else options.out
    if options.out is None:
        check_replaceable(out)
    elif format_of_output(out) != "html":
        raise UsageError(f"{out}: the page about a search is HTML: give the suffix .html")
    else:
        check_outputs([out])
    record = Record.read(path)
    write_atomically(out, page_of(record, path, versions_of(path)).encode())
    print("\n".join(map(printable, summary(path, record))))
    print(f"\nwrote {printable(str(out))}")
    return 0
