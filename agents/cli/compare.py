"""Commands `compare` and `report`: tables on the terminal, and files whose suffixes choose their formats."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from agents.cli.options import CompareOptions, ReportOptions
from agents.compare.outputs import check_outputs, study_files
from qrl.common.files import check_replaceable, write_atomically


def run_compare(options: CompareOptions) -> int:
    """Compare runs, print the tables, and write files; return the exit code.

    Without `out`, the comparison of a single study is written into its folder.
    """
    from agents.compare.api import compare

    check_outputs(options.out)
    comparison = compare(
        options.runs,
        options.reference,
        at=options.at,
        epsilon=options.epsilon,
        delta=options.delta,
        split=options.split,
    )
    outputs: Sequence[Path] = options.out
    if not outputs and len(comparison.studies) == len(options.runs) == 1:
        outputs = study_files(comparison.studies[0])
        check_outputs(outputs)
    files = {path: comparison.encoded(path) for path in outputs}
    print(comparison.table(shutil.get_terminal_size((120, 0)).columns))
    for path, data in files.items():
        write_atomically(path, data)
    if files:
        print("\nwrote " + ", ".join(map(str, files)))
    return 0


def run_report(options: ReportOptions) -> int:
    """Write the page about one run and print its tables; return the exit code."""
    from agents.compare.api import compare

    out = options.run / "report.html" if options.out is None else options.out
    if options.out is None:
        check_replaceable(out)
    else:
        check_outputs([out])
    comparison = compare([options.run], at=options.at, split=options.split)
    data = comparison.encoded(out)
    print(comparison.table(shutil.get_terminal_size((120, 0)).columns))
    write_atomically(out, data)
    print(f"\nwrote {out}")
    return 0
