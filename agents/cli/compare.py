"""Commands `compare` and `report`: tables on the terminal, and files whose suffixes choose their formats."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.cli.compare_options import CompareOptions, ReportOptions
from agents.compare.outputs import check_outputs, format_of_output, study_files
from agents.runs.messages import printable, warn
from qrl.common.errors import UsageError
from qrl.common.files import check_new_file, check_replaceable, write_atomically
from qrl.common.leftovers import temporary_path
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
        threshold=options.threshold,
        split=options.split,
        checkpoint=options.checkpoint,
    )
    is_study = not options.out and len(comparison.studies) == len(options.runs) == 1
    outputs = _study_outputs(comparison.studies[0]) if is_study else options.out
    trust, moving = Trust(options.trust, remedy=REMEDY), None
    if options.video:
        _check_page(outputs)
        if len(comparison.sections) > 1:
            raise UsageError("--video: the groups of one task setting are animated: give runs of one")
        firsts = [group.members[0].path for group in comparison.sections[0].groups]
        moving = _animation(firsts, trust, options)
    files = {path: comparison.encoded(path, trust, moving) for path in outputs}
    print(comparison.table(shutil.get_terminal_size((WIDTH, 0)).columns))
    _write(files)
    if not outputs and is_study:
        warn(f"{options.runs[0]} cannot be written: the files of the comparison are missing; give --out")
    return 0


def _study_outputs(study: Path) -> tuple[Path, ...]:
    """Return the files to write into a study; none if nothing can be created there.

    Raises:
        UsageError: a file of another origin is in the place of one.
    """
    outputs = study_files(study)
    try:
        check_new_file(temporary_path(outputs[0]))
    except UsageError:
        return ()
    check_outputs(outputs)
    return outputs


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
    comparison = compare(
        [options.run], at=options.at, threshold=options.threshold, split=options.split, checkpoint=options.checkpoint
    )
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
        print(f"\nwrote {printable(', '.join(map(str, files)))}")
