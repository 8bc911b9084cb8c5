"""Command `plot`: the adaptation curves of several runs in one plot."""

from typing import cast

from agents.cli.options import PlotOptions
from agents.compare.groups import full_labels, group_runs
from agents.compare.runs import read_run
from agents.experiment.plot import check_comparable, check_labels, plot
from agents.experiment.series import Against
from agents.runs.messages import printable
from qrl.common.files import check_new_file
from qrl.common.pictures import format_of


def run_plot(options: PlotOptions) -> int:
    """Plot the adaptation curves of runs into one file, whose suffix chooses its format; return the exit code.

    Runs that differ only in their seed are one line: the mean over seeds with its 95 % t-interval.
    """
    format_of(options.out)
    check_new_file(options.out)
    runs = [read_run(path, options.split) for path in options.runs]
    against = cast(Against, options.against.replace("-", "_"))
    check_comparable([run.curve for run in runs], against)
    groups = group_runs("plot", runs)
    labels = options.labels or tuple(full_labels(groups))
    check_labels(labels, len(groups))
    lines = {label: tuple(run.curve for run in group.runs) for label, group in zip(labels, groups, strict=True)}
    plot(lines, options.out, against=against)
    print(printable(f"wrote {options.out}"))
    return 0
