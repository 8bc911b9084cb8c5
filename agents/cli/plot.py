"""Command `plot`: the adaptation curves of several runs in one plot."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from agents.cli.options import PlotOptions
from agents.experiment.evaluation import Curve
from agents.experiment.plot import check_comparable, plot
from agents.experiment.report import table_name
from agents.experiment.series import Against, distinct
from agents.experiment.style import format_of
from agents.runs.folder import RunFolder
from agents.runs.program import program
from qrl.common.errors import UsageError
from qrl.common.files import LARGEST_RESULT, MissingFileError, check_new_file, from_json, to_json

NOT_CONFIGURATION = ("seed", "threads", "checkpoint_every", "eval_tasks", "eval_steps", "eval_episodes")
"""Fields of a spec in which runs of one configuration may differ."""
MOST_DIFFERENCES = 3
"""Maximum number of options that a label names; beyond it, the label has the name of the run folder."""


@dataclass(frozen=True)
class EvaluatedRun:
    """A run folder, its training seed, what else defines its training, and its curve."""

    path: Path
    seed: object
    options: Mapping[str, object]
    """Options by their names on the command line, such as "agent.inner-steps"."""
    curve: Curve


def run_plot(options: PlotOptions) -> int:
    """Plot the adaptation curves of runs into one file, whose suffix chooses its format; return the exit code.

    Runs that differ only in their seed are one line: the mean over seeds with its 95 % t-interval.
    """
    format_of(options.out)
    check_new_file(options.out)
    runs = [_read(path, options.split) for path in options.runs]
    against = cast(Against, options.against.replace("-", "_"))
    check_comparable([run.curve for run in runs], against)
    plot(_lines(runs), options.out, against=against)
    print(f"wrote {options.out}")
    return 0


def _read(path: Path, split: str) -> EvaluatedRun:
    table = path / table_name(split)
    try:
        data = from_json(table, LARGEST_RESULT)
    except MissingFileError as error:
        command = f"{program()} evaluate {shlex.quote(str(path))} --split {split}"
        raise UsageError(f"{path} has no {table.name}: {command}") from error
    curve = Curve.from_json(data, str(table))
    folder = RunFolder.open(path)
    spec = {name: value for name, value in folder.spec.items() if name not in NOT_CONFIGURATION}
    # The file of a plug-in is part of the configuration, and so are the backend and the length of training of a curve.
    trained = {"iterations": curve.iteration, "evaluated": curve.backend, "origins": folder.config.get("origins", {})}
    return EvaluatedRun(path, folder.spec.get("seed"), dict(_flat(spec | trained)), curve)


def _flat(options: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in options.items():
        name = prefix + name.removesuffix("_config").replace("_", "-")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _lines(runs: Sequence[EvaluatedRun]) -> dict[str, tuple[Curve, ...]]:
    """Return the curves of each line by its label.

    Raises:
        UsageError: a configuration has the same seed twice.
    """
    groups: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        groups.setdefault(run.curve.label + to_json(dict(sorted(run.options.items()))), []).append(run)
    for group in groups.values():
        by_seed: dict[object, Path] = {}
        for run in group:
            if run.seed in by_seed:
                raise UsageError(
                    f"plot: {by_seed[run.seed]} and {run.path} are the same configuration and seed: give one of them"
                )
            by_seed[run.seed] = run.path
    labels = distinct([_label(group[0], [other[0] for other in groups.values()]) for group in groups.values()])
    return {label: tuple(run.curve for run in group) for label, group in zip(labels, groups.values(), strict=True)}


def _label(run: EvaluatedRun, configurations: Sequence[EvaluatedRun]) -> str:
    """Return the curve's label, with the options in which configurations of this label differ."""
    same = [other.options for other in configurations if other.curve.label == run.curve.label]
    names = dict.fromkeys(name for options in same for name in options)
    differing = [name for name in names if any(options.get(name) != run.options.get(name) for options in same)]
    if not differing:
        return run.curve.label
    if len(differing) > MOST_DIFFERENCES:
        return f"{run.curve.label}, {run.path.name}"
    return f"{run.curve.label}, {', '.join(f'{name} {run.options.get(name)}' for name in differing)}"
