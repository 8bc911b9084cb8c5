"""Study: a folder of runs, trained by a sweep."""

import shlex
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents.core.registry import REGISTRIES
from agents.runs.folder import RunFolder
from agents.runs.interrupt import Interrupted
from agents.runs.messages import tell, warn
from agents.runs.seal import planned_runs
from agents.study.display import Display
from agents.study.executor import Executor, Job
from agents.study.folder import Stage, StudyFolder, difference
from agents.study.plan import Plan, PlannedRun, TrainCommand, make_plan
from agents.study.progress import RunProgress
from agents.study.request import Request
from agents.study.schedule import failure, run_jobs
from qrl.common.errors import UsageError

if TYPE_CHECKING:
    from agents.experiment.run import Run


@dataclass(frozen=True)
class Study:
    """Runs of a sweep, in the order of their plan."""

    path: Path
    """Folder of the study."""
    names: tuple[str, ...]
    """Names of the run folders."""
    failed: tuple[str, ...] = ()
    """A line about each run that failed."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Run folders, as `agents.load` and `agents.plot` take them."""
        return tuple(self.path / name for name in self.names)

    @property
    def has_others(self) -> bool:
        """Whether the folder holds runs of earlier sweeps besides these."""
        return bool(planned_runs(self.path).keys() - set(self.names))

    def runs(self, *, trust: bool = False) -> "list[Run]":
        """Load all runs.

        Args:
            trust: execute all code outside this library that the runs name; see `agents.load`.

        Raises:
            UsageError: a run has no usable checkpoint, or names code that is not trusted.
        """
        from agents.experiment.api import load  # Local: it imports Matplotlib.

        return [load(path, trust=trust) for path in self.paths]


def run_study(
    request: Request,
    train: TrainCommand,
    place: AbstractContextManager[Executor],
    *,
    command: Sequence[str],
    again: str,
    quiet: bool = False,
) -> Study:
    """Train the runs of a request that its folder lacks. All checks come before any file is written.

    Args:
        request: request of the study.
        train: command line of `train`.
        place: where the runs are trained; entered once all checks have passed.
        command: command line, recorded in study.json.
        again: how to continue after an interruption, in words.
        quiet: show no progress.

    Raises:
        UsageError: an option is invalid, a run would not start, the folder holds something else, or the place refuses.
        Interrupted: after a signal, once the running runs have saved their checkpoints.
    """
    plan = make_plan(request, train)
    if (out := request.out or plan.default_out) is None:
        raise UsageError("a study of several plug-ins needs a folder: give --out, such as --out studies/first")
    folder = StudyFolder(out)
    folder.check(plan.runs)
    _check_runs(folder, plan, request)
    with place as executor, folder.lock():
        folder.check(plan.runs)
        runs = _check_runs(folder, plan, request)  # Again: another process may have been here meanwhile.
        folder.record(runs, command)
        for note in plan.notes:
            tell(note)
        return _train(folder, runs, request, executor, again, quiet=quiet)


def _check_runs(folder: StudyFolder, plan: Plan, request: Request) -> tuple[PlannedRun, ...]:
    """Return the planned runs with their names in the folder. Raise UsageError for a different run in a run's place."""
    runs = folder.adopt(plan.runs)
    for run in runs:
        if folder.stage(run) == "other" and not request.overwrite:
            path = folder.path / run.name
            change = difference(RunFolder.open(path), run)
            raise UsageError(f"{path} has another configuration ({change}): give another --out, or --overwrite")
    return runs


def _train(
    folder: StudyFolder, runs: Sequence[PlannedRun], request: Request, executor: Executor, again: str, *, quiet: bool
) -> Study:
    """Train what is missing; return the study."""
    progress: list[RunProgress] = []
    waiting: list[tuple[RunProgress, Job]] = []

    def next_job(each: RunProgress) -> Job | None:
        """Return the job that trains a run, or continues it; None if it is complete."""
        each.read()
        run, stage = each.run, folder.stage(each.run)
        if stage == "complete":
            return None
        log, gpus = folder.path / f"{run.name}.log", int(run.spec.device == "cuda")
        return Job(_words(run, each.path, stage, trust=request.trust), log, run.spec.threads, gpus)

    for run in runs:
        path = folder.path / run.name
        each = RunProgress(run, path, "waiting")
        progress.append(each)
        if (job := next_job(each)) is not None:
            waiting.append((each, job))
        else:
            each.state = "done"
            if missing := folder.lacks(run):
                anew = (
                    f"--overwrite keeps it as it is: to train it anew, delete {shlex.quote(str(path))} and start again"
                )
                warn(f"{path} is complete, but {missing}; {anew}")
        each.read()
    if waiting and len(waiting) < len(runs):
        tell(f"{folder.path}: {len(runs) - len(waiting)} of {len(runs)} runs are complete")
    jobs = request.jobs or executor.room
    display = Display(progress, jobs, quiet=quiet)
    try:
        run_jobs(waiting, executor, jobs, display, next_job)
    except Interrupted as stop:
        tell(f"stopped; to continue: {again}")
        stop.told = True
        raise
    failed = tuple(failure(each, job.log) for each, job in waiting if each.state == "failed")
    return Study(folder.path, tuple(run.name for run in runs), failed)


def _words(run: PlannedRun, path: Path, stage: Stage, *, trust: bool) -> tuple[str, ...]:
    """Return the words of the job that trains a run, or resumes it: an agent that does not learn starts again."""
    if stage != "interrupted" or not run.trains:
        return ("train", *run.words, "--out", str(path), *(() if stage == "missing" else ("--overwrite",)))
    # Naming the plug-ins vouches for their code, as the user has done to the sweep.
    names = {role: getattr(run.spec, role) for role in REGISTRIES}
    named = (word for role, name in names.items() for word in (f"--{role}", name))
    track = ("--track", *run.track) if run.track else ()
    return ("resume", str(path), *named, *track, *(("--trust",) if trust else ()))
