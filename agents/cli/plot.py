"""Command `plot`: the adaptation curves of several runs in one plot."""

import shlex

from agents.cli.options import PlotOptions
from agents.experiment.evaluation import Curve
from agents.experiment.plot import plot
from agents.experiment.report import table_name
from agents.runs.program import program
from qrl.common.errors import UsageError
from qrl.common.files import check_new_file, from_json


def run_plot(options: PlotOptions) -> int:
    """Plot the adaptation curves of several runs into one PNG file; return the exit code."""
    if options.out.suffix != ".png":
        raise UsageError(f"{options.out}: the name of the --out file must end in .png")
    check_new_file(options.out)
    curves = []
    for path in options.runs:
        table = path / table_name(options.split)
        if not table.exists():
            command = f"{program()} evaluate {shlex.quote(str(path))} --split {options.split}"
            raise UsageError(f"{path} has no {table.name}: {command}")
        try:
            curves.append(Curve.from_json(from_json(table)))
        except UsageError as error:
            raise UsageError(f"{table}: not the evaluation of a run") from error
    plot(curves, options.out, against=options.against.replace("-", "_"))
    print(f"wrote {options.out}")
    return 0
