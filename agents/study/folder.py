"""Study folder: the run folders of a study, and study.json, which lists them.

    study.json     the runs by name, each with the words of its command, and the provenance of the last start; sealed,
                   with a copy in .study-copy.json
    NAME/          run folder of a run, as `train` writes it
    NAME.log       output of its processes
    comparison.*   what `compare` writes

Nothing in study.json is executed: it is the record of what a sweep has planned.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from agents.compare.outputs import study_files
from agents.experiment.evaluation import Curve
from agents.experiment.weights import KEY, saved_origin
from agents.runs.folder import RunFolder
from agents.runs.history import earlier_rates
from agents.runs.locks import locked
from agents.runs.provenance import provenance
from agents.runs.replacing import check_target
from agents.runs.saved_spec import spec_of
from agents.runs.seal import STUDY, digest, planned_runs, sealed, write_sealed
from agents.study.plan import PlannedRun
from qrl.common.errors import UsageError
from qrl.common.files import LARGEST_RESULT, from_json, kind_of, path_error, to_json
from qrl.common.leftovers import sweep
from qrl.common.trust import Trust

Stage = Literal["missing", "interrupted", "complete", "other"]
"""Stage of a planned run in its folder; "other": the folder holds a run of another configuration."""


class StudyFolder:
    """Folder of a study, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, planned: Sequence[PlannedRun]) -> None:
        """Check that a study can be started or continued in this folder, without changing any file.

        Raises:
            UsageError: the path is not a folder, it holds something that is not part of the study, or its study.json is
                damaged or was edited.
        """
        if kind_of(self.path, follow_links=False) == "missing":
            return
        if kind_of(self.path) != "folder":
            raise UsageError(f"{self.path} exists and is not a folder: give another --out")
        try:
            names = {entry.name for entry in self.path.iterdir()}
        except OSError as error:
            raise path_error(self.path, error) from error
        if STUDY.file in names:
            planned_runs(self.path)
            return
        own = {run.name for run in planned} | {f"{run.name}.log" for run in planned} | {".lock", STUDY.copy}
        own |= {path.name for path in study_files(self.path)}
        if foreign := sorted(name for name in names - own if not name.endswith(".tmp")):
            raise UsageError(f"{self.path} is no study folder and holds {foreign[0]!r}: give another --out")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Create the folder if it is missing, and lock it for this process.

        Raises:
            UsageError: another process holds the lock, or the operating system refuses it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise path_error(self.path, error) from error
        with locked(self.path):
            sweep(self.path)
            yield

    def record(self, planned: Sequence[PlannedRun], command: Sequence[str]) -> None:
        """Add the planned runs to those recorded in study.json.

        Raises:
            UsageError: the operating system refuses to write.
        """
        known = planned_runs(self.path) if kind_of(self.path / STUDY.file) == "file" else {}
        runs = known | {run.name: list(run.words) for run in planned}
        if runs != known:
            write_sealed(self.path, sealed({**provenance(command), "runs": runs}, STUDY), STUDY)

    def adopt(self, planned: Sequence[PlannedRun]) -> tuple[PlannedRun, ...]:
        """Return the planned runs, each with the name of the recorded run that has the same spec, if there is one.

        A run of an axis of the grid that is new may so be one that was trained before the axis was there.
        """
        if kind_of(self.path / STUDY.file) != "file":
            return tuple(planned)
        names = {}
        for name in planned_runs(self.path):
            with suppress(UsageError):  # One that is planned is refused later; others do not matter.
                folder = RunFolder.open(self.path / name)
                if not earlier_rates(folder.config):
                    names[digest([folder.spec, folder.config.get(KEY)])] = name
        return tuple(replace(run, name=names.get(run.key, run.name)) for run in planned)

    def stage(self, run: PlannedRun) -> Stage:
        """Return the stage of a planned run.

        Raises:
            UsageError: the folder of this name is no run folder, or its configuration is damaged.
        """
        path = self.path / run.name
        if kind_of(path, follow_links=False) == "missing" or _is_incomplete_start(path):
            return "missing"
        folder = RunFolder.open(path)
        if difference(folder, run):
            return "other"
        evaluated = evaluated_at(path)
        is_complete = evaluated == run.iterations or (evaluated is not None and folder.ended_early(evaluated))
        return "complete" if is_complete else "interrupted"

    def lacks(self, run: PlannedRun) -> str:
        """Return what is missing of a complete run that has trained, in words; "" if nothing is."""
        if not run.trains:
            return ""
        path = self.path / run.name
        folder, last = RunFolder.open(path), evaluated_at(path) or 0
        try:
            saved, rows = folder.checkpoints.iterations(), folder.metrics.last_iteration()
        except UsageError as error:
            return str(error)
        if not saved or saved[-1] < last:
            return f"the checkpoint of iteration {last} is missing"
        return "" if rows >= last else f"metrics.jsonl ends at iteration {rows}, not at {last}"


def difference(folder: RunFolder, run: PlannedRun) -> str:
    """Return the first option in which the run in a folder differs from a planned one, in words; "" if they are equal.

    Raises:
        UsageError: the configuration of the run is invalid.
    """
    saved, wanted = folder.spec, run.spec.to_json()
    if saved_origin(folder) != run.origin:
        return "other initial weights"
    if rates := earlier_rates(folder.config):
        return f"a resume has changed {', '.join(rates)}"
    if digest(saved) == digest(wanted):
        return ""
    for name in ("env", "agent", "model"):
        if saved.get(name) != wanted[name]:
            return f"{name} {saved.get(name)}, now {wanted[name]}"
    # The plan has loaded this code already. Missing options of a run of an earlier version have their defaults.
    found = spec_of(folder, trust=Trust(everything=True)).to_json()
    return next(differences(found, wanted), "")


def evaluated_at(path: Path) -> int | None:
    """Return the iteration after which the run in a folder was evaluated; None without an evaluation."""
    try:
        curve = Curve.from_json(from_json(path / "evaluation.json", LARGEST_RESULT))
        pictured = kind_of(path / "adaptation.png") == "file"  # written last
    except UsageError:
        return None
    return curve.iteration if pictured else None


def differences(found: Mapping[str, object], wanted: Mapping[str, object]) -> Iterator[str]:
    """Yield, in words, each entry of nested JSON objects whose value is not the wanted one."""
    for name, value in wanted.items():
        then = found.get(name)
        if isinstance(value, Mapping) and isinstance(then, Mapping):
            yield from (f"{name}.{each}" for each in differences(then, value))
        elif to_json(then) != to_json(value):
            yield f"{name} {then}, now {value}"


def _is_incomplete_start(path: Path) -> bool:
    """Return whether a folder holds only what a start leaves that failed before it wrote the configuration."""
    try:
        check_target(path)
    except UsageError:
        return False
    return True
