"""What one does with agents, from Python and from the command line: train, resume, load, adapt, evaluate, plot."""

import contextlib
import datetime
import importlib.metadata
import io
import platform
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import gymnasium
import numpy as np
import torch
from torch import Tensor

from agents import _export as circuits
from agents import _origins as origins
from agents import _robustness as robustness
from agents._config import LARGEST_EPISODES, Spec, check_count, check_seed
from agents._evaluate import Curve, adaptation_curve, beside, check_evaluation, paired_gain, play
from agents._interrupt import Interrupted, stopping_at_once
from agents._plot import Against, draw
from agents._progress import Progress
from agents._references import beside_which
from agents._rollout import Adapter, MemoryAdapter, Privileged, collect_episodes, single_action
from agents._run import RunFolder
from agents._setting import backend_of, build, put_on, seed_shots, torch_generator
from agents._train import Training
from agents._train import train as train_loop
from agents._values import to_plain
from agents._video import animation, check_pictures
from envs._check import check_before_training
from qrl import export
from qrl._files import check_new_file, from_json, to_json, write_folder, write_whole
from qrl.backend import Backend
from qrl.errors import UsageError, suggest
from qrl.noise import Noise
from qrl.plugins import short_name

VERSIONS = ("torch", "numpy", "gymnasium", "pennylane")


class Run:
    """A trained agent and its run folder: what `train` and `load` return."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.changes = origins.changes(folder)
        """What is not as it was when the run was trained, as sentences."""
        self.spec = Spec.from_json(folder.config["spec"], where=str(folder.path / "config.json"))
        self.distribution, self.agent = build(self.spec)
        self.problems: tuple[str, ...] = ()
        self.iteration = 0
        """Meta-iterations that the agent has been trained for."""
        if learns(self.agent):
            checkpoint = folder.load()
            training = Training(self.spec, self.distribution, self.agent)
            training.load(checkpoint)
            self.problems, self.iteration = checkpoint.problems, checkpoint.iteration

    def adapt(
        self, env: gymnasium.Env | None = None, *, episodes: int = 20, steps: int = 1, seed: int = 0
    ) -> "AdaptedPolicy":
        """Adapt to one environment of your own in `steps` updates of `episodes` episodes each.

        `env` is any `gymnasium.Env` with the observation and action space that the run was trained on; without one, the
        nominal task. An agent that learns in its memory plays all these episodes as one trial, without updates: `steps`
        is 1. Raises UsageError if the spaces do not fit, a count cannot be, or the agent has to be told the task.
        """
        if isinstance(self.agent, Privileged):
            raise UsageError(f"adapt: agent {self.spec.agent} is told the task and does not adapt")
        if isinstance(self.agent, MemoryAdapter):
            if episodes < 1 or steps != 1:
                what = f"not {episodes} and {steps}"
                raise UsageError(f"adapt: with a memory, episodes must be at least 1 and steps 1 (one trial), {what}")
        elif episodes < 2 or steps < 0:
            raise UsageError(f"adapt: episodes must be at least 2 and steps at least 0, not {episodes} and {steps}")
        check_seed("seed", seed)
        env = self.distribution.make() if env is None else env
        self._check_spaces(env)
        stream = np.random.SeedSequence(seed)
        generator = torch_generator(stream, self.spec.device)
        seed_shots(self.agent, *stream.spawn(1))
        state = self.agent.begin(1, 1)
        for step in range(steps):
            rollout, state = collect_episodes(
                env,
                self.agent,
                state,
                generator,
                n_episodes=episodes,
                max_steps=self.distribution.horizon,
                seed=seed if step == 0 else None,
            )
            state = self.agent.adapt(state, rollout)
        return AdaptedPolicy(self.agent, state, generator, self.distribution.observation_space.shape)

    def evaluate(
        self,
        *,
        tasks: int = 100,
        steps: int | None = None,
        episodes: int = 40,
        split: str = "test",
        seed: int = 0,
        backend: Backend | None = None,
    ) -> Curve:
        """The adaptation curve on tasks of a split, beside those of references; see `agents._evaluate`.

        `steps`: by default what the run was configured with. `backend`: where circuits run, by default where they did
        in training. Raises UsageError for what cannot be used.
        """
        if steps is not None and isinstance(self.agent, MemoryAdapter):
            raise UsageError(f"evaluate: agent {self.spec.agent} learns in its memory and takes no gradient steps")
        steps = self.spec.eval_steps if steps is None else steps
        check_count("tasks", tasks, least=2)
        check_count("steps", steps)
        check_count("episodes", episodes, most=LARGEST_EPISODES)
        check_seed("seed", seed)
        names = (short_name(self.spec.env), short_name(self.spec.agent))
        model = short_name(self.spec.model) if hasattr(self.agent, "policy") else ""
        used = backend_of(self.spec) if backend is None else backend
        how: dict[str, Any] = {
            "n_tasks": tasks,
            "steps": steps,
            "episodes": episodes,
            "split": split,
            "seed": seed,
            "device": self.spec.device,
        }
        with self.on(used):
            curve = adaptation_curve(self.agent, self.distribution, names=(*names, model), **how)
        notes = {"env_options": to_plain(self.spec.env_config), "backend": used.to_json()}
        curve = replace(curve, iteration=self.iteration, **notes)
        if not isinstance(self.agent, MemoryAdapter):
            return curve
        others = beside_which(self.agent, self.distribution, self.spec.device)
        returns = {
            name: play(agent, self.distribution, **how).per_task for name, agent in others.items() if name != names[1]
        }
        exact = {name: agent.expected_returns for name, agent in others.items() if hasattr(agent, "expected_returns")}
        return replace(beside(curve, returns), exact=exact)

    @contextlib.contextmanager
    def on(self, backend: Backend) -> Iterator[None]:
        """With the policy's circuits on this backend for the while, with shots of its own.

        Raises UsageError if there are none and they would run otherwise than exactly.
        """
        own, device = backend_of(self.spec), self.spec.device
        put_on(self.agent, backend, device)
        try:
            yield
        finally:
            put_on(self.agent, own, device)

    def metrics(self) -> list[dict[str, Any]]:
        """One row per meta-iteration."""
        return self.folder.metrics()

    def _check_spaces(self, env: Any) -> None:
        if not isinstance(env, gymnasium.Env):
            raise UsageError(f"adapt: a gymnasium.Env is needed, such as gymnasium.make(...) gives, not {env!r}")
        for kind in ("observation_space", "action_space"):
            own, given = getattr(self.distribution, kind), getattr(env, kind)
            same = isinstance(given, type(own)) and own.shape == given.shape
            if same and isinstance(own, gymnasium.spaces.Discrete):
                same = (own.n, own.start) == (given.n, given.start)
            if not same:
                raise UsageError(f"adapt: the run was trained with {kind} {own}, the environment has {given}")


class AdaptedPolicy:
    """A policy after adaptation: `act(observation)` gives an action for the environment.

    One that learns in its memory goes on learning: after each step it has to `receive` what came of it. For others that
    does nothing.
    """

    def __init__(self, agent: Adapter, state: Any, generator: torch.Generator, shape: tuple[int, ...] | None) -> None:
        self._agent, self._state, self._generator, self._shape = agent, state, generator, shape
        self._action: Tensor | None = None

    @torch.no_grad()
    def act(self, observation: Any) -> Any:
        """An action drawn from the policy, as the environment's `step` takes it.

        Raises UsageError if an agent that learns in its memory was not told what came of the last one.
        """
        if self._action is not None:
            raise UsageError(
                "act: this agent learns in its memory: tell it what came of the last action by "
                "receive(observation, reward, terminated or truncated)"
            )
        action, self._state = self._agent.act(self._state, self._seen(observation), self._generator)
        if isinstance(self._agent, MemoryAdapter):
            self._action = action
        return single_action(self._agent, action)

    @torch.no_grad()
    def peek(self, observation: Any) -> None:
        """Have the network run on an observation, without acting on it: nothing is remembered."""
        generator = torch.Generator(self._generator.device)
        self._agent.act(self._state, self._seen(observation), generator)

    @torch.no_grad()
    def receive(self, observation: Any, reward: float, ended: bool) -> None:
        """What the environment's `step` gave for the last action, from which an agent with a memory learns on.

        Raises UsageError if there was no action before, and for a reward that is not finite.
        """
        if isinstance(self._agent, MemoryAdapter):
            if self._action is None:
                raise UsageError("receive: there was no action that anything could have come of: first act")
            if not np.isfinite(reward):
                raise UsageError(f"receive: the reward must be finite, not {reward}")
            earned, over = (torch.tensor([[x]], device=self._generator.device) for x in (float(reward), bool(ended)))
            self._state = self._agent.receive(self._state, self._action, earned, over, self._seen(observation))
            self._action = None

    def _seen(self, observation: Any) -> Tensor:
        array = np.asarray(observation)
        if array.shape != self._shape or not np.isfinite(array).all():
            raise UsageError(f"policy: an observation is {self._shape} finite numbers, not {observation!r}")
        return torch.as_tensor(array, dtype=torch.float32, device=self._generator.device)[None, None]


def learns(agent: Any) -> bool:
    """Whether the agent has an outer step to train; references such as `random` have none."""
    return hasattr(agent, "update")


def train(out: Path | str, *, overwrite: bool = False, progress: bool = True, **options: Any) -> Run:
    """Train, evaluate and leave a run folder at `out`, as `run.py train` does.

    `options` are those of a `Spec`: `env`, `agent` and `model` by name, `iterations`, `seed`, ..., and the plug-ins'
    own as `env_config`, `agent_config`, `model_config` (their `Config`) and `policy`. Raises UsageError for what cannot
    be used, KeyboardInterrupt after a signal, when all is saved.
    """
    spec = Spec.default(**options)
    code = run_training(spec, Path(out), overwrite=overwrite, command=[], quiet=not progress)
    if code:
        raise KeyboardInterrupt
    return load(out)


def load(path: Path | str) -> Run:
    """A run from its folder; warns if its newest checkpoint is damaged and an older one is taken.

    Raises UsageError if it is none or has no checkpoint that can be used.
    """
    run = Run(RunFolder.open(Path(path)))
    for text in (*(f"{problem}; an older checkpoint is used" for problem in run.problems), *run.changes):
        warnings.warn(text, stacklevel=2)
    return run


def evaluate(run: Run | Path | str, **options: Any) -> Curve:
    """`Run.evaluate` of a run or its folder."""
    return (run if isinstance(run, Run) else load(run)).evaluate(**options)


def plot(curves: Curve | Sequence[Curve], path: Path | str, *, against: str = "x") -> None:
    """Draw adaptation curves into one PNG file, whole or not at all.

    `against`: their own x, or what was spent in a task before, "episodes" or "env_steps", which agents that adapt by
    gradients and by memory have in common. Raises UsageError if there is no curve, or they do not go together.
    """
    chosen = [curves] if isinstance(curves, Curve) else list(curves)
    if not chosen:
        raise UsageError("plot: there is no curve to draw")
    against = against.replace("-", "_")
    if against not in get_args(Against):
        raise UsageError(f"plot: curves cannot be drawn against {against!r}{suggest(against, get_args(Against))}")
    write_whole(Path(path), draw(chosen, against=cast(Against, against)))


# --- the command line's commands; each returns an exit code ---------------------------------------------------


def run_training(spec: Spec, out: Path, *, overwrite: bool, command: Sequence[str], quiet: bool = False) -> int:
    """Make the run folder, train, evaluate. Nothing is written before everything that can be checked has been."""
    spec = Spec.from_json(spec.to_json())  # As it will be read back: options of a wrong type are found now.
    distribution, agent = build(spec)
    check_evaluation(agent, distribution, spec.eval_episodes)
    training = Training(spec, distribution, agent) if learns(agent) else None
    if training is not None and origins.of(spec)["env"]["from"] != "this library":  # those are checked by the tests
        check_before_training(distribution)
    if idle := _without_effect(agent, command):
        _warn(f"without effect: {', '.join(idle)}: agent {spec.agent} makes no use of it")
    config = {"spec": spec.to_json(), "origins": origins.of(spec), **provenance(command)}
    folder = RunFolder.create(out, config, overwrite=overwrite)
    with folder.lock():
        return _finish(folder, training, quiet)


def _without_effect(agent: Any, command: Sequence[str]) -> list[str]:
    """Options of the command line that this agent makes no use of."""
    given = [word.partition("=")[0] for word in command if word.startswith("--")]
    unused = {"--iterations"} if not learns(agent) else set()
    unused |= {"--eval-steps"} if isinstance(agent, MemoryAdapter) else set()
    roles = () if hasattr(agent, "policy") else ("--model", "--policy")
    return [name for name in given if name in unused or name.partition(".")[0] in roles]


def run_resume(path: Path, iterations: int | None = None) -> int:
    """Continue a run from its last checkpoint, to the end or to a new number of iterations."""
    folder = RunFolder.open(path)
    with folder.lock():
        for change in origins.changes(folder):
            _warn(change)
        spec = Spec.from_json(folder.config["spec"], where=str(path / "config.json"))
        distribution, agent = build(spec)
        if not learns(agent):
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
                _warn(f"{problem}; going on from iteration {done}")
        for problem in folder.trim_metrics(done):
            _warn(f"{problem}, dropped")
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
            _warn(problem)
        if learns(run.agent) and run.iteration < run.spec.iterations:
            _warn(f"{path}: trained for {run.iteration} of {run.spec.iterations} iterations so far")
        if video:
            check_pictures(run.distribution, run.agent)
        own = run.spec
        used = Backend(
            own.backend if backend is None else backend,
            own.shots if shots is None else shots,
            Noise.parse(own.noise if noise is None else noise),
        )
        table = path / _table_name(split, "" if used == backend_of(own) else used.label)
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
        _report(curve, _training_rows(run), table, picture, note=_how_many(run, curve))
        if video:
            moving = picture.with_suffix(".gif")
            with run.on(used):
                content = animation(
                    run.agent,
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
            _warn(problem)
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
        _warn(problem)
    if not hasattr(run.agent, "policy"):
        raise UsageError(f"export: agent {run.spec.agent} has no network")
    tasks = run.distribution.sample(task + 1, split, np.random.default_rng(seed))
    env = run.distribution.make(tasks[task : task + 1])
    recorders = circuits.record(run.agent.policy)
    memory = isinstance(run.agent, MemoryAdapter)
    how = {
        "episodes": (run.agent.trial_episodes if memory else run.spec.eval_episodes) if episodes is None else episodes,
        "steps": 1 if memory or steps is None else steps,
    }
    policy = run.adapt(env, seed=seed, **how)
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
    print(f"wrote {len(files) - 1} circuits and export.json to {out}")
    return 0


def run_plot(paths: Sequence[Path], out: Path, against: str, split: str = "test") -> int:
    """Draw the evaluations of some runs into one picture."""
    if out.suffix != ".png":
        raise UsageError(f"{out}: the name of the --out file must end in .png")
    check_new_file(out)
    curves = []
    for path in paths:
        table = RunFolder.open(path).path / _table_name(split)
        if not table.exists():
            raise UsageError(f"{path} has no {table.name}: run.py evaluate {shlex.quote(str(path))} --split {split}")
        try:
            curves.append(Curve(**from_json(table)))
        except TypeError as error:
            raise UsageError(f"{table}: not the evaluation of a run") from error
    plot(curves, out, against=against)
    print(f"wrote {out}")
    return 0


def _table_name(split: str, label: str = "") -> str:
    parts = ["evaluation", *([] if split == "test" else [split]), *([label] if label else [])]
    return "-".join(parts) + ".json"


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
        _report(curve, _training_rows(run), table, picture, quiet=quiet, note=_how_many(run, curve))

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


def _training_rows(run: Run) -> list[dict[str, Any]]:
    """The rows for the picture: none, with a warning, if they are damaged."""
    try:
        rows = run.metrics()
    except UsageError as error:
        _warn(f"{error}; the picture is drawn without the course of training")
        return []
    return [row for row in rows if "return_by_step" in row]


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _how_many(run: Run, curve: Curve) -> str:
    """What has to be said of a family with few tasks; else nothing."""
    count = run.distribution.n_distinct(curve.split)
    if count is None:
        return ""
    same = "test tasks are train tasks" if curve.split == "test" else f"in the {curve.split} split"
    return f"note: {curve.env} has {count} different tasks in all: {same}"


def _report(
    curve: Curve,
    metrics: Sequence[Mapping[str, Any]],
    table: Path,
    picture: Path,
    *,
    quiet: bool = False,
    note: str = "",
) -> None:
    write_whole(table, (to_json(curve.to_json(), indent=2) + "\n").encode())
    write_whole(picture, draw([curve], metrics))
    if quiet:
        return
    print(f"{curve.env}, {curve.label}: {curve.n_tasks} {curve.split} tasks")
    if note:
        print(note)
    print(curve.table())
    for x in sorted({curve.x[1], curve.x[-1]} if len(curve.x) > 1 else ()):
        gain, low, high = paired_gain(curve, x)
        print(f"gain from {curve.x[0]} to {x}: {gain:+.2f}, 95 % interval [{low:+.2f}, {high:+.2f}]")
    if curve.axis == "episodes":
        print(f"return of a trial: {sum(curve.mean):.3f}")
    for name, values in curve.exact.items():
        print(f"{name}, exactly, over all tasks: {sum(values):.3f}")
    for name, (fraction, low, high) in curve.fractions.items():
        theirs = sum(curve.references[name])
        print(f"of {name}'s {theirs:.3f}: {fraction:.2%}, 95 % interval [{low:.2%}, {high:.2%}]")
    print(f"wrote {table} and {picture}")


def provenance(command: Sequence[str]) -> dict[str, Any]:
    """Where a result comes from: versions, commit, command line, date."""
    versions = {"python": platform.python_version()}
    for name in ("qrl-meta", *VERSIONS):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "command": list(command),
        "commit": _commit(),
        "versions": versions,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str | None:
    """The checkout's commit, with `+changes` if files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parent.parent
    try:
        described = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
