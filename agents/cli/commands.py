"""The commands of the command line; each returns an exit code."""

import io
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.core.agent import InContextAgent, Learner, NetworkAgent, is_learner
from agents.core.context import backend_of, build
from agents.core.spec import Spec
from agents.experiment import export as circuits
from agents.experiment import robustness
from agents.experiment.evaluation import Curve, check_evaluation
from agents.experiment.loop import Training
from agents.experiment.loop import train as train_loop
from agents.experiment.plot import plot
from agents.experiment.report import how_many, report, table_name, training_rows, warn
from agents.experiment.run import Run
from agents.experiment.video import animation, check_pictures
from agents.runs import origins
from agents.runs.folder import RunFolder
from agents.runs.interrupt import Interrupted, stopping_at_once
from agents.runs.progress import Progress
from agents.runs.provenance import provenance
from envs.core.check import check_before_training
from qrl.backends import openqasm as export
from qrl.backends.backend import Backend
from qrl.common.errors import UsageError, suggest
from qrl.common.files import check_new_file, from_json, to_json, write_folder, write_whole
from qrl.noise.model import Noise, embedded


def run_training(spec: Spec, out: Path, *, overwrite: bool, command: Sequence[str], quiet: bool = False) -> int:
    """Make the run folder, train, evaluate. Nothing is written before everything that can be checked has been."""
    spec = Spec.from_json(spec.to_json())  # As it will be read back: options of a wrong type are found now.
    spec = replace(spec, noise=embedded(spec.noise))  # A run can do without the file of its calibration.
    distribution, agent = build(spec)
    check_evaluation(agent, distribution, spec.eval_episodes)
    training = Training(spec, distribution, agent) if isinstance(agent, Learner) else None
    if training is not None and origins.of(spec)["env"]["from"] != "this library":  # those are checked by the tests
        check_before_training(distribution)
    if idle := _without_effect(agent, command):
        warn(f"without effect: {', '.join(idle)}: agent {spec.agent} makes no use of it")
    config = {"spec": spec.to_json(), "origins": origins.of(spec), **provenance(command)}
    folder = RunFolder.create(out, config, overwrite=overwrite)
    with folder.lock():
        return _finish(folder, training, quiet)


def _without_effect(agent: Any, command: Sequence[str]) -> list[str]:
    """Options of the command line that this agent makes no use of."""
    given = [word.partition("=")[0] for word in command if word.startswith("--")]
    unused = {"--iterations"} if not is_learner(agent) else set()
    unused |= {"--eval-steps"} if isinstance(agent, InContextAgent) else set()
    roles = () if isinstance(agent, NetworkAgent) else ("--model", "--policy")
    return [name for name in given if name in unused or name.partition(".")[0] in roles]


def run_resume(path: Path, iterations: int | None = None) -> int:
    """Continue a run from its last checkpoint, to the end or to a new number of iterations."""
    folder = RunFolder.open(path)
    with folder.lock():
        for change in origins.changes(folder):
            warn(change)
        spec = Spec.from_json(folder.config["spec"], where=str(path / "config.json"))
        distribution, agent = build(spec)
        if not isinstance(agent, Learner):
            raise UsageError(f"{path}: agent {spec.agent} does not train; there is nothing to resume")
        checkpoint = folder.load() if folder.checkpoints() else None
        done = 0 if checkpoint is None else checkpoint.iteration
        if iterations is not None:
            if iterations < done:
                raise UsageError(f"{path}: --iterations {iterations} is less than the {done} done")
            config = folder.config | {"spec": folder.config["spec"] | {"iterations": iterations}}
            folder.update_config(config)
            spec = Spec.from_json(config["spec"])
        training = Training(spec, distribution, agent)
        if checkpoint is None:
            print(f"note: {path} ended before its first checkpoint; starting from iteration 0", file=sys.stderr)
        else:
            training.load(checkpoint)
            for problem in checkpoint.problems:
                warn(f"{problem}; going on from iteration {done}")
        for problem in folder.trim_metrics(done):
            warn(f"{problem}, dropped")
        return _finish(folder, training, quiet=False)


def run_evaluation(
    path: Path,
    tasks: int = 100,
    steps: int | None = None,
    episodes: int | None = None,
    split: str = "test",
    seed: int = 0,
    out: Path | None = None,
    backend: str | None = None,
    shots: int | None = None,
    noise: Sequence[str] | None = None,
    video: bool = False,
) -> int:
    """Evaluate a run and write evaluation.json and adaptation.png, or the JSON to `out` and the picture beside it.

    `backend`, `shots` and `noise`: where circuits run, by default where they did in training; otherwise, the names of
    the files say it. `video`: an animation of the first task of the split, too, with the picture's name and `.gif`.
    """
    if out is not None:
        if out.suffix != ".json":
            raise UsageError(f"{out}: the name of the --out file must end in .json")
        for suffix in (".json", ".png", *([".gif"] if video else [])):
            check_new_file(out.with_suffix(suffix))

    def work() -> None:
        run = Run(RunFolder.open(path))
        for problem in (*run.problems, *run.changes):
            warn(problem)
        if is_learner(run.agent) and run.iteration < run.spec.iterations:
            warn(f"{path}: trained for {run.iteration} of {run.spec.iterations} iterations so far")
        if video:
            check_pictures(run.distribution, run.agent)
        own = run.spec
        used = Backend(
            own.backend if backend is None else backend,
            own.shots if shots is None else shots,
            Noise.parse(own.noise if noise is None else noise),
        )
        table = path / table_name(split, "" if used == backend_of(own) else used.label)
        picture = table.with_name(table.stem.replace("evaluation", "adaptation") + ".png")
        if out is not None:
            table, picture = out, out.with_suffix(".png")
        curve = run.evaluate(
            tasks=tasks,
            steps=steps,
            episodes=run.spec.eval_episodes if episodes is None else episodes,
            split=split,
            seed=seed,
            backend=used,
        )
        report(curve, training_rows(run), table, picture, note=how_many(run, curve))
        if video:
            moving = picture.with_suffix(".gif")
            content = animation(
                run.agent if used == backend_of(own) else run.agent_on(used),
                run.distribution,
                split=split,
                steps=run.spec.eval_steps if steps is None else steps,
                episodes=run.spec.eval_episodes if episodes is None else episodes,
                seed=seed,
                device=run.spec.device,
            )
            write_whole(moving, content)
            print(f"wrote {moving}")

    return _evaluating(path, work)


def run_robustness(
    path: Path,
    kinds: Sequence[str],
    strengths: Sequence[float],
    shots: Sequence[int],
    out: Path | None = None,
    **how: Any,
) -> int:
    """Evaluate a run exactly, under noise and from shots; write robustness.json and the picture of it, or to `out`.

    `how`: as of `Run.evaluate`; an option that is None is what the run was configured with.
    """
    table = path / "robustness.json" if out is None else out
    if table.suffix != ".json":
        raise UsageError(f"{table}: the name of the --out file must end in .json")
    picture = table.with_suffix(".png")
    if out is not None:
        check_new_file(table)
        check_new_file(picture)
    rows = robustness.backends(kinds, strengths, shots)

    def work() -> None:
        run = Run(RunFolder.open(path))
        for problem in (*run.problems, *run.changes):
            warn(problem)
        how["episodes"] = run.spec.eval_episodes if how["episodes"] is None else how["episodes"]
        points = []
        for what, value, backend in rows:
            curve = run.evaluate(backend=backend, **how)
            points.append(robustness.Point.of(what, value, curve))
        write_whole(table, (to_json(robustness.to_json(points, curve), indent=2) + "\n").encode())
        write_whole(picture, robustness.draw(points, curve))
        print(f"{curve.env}, {curve.label}: {curve.n_tasks} {curve.split} tasks")
        print(robustness.table(points))
        print(f"wrote {table} and {picture}")

    return _evaluating(path, work)


def run_export(
    path: Path,
    out: Path,
    *,
    kind: str,
    observations: Path | None = None,
    steps: int | None = None,
    episodes: int | None = None,
    split: str = "test",
    task: int = 0,
    seed: int = 0,
) -> int:
    """Write an adapted policy's circuits for some observations into a new folder, and export.json about them.

    It is adapted to one task of a split, as in an evaluation. `observations`: a JSON file, a list of them; by default
    the first one of an episode.
    """
    if kind not in export.FORMATS:
        raise UsageError(f"export: unknown format {kind!r}{suggest(kind, export.FORMATS)}")
    check_new_file(out)
    run = Run(RunFolder.open(path))
    for problem in (*run.problems, *run.changes):
        warn(problem)
    if not isinstance(run.agent, NetworkAgent):
        raise UsageError(f"export: agent {run.spec.agent} has no network")
    tasks = run.distribution.sample(task + 1, split, np.random.default_rng(seed))
    env = run.distribution.make(tasks[task : task + 1])
    agent = run.agent_on(Backend())
    assert isinstance(agent, NetworkAgent)
    recorders = circuits.record(agent.policy)
    n_episodes = run.spec.eval_episodes if episodes is None else episodes
    how = {"episodes": n_episodes, "steps": 1 if steps is None else steps}
    if isinstance(agent, InContextAgent):
        how = {"episodes": agent.trial_episodes if episodes is None else episodes, "steps": 1}
    policy = run.adapt(env, episodes=how["episodes"], steps=how["steps"], seed=seed, agent=agent)
    seen = [np.asarray(env.reset(seed=seed)[0]).tolist()] if observations is None else from_json(observations)
    if not (isinstance(seen, list) and seen):
        raise UsageError(f"{observations}: expected a JSON list of observations")
    files: dict[str, bytes] = {}
    rows = []
    for index, observation in enumerate(seen):
        policy.peek(observation)
        played = circuits.played(recorders)
        names = [f"observation{index}-circuit{i}{export.FORMATS[kind]}" for i in range(len(played))]
        files |= {name: export.encode(each.circuit, kind) for name, each in zip(names, played, strict=True)}
        entries = [circuits.described(each, name) for each, name in zip(played, names, strict=True)]
        rows.append({"observation": observation, "circuits": entries})
    about = {"run": str(path), "format": kind, "split": split, "task": tasks.rows()[task], **how, "observations": rows}
    files["export.json"] = (to_json(about, indent=2) + "\n").encode()
    write_folder(out, files)
    print(f"wrote {len(files) - 1} circuit{'' if len(files) == 2 else 's'} and export.json to {out}")
    return 0


def run_plot(paths: Sequence[Path], out: Path, against: str, split: str = "test") -> int:
    """Draw the evaluations of some runs into one picture."""
    if out.suffix != ".png":
        raise UsageError(f"{out}: the name of the --out file must end in .png")
    check_new_file(out)
    curves = []
    for path in paths:
        table = RunFolder.open(path).path / table_name(split)
        if not table.exists():
            raise UsageError(f"{path} has no {table.name}: run.py evaluate {shlex.quote(str(path))} --split {split}")
        try:
            curves.append(Curve(**from_json(table)))
        except TypeError as error:
            raise UsageError(f"{table}: not the evaluation of a run") from error
    plot(curves, out, against=against)
    print(f"wrote {out}")
    return 0


def _finish(folder: RunFolder, training: Training | None, quiet: bool) -> int:
    """Train what is left, then evaluate on test tasks."""
    if training is not None:
        stream = io.StringIO() if quiet else None
        with Progress(training.spec.iterations, training.iteration, stream) as progress:
            code = train_loop(training, folder, progress)
        if code:
            return code

    def work() -> None:
        run = Run(folder)
        spec = run.spec
        curve = run.evaluate(tasks=spec.eval_tasks, episodes=spec.eval_episodes)
        table, picture = folder.path / "evaluation.json", folder.path / "adaptation.png"
        report(curve, training_rows(run), table, picture, quiet=quiet, note=how_many(run, curve))

    return _evaluating(folder.path, work)


def _evaluating(path: Path, work: Callable[[], None]) -> int:
    """Do the work of an evaluation, which a signal ends at once; the exit code."""
    try:
        with stopping_at_once():
            work()
    except Interrupted as stop:
        command = f"run.py evaluate {shlex.quote(str(path))}"
        print(f"evaluation interrupted; training is saved: {command}", file=sys.stderr)
        return stop.exit_code
    return 0
