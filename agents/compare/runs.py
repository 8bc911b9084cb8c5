"""Evaluated runs, and the run folders of studies. Reading executes nothing: names of plug-ins are labels here."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.compare.completeness import missing_evaluation, shortfall
from agents.compare.configuration import options_of
from agents.core.spec import Spec
from agents.experiment.evaluation import Curve
from agents.experiment.report import table_name
from agents.experiment.run import Which
from agents.runs.folder import RunFolder
from agents.runs.program import program
from agents.runs.seal import CONFIG, STUDY, planned_runs
from qrl.common.checks import check_seed
from qrl.common.errors import UsageError
from qrl.common.files import LARGEST_RESULT, MissingFileError, from_json, kind_of, path_error


@dataclass(frozen=True)
class EvaluatedRun:
    """A run folder, its training seed, what else defines its training, and its curve."""

    folder: RunFolder
    seed: int
    options: Mapping[str, object]
    """Options by their names on the command line, such as "agent.inner-steps"."""
    curve: Curve
    shortfall: str
    """How far training went if it has not come to its end; empty if it has."""

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

    @property
    def of_one_study(self) -> bool:
        """Whether all runs are in the folder of one study."""
        folders = {run.resolve().parent for run in self.runs}
        return len(folders) == 1 and kind_of(folders.pop() / STUDY.file) == "file"


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
            notes += [f"{run} is left out: it {_why_missing(run, split, checkpoint)}" for run in waiting]
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
        raise UsageError(f"{path} {_why_missing(path, split, checkpoint)}") from error
    curve = Curve.from_json(data, str(table))
    is_best = checkpoint == "best"
    options = options_of(folder, curve.iteration, curve.backend, best=is_best)
    done = folder.metrics.last_iteration() if is_best else curve.iteration
    short = shortfall(folder, done) if done else ""  # An agent that does not train has no iterations.
    return EvaluatedRun(folder, _seed_of(folder), options, curve, short)


def _seed_of(folder: RunFolder) -> int:
    """Return the training seed of a run. Raises UsageError if it is none."""
    seed = folder.spec.get("seed", Spec.seed)
    check_seed(f"{folder.path / CONFIG}: seed", seed)
    assert isinstance(seed, int)
    return seed


def _why_missing(path: Path, split: str, checkpoint: Which) -> str:
    """Return why a run lacks an evaluation, and how to make it. Raises UsageError for a damaged run folder."""
    command = f"{program()} evaluate {shlex.quote(str(path))} --split {split}"
    command += "" if checkpoint == "last" else f" --checkpoint {checkpoint}"
    return missing_evaluation(RunFolder.open(path), table_name(split, checkpoint=checkpoint), command)


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
