"""Training runs that benchmarks are made of: gone on with where they stopped, taken as they are when done."""

import contextlib
import itertools
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.cli.evaluate import run_evaluation
from agents.cli.options import EvaluateOptions
from agents.core.agent import Learner, NetworkAgent
from agents.core.context import build
from agents.core.pytree import leaves
from agents.core.spec import Spec
from agents.experiment.api import load
from agents.experiment.evaluation import Curve
from agents.experiment.run import Run
from agents.experiment.start import run_resume, run_training
from agents.experiment.style import in_style
from agents.finetune import Finetune
from agents.maml import MAML
from agents.runs.folder import RunFolder
from agents.runs.saved_spec import spec_of
from benchmarks.shared.common import RESULTS, RUNS, set_up, write_result
from qrl.common.errors import TrainingError, UsageError
from qrl.common.files import from_json

Draw = Callable[[dict[str, Any], Path], None]
"""Draws all results of a benchmark into a file."""


@dataclass(frozen=True)
class Job:
    """One run."""

    env: str
    control: str
    seed: int
    spec: Spec
    folder: Path
    made_by: str
    """The benchmark's module."""


def check_part(benchmark: str, kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """End the benchmark unless there is a name, and something of every name."""
    names = tuple(names)
    if not names:
        sys.exit(f"{benchmark}: give at least one {kind}")
    for name in names:
        if name not in known:
            sys.exit(f"{benchmark}: there is no {kind} {name!r}; there are {', '.join(known)}")


@contextlib.contextmanager
def side_by_side(benchmark: str, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """`jobs` processes; each run has a fresh one, as it would have by itself. What fails there ends the benchmark."""
    set_up(threads=1)
    RUNS.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        try:
            yield pool
        except (UsageError, TrainingError) as error:
            sys.exit(f"{benchmark}: {error}")


def run_all(benchmark: str, runs: Iterable[Job], jobs: int, overwrite: bool) -> None:
    """All of these runs, as far as they are not done already, `jobs` at a time. What fails ends the benchmark."""
    with side_by_side(benchmark, jobs) as pool:
        train_all(pool, list(runs), overwrite)


def train_all(pool: ProcessPoolExecutor, jobs: list[Job], overwrite: bool) -> None:
    """All of these runs, as far as they are not done already."""
    for _ in pool.map(train, jobs, itertools.repeat(overwrite)):
        pass


def train(job: Job, overwrite: bool) -> None:
    """One run, or what is left of it. Its progress is in the file beside its folder."""
    set_up(threads=1)
    log = job.folder.with_name(job.folder.name + ".log")
    started = (job.folder / "config.json").exists()
    with log.open("a") as stream, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        if overwrite or not started:
            run_training(job.spec, job.folder, overwrite=overwrite, command=[job.made_by])
        elif spec_of(RunFolder.open(job.folder)) != job.spec:
            raise UsageError(f"{job.folder} is a run with other options; --overwrite trains it again")
        elif finished(job):
            return
        else:
            if isinstance(build(job.spec)[1], Learner):
                run_resume(job.folder)
            else:
                run_evaluation(EvaluateOptions(run=job.folder))


def finished(job: Job) -> bool:
    """Whether the run is trained to its end and its evaluation is the one that was asked for."""
    table, spec = job.folder / "evaluation.json", job.spec
    if not table.exists():
        return False
    distribution, agent = build(spec)
    iterations = RunFolder.open(job.folder).checkpoints.iterations()
    trained = iterations[-1:] == [spec.iterations] or not isinstance(agent, Learner)
    n_tasks = min(spec.eval_tasks, distribution.n_distinct("test") or spec.eval_tasks)
    curve = Curve.from_json(from_json(table))
    last = (spec.eval_steps, spec.eval_episodes)
    if curve.axis == "episodes":
        last = (spec.agent_config.episodes, 1)
    if curve.axis == "evaluations":
        last = (distribution.horizon, 0)
    found = (curve.n_tasks, curve.split, curve.seed, curve.x[-1], curve.episodes[1])
    return trained and found == (n_tasks, "test", 0, *last)


def outcome(job: Job) -> tuple[Run, Curve, dict[str, Any]]:
    """A finished run, its curve on test tasks, and what every result says of it."""
    run = load(job.folder)
    curve = Curve.from_json(from_json(job.folder / "evaluation.json"))
    # References that do not train have no checkpoint.
    saved = run.folder.checkpoints
    trained = saved.load().meta if saved.iterations() else {"seconds": 0.0, "env_steps": 0}
    policy = run.agent.policy if isinstance(run.agent, NetworkAgent) else None
    sizes = leaves(run.agent.meta.step_sizes) if isinstance(run.agent, MAML | Finetune) else []
    return (
        run,
        curve,
        {
            "seed": job.seed,
            "n_policy_parameters": 0 if policy is None else policy.n_parameters,
            "n_step_sizes": sum(size.numel() for size in sizes),
            "training_seconds": trained["seconds"],
            "env_steps": trained["env_steps"],
            "evaluation": {key: value for key, value in curve.to_json().items() if key != "per_task"},
            "spec": run.spec.to_json(),
            **{key: run.folder.config[key] for key in ("versions", "commit", "started")},
        },
    )


def publish(name: str, measured: dict[str, Any], known: Iterable[str], draw: Draw, *, draft: bool) -> None:
    """Write results/NAME.json, with what was measured in place of what was there of it, and draw docs/NAME.png again.

    Long benchmarks are made in parts: those not measured now stay as they are, and each seed's row says which commit
    made it. A draft, which has not all of a part, goes to results/runs by itself.

    Args:
        name: of the benchmark.
        measured: results by part.
        known: every part there can be, in the order of the file.
        draw: draws all results into a file.
        draft: whether parts are incomplete.
    """
    path = RESULTS / f"{name}.json"
    earlier = from_json(path)["results"] if path.exists() and not draft else {}
    everything = earlier | measured
    results = {part: everything[part] for part in known if part in everything}
    write_result(name, results, quick=draft)
    _draw_into(RUNS if draft else docs(), name, results, draw)


def redraw(name: str, draw: Draw) -> None:
    """Draw docs/NAME.png from results/NAME.json."""
    _draw_into(docs(), name, from_json(RESULTS / f"{name}.json")["results"], draw)


def docs() -> Path:
    """Folder of the pictures."""
    return RESULTS.parent.parent / "docs"


def _draw_into(folder: Path, name: str, results: dict[str, Any], draw: Draw) -> None:
    picture = folder / f"{name}.png"
    with in_style():
        draw(results, picture)
    print(f"wrote {picture}")
