"""Evaluated runs, and the run folders of studies. Reading executes nothing: names of plug-ins are labels here."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.experiment.evaluation import Curve
from agents.experiment.report import table_name
from agents.experiment.run import Which
from agents.experiment.weights import saved_origin
from agents.runs.folder import RunFolder
from agents.runs.history import earlier_rates
from agents.runs.program import program
from agents.runs.seal import CONFIG, STUDY, planned_runs
from qrl.common.errors import UsageError
from qrl.common.files import LARGEST_RESULT, MissingFileError, from_json, kind_of, path_error

NOT_CONFIGURATION = (
    *("seed", "threads", "checkpoint_every", "eval_tasks", "eval_steps", "eval_episodes"),
    *("validate_every", "validate_tasks"),
)
"""Fields of a spec in which runs of one configuration may differ."""


@dataclass(frozen=True)
class EvaluatedRun:
    """A run folder, its training seed, what else defines its training, and its curve."""

    folder: RunFolder
    seed: object
    options: Mapping[str, object]
    """Options by their names on the command line, such as "agent.inner-steps"."""
    curve: Curve

    @property
    def path(self) -> Path:
        """Path of the run folder."""
        return self.folder.path


@dataclass(frozen=True)
class FoundRuns:
    """Run folders below the given paths."""

    runs: tuple[Path, ...]
    studies: tuple[Path, ...]
    """Given paths that are folders of run folders."""
    notes: tuple[str, ...]
    """Runs of studies that are left out because they are incomplete: one line each."""


def find_runs(paths: Sequence[Path], split: str, checkpoint: Which = "last") -> FoundRuns:
    """Return the run folders among `paths` and directly inside the studies among them, each once.

    A run of a study that has no evaluation yet is left out, with a note.

    Raises:
        UsageError: there is no path, or a path is neither a run folder nor a folder of run folders; or no run of a
            study has been evaluated.
    """
    if not paths:
        raise UsageError("compare: give at least one run folder or study")
    runs: dict[Path, Path] = {}
    studies, notes = [], []
    for path in paths:
        inside = [path] if _is_run(path) else _runs_inside(path)
        if inside != [path]:
            studies.append(path)
            table = table_name(split, checkpoint=checkpoint)
            waiting = [run for run in inside if kind_of(run / table) == "missing"]
            inside = [run for run in inside if run not in waiting]
            if not inside:
                raise UsageError(f"{path}: none of its {len(waiting)} runs has been evaluated: no {table}")
            notes += [f"{run} is left out: it has no {table} yet" for run in waiting]
            known = {run.name for run in [*inside, *waiting]}
            if absent := [name for name in _planned(path) if name not in known]:
                notes.append(f"{path}: {len(absent)} planned runs are missing: {absent[0]}{', …' * (len(absent) > 1)}")
        runs |= {run.resolve(): run for run in inside if run.resolve() not in runs}
    return FoundRuns(tuple(runs.values()), tuple(studies), tuple(notes))


def read_run(path: Path, split: str, checkpoint: Which = "last") -> EvaluatedRun:
    """Read a run folder and the evaluation of its last or its best checkpoint on a split.

    Raises:
        UsageError: the path is not that of a run folder; the evaluation is missing, and the message has the command
            that makes it; or it, or the entry of the initial weights in the configuration, is damaged.
    """
    folder = RunFolder.open(path)
    table = path / table_name(split, checkpoint=checkpoint)
    try:
        data = from_json(table, LARGEST_RESULT)
    except MissingFileError as error:
        command = f"{program()} evaluate {shlex.quote(str(path))} --split {split}"
        command += "" if checkpoint == "last" else f" --checkpoint {checkpoint}"
        raise UsageError(f"{path} has no {table.name}: {command}") from error
    curve = Curve.from_json(data, str(table))
    spec = {name: value for name, value in folder.spec.items() if name not in NOT_CONFIGURATION}
    # The file of a plug-in is part of the configuration, and so are the backend and the length of training of a curve.
    # Seeds that end early by their patience, or have their best checkpoint after different numbers of iterations, are
    # still of one configuration.
    varies = folder.spec.get("patience") or checkpoint == "best"
    planned = folder.spec.get("iterations") if varies else curve.iteration
    trained = {"iterations": planned, "evaluated": curve.backend, "origins": folder.config.get("origins", {})}
    options = dict(_flat(spec | _start(folder) | trained)) | dict(_changed(earlier_rates(folder.config)))
    return EvaluatedRun(folder, folder.spec.get("seed"), options, curve)


def _start(folder: RunFolder) -> dict[str, object]:
    """Return from which trained weights a run starts, as an option; nothing if it starts from random ones.

    Runs that start from the seeds of one group of a study, each from another one, are of one configuration.
    """
    if (origin := saved_origin(folder)) is None:
        return {}
    run = re.sub(r"-seed\d+$", "", origin.path)
    return {"from": f"{run}/best" if origin.checkpoint == "best" else run}


def _changed(rates: Mapping[str, Sequence[tuple[int, object]]]) -> Iterator[tuple[str, object]]:
    """Yield the earlier values of learning rates that a resume has changed, as options."""
    for name, earlier in rates.items():
        option = name.replace("_config.", ".").replace("_", "-")
        yield f"{option} before", ", ".join(f"{value} until iteration {iteration}" for iteration, value in earlier)


def _is_run(path: Path) -> bool:
    """Return whether a path is that of a run folder. Raises UsageError for a path that is no folder."""
    kind = kind_of(path)
    if kind == "missing":
        raise UsageError(f"{path}: no such run folder or study")
    if kind != "folder":
        raise UsageError(f"{path} is not a folder: a run folder or a study is expected")
    return kind_of(path / CONFIG) != "missing"


def _runs_inside(path: Path) -> list[Path]:
    """Return the run folders directly inside a folder: in the order of its study.json, then of their names.

    Raises:
        UsageError: there is none, or study.json is damaged.
    """
    try:
        inside = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise path_error(path, error) from error
    runs = [entry for entry in inside if kind_of(entry) == "folder" and kind_of(entry / CONFIG) == "file"]
    if not runs:
        raise UsageError(f"{path} is neither a run folder nor a study: there is no {CONFIG} in it, nor a run inside")
    order = {name: place for place, name in enumerate(_planned(path))}
    return sorted(runs, key=lambda run: order.get(run.name, len(order)))


def _planned(study: Path) -> list[str]:
    """Return the names of the runs that a study has planned; empty for a folder of runs without study.json.

    Raises:
        UsageError: study.json is damaged or was edited.
    """
    if kind_of(study / STUDY.file) == "missing":
        return []
    return list(planned_runs(study))


def _flat(options: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in options.items():
        name = prefix + name.removesuffix("_config").replace("_", "-")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value
