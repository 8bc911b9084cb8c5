"""Training runs of the benchmarks: interrupted runs are resumed, finished runs are reused."""

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
"""Function that draws all results of a benchmark into a file."""


@dataclass(frozen=True)
class Job:
    """Training run of a benchmark."""

    env: str
    control: str
    seed: int
    spec: Spec
    folder: Path
    module: str
    """Module of the benchmark."""


def check_names(benchmark: str, kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Exit unless there is at least one name and all names are known."""
    names = tuple(names)
    if not names:
        sys.exit(f"{benchmark}: give at least one {kind}")
    for name in names:
        if name not in known:
            sys.exit(f"{benchmark}: unknown {kind} {name!r}; choose from {', '.join(known)}")


@contextlib.contextmanager
def process_pool(benchmark: str, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of `jobs` processes, a fresh process per run; exit with a message if a run fails."""
    set_up(threads=1)
    RUNS.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        try:
            yield pool
        except (UsageError, TrainingError) as error:
            sys.exit(f"{benchmark}: {error}")


def run_all(benchmark: str, runs: Iterable[Job], jobs: int, overwrite: bool) -> None:
    """Train all runs that are not finished yet, `jobs` at a time; exit with a message if one fails."""
    with process_pool(benchmark, jobs) as pool:
        train_all(pool, list(runs), overwrite)


def train_all(pool: ProcessPoolExecutor, jobs: list[Job], overwrite: bool) -> None:
    """Train all runs that are not finished yet."""
    for _ in pool.map(train, jobs, itertools.repeat(overwrite)):
        pass


def train(job: Job, overwrite: bool) -> None:
    """Train a run or resume it. Progress is logged to FOLDER.log next to its folder."""
    set_up(threads=1)
    log = job.folder.with_name(job.folder.name + ".log")
    started = (job.folder / "config.json").exists()
    with log.open("a") as stream, contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        if overwrite or not started:
            run_training(job.spec, job.folder, overwrite=overwrite, command=[job.module])
        elif spec_of(RunFolder.open(job.folder)) != job.spec:
            raise UsageError(f"{job.folder} is a run with different options; --overwrite retrains it")
        elif finished(job):
            return
        else:
            if isinstance(build(job.spec)[1], Learner):
                run_resume(job.folder)
            else:
                run_evaluation(EvaluateOptions(run=job.folder))


def finished(job: Job) -> bool:
    """Return whether training is complete and the evaluation matches the spec."""
    path, spec = job.folder / "evaluation.json", job.spec
    if not path.exists():
        return False
    distribution, agent = build(spec)
    iterations = RunFolder.open(job.folder).checkpoints.iterations()
    trained = iterations[-1:] == [spec.iterations] or not isinstance(agent, Learner)
    n_tasks = min(spec.eval_tasks, distribution.n_distinct("test") or spec.eval_tasks)
    curve = Curve.from_json(from_json(path))
    last = (spec.eval_steps, spec.eval_episodes)
    if curve.axis == "episodes":
        last = (spec.agent_config.episodes, 1)
    if curve.axis == "evaluations":
        last = (distribution.horizon, 0)
    found = (curve.n_tasks, curve.split, curve.seed, curve.x[-1], curve.episodes[1])
    return trained and found == (n_tasks, "test", 0, *last)


def outcome(job: Job) -> tuple[Run, Curve, dict[str, Any]]:
    """Return a finished run, its curve on test tasks, and its row of the result."""
    run = load(job.folder)
    curve = Curve.from_json(from_json(job.folder / "evaluation.json"))
    # Untrained references have no checkpoint.
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
    """Update the measured parts of results/NAME.json and redraw docs/NAME.png.

    Long benchmarks can be run in parts: parts that were not measured keep their earlier results, and the row of each
    seed records the commit that produced it. Drafts, whose parts are incomplete, go to results/runs instead.

    Args:
        name: name of the benchmark.
        measured: results by part.
        known: all possible parts, in the order of the file.
        draw: draws all results into a file.
        draft: whether parts are incomplete.
    """
    path = RESULTS / f"{name}.json"
    earlier = from_json(path)["results"] if path.exists() and not draft else {}
    merged = earlier | measured
    results = {part: merged[part] for part in known if part in merged}
    write_result(name, results, quick=draft)
    _draw_into(RUNS if draft else docs(), name, results, draw)


def redraw(name: str, draw: Draw) -> None:
    """Redraw docs/NAME.png from results/NAME.json."""
    _draw_into(docs(), name, from_json(RESULTS / f"{name}.json")["results"], draw)


def docs() -> Path:
    """Return the folder of the figures."""
    return RESULTS.parent.parent / "docs"


def _draw_into(folder: Path, name: str, results: dict[str, Any], draw: Draw) -> None:
    figure_path = folder / f"{name}.png"
    with in_style():
        draw(results, figure_path)
    print(f"wrote {figure_path}")
