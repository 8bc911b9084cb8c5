"""Commands `compare` and `report`: tables on the terminal, and files whose suffixes choose their formats."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.cli.compare_options import CompareOptions, ReportOptions
from agents.compare.outputs import check_outputs, format_of_output, study_files
from qrl.common.errors import UsageError
from qrl.common.files import check_replaceable, write_atomically
from qrl.common.trust import Trust

REMEDY = "add --trust if you trust all code that the runs name (in Python: trust=True)"
"""How to vouch for code that draws circuits or animations."""
WIDTH = 120
"""Width of tables that are not printed on a terminal [columns]."""


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
        checkpoint=options.checkpoint,
    )
    outputs: Sequence[Path] = options.out
    if not outputs and len(comparison.studies) == len(options.runs) == 1:
        outputs = study_files(comparison.studies[0])
        check_outputs(outputs)
    trust, moving = Trust(options.trust, remedy=REMEDY), None
    if options.video:
        _check_page(outputs)
        if len(comparison.sections) > 1:
            raise UsageError("--video: the groups of one environment are animated: give runs of one environment")
        firsts = [group.members[0].path for group in comparison.sections[0].groups]
        moving = _animation(firsts, trust, options)
    files = {path: comparison.encoded(path, trust, moving) for path in outputs}
    print(comparison.table(shutil.get_terminal_size((WIDTH, 0)).columns))
    _write(files)
    return 0


def run_report(options: ReportOptions) -> int:
    """Write the page about one run and print its tables; return the exit code.

    With `video`, also write the animation into the run folder, unless the page goes elsewhere.
    """
    from agents.compare.api import compare

    out = options.run / "report.html" if options.out is None else options.out
    animation = options.run / "adaptation.gif"
    if options.out is None:
        for path in (out, animation):
            check_replaceable(path)
    else:
        check_outputs([out])
    comparison = compare([options.run], at=options.at, split=options.split, checkpoint=options.checkpoint)
    moving = None
    if options.video:
        _check_page([out])
        moving = _animation([options.run], options.confirmed, options)
    files = {out: comparison.encoded(out, options.confirmed, moving)}
    if moving is not None and options.out is None:
        files[animation] = moving
    print(comparison.table(shutil.get_terminal_size((WIDTH, 0)).columns))
    _write(files)
    return 0


def _check_page(outputs: Sequence[Path]) -> None:
    if not any(format_of_output(path) == "html" for path in outputs):
        raise UsageError("--video: the animation is part of the page: add an --out file with the suffix .html")


def _animation(runs: Sequence[Path], trust: Trust, options: CompareOptions | ReportOptions) -> bytes:
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame, which renders some environments, needs no display then
    from agents.compare.page.animations import new_animation

    return new_animation(runs, trust, options.split, options.checkpoint)


def _write(files: Mapping[Path, bytes]) -> None:
    for path, data in files.items():
        write_atomically(path, data)
    if files:
        print(f"\nwrote {', '.join(map(str, files))}")
