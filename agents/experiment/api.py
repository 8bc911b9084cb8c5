"""Python interface to agents: train, resume, load, evaluate, plot."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.core.agent import Agent
from agents.core.registry import REGISTRIES
from agents.core.spec import OBJECT_ROLES, Given, Spec, default_out
from agents.experiment.callbacks import Callback, check_callbacks
from agents.experiment.evaluation import Curve
from agents.experiment.misplaced import check_arguments, check_options
from agents.experiment.plot import plot
from agents.experiment.resume import follow_resumed, run_resume
from agents.experiment.run import EVALUATION_ARGUMENTS, Run, Which
from agents.experiment.start import follow_training, run_training
from agents.runs.folder import RunFolder
from agents.shards import launch
from envs.core.distribution import TaskDistribution
from qrl.backends.backend import Backend
from qrl.common.caller import warn_caller
from qrl.common.checks import check_text
from qrl.common.errors import UsageError
from qrl.common.options import Unknown, check_known
from qrl.common.trust import Trust

__all__ = ["evaluate", "load", "plot", "resume", "train"]

Options = Mapping[str, object] | object
"""Options of a plug-in: its Config, or a mapping of the options that differ from the defaults."""


def train(
    out: Path | str | None = None,
    *,
    env: str | TaskDistribution | object = "navigation",
    agent: str | Agent[object] | object | None = None,
    model: Given | None = None,
    iterations: int | None = None,
    seed: int = 0,
    env_config: Options = None,
    agent_config: Options = None,
    model_config: Options = None,
    policy: Options = None,
    backend: str | object = "torch",
    shots: int = 0,
    noise: Sequence[str] = (),
    device: str = "cpu",
    threads: int = 0,
    shards: int = 1,
    checkpoint_every: int = 10,
    validate_every: int = 0,
    validate_tasks: int = 20,
    patience: int = 0,
    eval_tasks: int | None = None,
    eval_steps: int = 3,
    eval_episodes: int = 40,
    overwrite: bool = False,
    start_from: Path | str | None = None,
    track: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **unknown: Unknown,
) -> Run:
    """Train and evaluate an agent, write its run folder as `run.py train` does, and return the run.

    Args:
        out: run folder to create; by default runs/<env>-<agent>-<model>-seed<seed>.
        env: task family: a name, a file, module:attribute, or a `TaskDistribution`.
        agent: agent: a name, a file, module:attribute, or an object with `Config` and `build`, or an `Agent`; by
            default what suits the environment.
        model: model of the policy network: a name, a file, module:attribute, an object with `Config` and `build`, or a
            `torch.nn.Module` with an int `n_features`; by default what suits the agent.
        iterations: length of training; by default what suits the environment, mostly 60 [meta-iterations].
        seed: seed of all random streams in training. Test tasks do not depend on it.
        env_config: options of the environment: its Config, or a mapping such as {"horizon": 50}.
        agent_config: options of the agent, likewise.
        model_config: options of the model, likewise.
        policy: options of the policy head, a `qrl.policies.actor.PolicyConfig` or a mapping.
        backend: backend of the circuits: "torch", "pennylane:DEVICE", or a PennyLane device.
        shots: shots of each circuit in each measurement basis [shots]; 0: exact expectation values.
        noise: noise model, such as ["depolarizing=0.01"]; see docs/backends.md.
        device: torch device of all tensors: cpu, cuda or, of several GPUs, cuda:N.
        threads: CPU threads of torch [threads]; 0: torch's default.
        shards: equal parts of the tasks of an iteration, which several processes can share [shards]; docs/scaling.md.
        checkpoint_every: checkpoint interval [meta-iterations].
        validate_every: interval of evaluations on validation tasks, which keep the best checkpoint [meta-iterations];
            0: none. They do not change the training.
        validate_tasks: validation tasks [tasks].
        patience: end training after this many validations without improvement [validations]; 0: never.
        eval_tasks: test tasks of the evaluation at the end; by default what suits the environment, mostly 100 [tasks].
        eval_steps: adaptation in that evaluation [gradient steps].
        eval_episodes: its episodes per task and gradient step [episodes], or trials per task [trials].
        overwrite: replace an existing run in this folder.
        start_from: run folder from whose trained weights to start, or RUN/best for those of its best checkpoint. The
            policy must be the same; the optimiser and all random streams are new.
        track: experiment trackers: tensorboard, wandb, mlflow, trackio.
        callbacks: objects with the methods of `agents.Callback`, called after each iteration and each evaluation.
        progress: print the progress of training and the evaluation.
        unknown: nothing else; the message about an option of a plug-in says where it belongs.

    Raises:
        UsageError: an option is invalid; nothing has been written.
        TrainingError: a reward, loss or gradient is not finite; the last checkpoint is kept.
        KeyboardInterrupt: after a signal, once a checkpoint is saved.
        Exception: a callback raised it; the iteration's checkpoint is saved.
    """
    if env is None:
        raise UsageError("env: expected a name or an object, found None")
    if isinstance(noise, str):
        raise UsageError(f"noise: expected a list of strings, such as [{noise!r}], found {noise!r}")
    plugins = {"env": env, "agent": agent, "model": model}
    configs = {"env_config": env_config, "agent_config": agent_config, "model_config": model_config, "policy": policy}
    parameters = [name for name in inspect.signature(train).parameters if name != "unknown"]
    if unknown:
        check_arguments(unknown, Spec.default(**plugins), parameters)
    optional = {"iterations": iterations, "eval_tasks": eval_tasks}
    try:
        spec = Spec.default(
            **plugins,
            **configs,
            seed=seed,
            backend=backend,
            shots=shots,
            noise=tuple(noise),
            device=device,
            threads=threads,
            shards=shards,
            checkpoint_every=checkpoint_every,
            validate_every=validate_every,
            validate_tasks=validate_tasks,
            patience=patience,
            eval_steps=eval_steps,
            eval_episodes=eval_episodes,
            **{name: value for name, value in optional.items() if value is not None},
        )
    except UsageError:
        check_options(configs, Spec.default(**plugins), parameters)
        raise
    out = _path(out, default_out(spec))
    if not launch.leads():
        follow_training(spec)
        return Run(RunFolder.open(out), spec.objects, Trust(everything=True))
    return run_training(
        spec,
        out,
        overwrite=overwrite,
        start_from=None if start_from is None else _path(start_from),
        track=_names(track),
        callbacks=check_callbacks(callbacks),
        quiet=not progress,
    )


def resume(
    path: Path | str,
    *,
    iterations: int | None = None,
    agent_config: Mapping[str, float] | None = None,
    validate_every: int | None = None,
    patience: int | None = None,
    track: Sequence[str] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    trust: bool = False,
    **given: object,
) -> Run:
    """Continue a run from its last checkpoint and return it.

    Args:
        path: run folder.
        iterations: new total length of training [meta-iterations]; by default as configured for the run.
        agent_config: new learning rates, such as {"lr_angles": 0.005}; no other option of the agent may change.
        validate_every: new interval of validations [meta-iterations]; 0: none.
        patience: new patience [validations]; 0: no limit.
        track: as for `train`, in place of the trackers so far; by default, TensorBoard's record continues.
        callbacks: as for `train`.
        progress: print the progress of training and the evaluation.
        trust: execute all code outside this library that the run names.
        given: `env`, `agent`, `model` and `backend`, if they were given as objects to `train`; as a name, `env`,
            `agent` or `model` confirms trust in the code of that name.

    Raises:
        UsageError: `path` is not a run folder, an object is missing, `iterations` is less than already done, an option
            may not change, or the run names code that is not trusted.
    """
    objects, names = _given(given)
    if not isinstance(agent_config, Mapping | None):
        raise UsageError(f'agent_config: expected a mapping such as {{"lr_angles": 0.005}}, found {agent_config!r}')
    changes: dict[str, object] = {f"agent_config.{name}": rate for name, rate in (agent_config or {}).items()}
    changes |= {} if validate_every is None else {"validate_every": validate_every}
    changes |= {} if patience is None else {"patience": patience}
    path = _path(path)
    if not launch.leads():
        further = {} if iterations is None else {"iterations": iterations}
        follow_resumed(path, {**changes, **further}, objects, Trust(trust, names))
        return Run(RunFolder.open(path), objects, Trust(everything=True))
    return run_resume(
        path,
        iterations,
        changes=changes,
        objects=objects,
        trust=Trust(trust, names),
        track=None if track is None else _names(track),
        callbacks=check_callbacks(callbacks),
        quiet=not progress,
    )


def load(path: Path | str, *, checkpoint: Which = "last", trust: bool = False, **given: object) -> Run:
    """Load a run from its folder.

    Warn about damaged and missing checkpoints that are newer than the loaded one, and about plug-in files that changed
    since training.

    Args:
        path: run folder.
        checkpoint: "last", or "best" for the one with the best score on validation tasks.
        trust: execute all code outside this library that the run names. By default, only code with which this user has
            trained on this machine is executed.
        given: `env`, `agent`, `model` and `backend`, if they were given as objects to `train`; as a name, `env`,
            `agent` or `model` confirms trust in the code of that name.

    Raises:
        UsageError: `path` is not a run folder, has no usable checkpoint, an object is missing, or the run names code
            that is not trusted.
    """
    objects, names = _given(given)
    run = Run(RunFolder.open(_path(path)), objects, Trust(trust, names), checkpoint)
    for text in run.warnings:
        warn_caller(text)
    return run


def evaluate(
    run: Run | Path | str,
    *,
    tasks: int | None = None,
    steps: int | None = None,
    episodes: int | None = None,
    split: str = "test",
    seed: int = 0,
    backend: Backend | object | None = None,
    trust: bool = False,
    **unknown: Unknown,
) -> Curve:
    """Return the adaptation curve of a run, or of the run in a folder; see `Run.evaluate` and, for `trust`, `load`."""
    check_known(unknown, EVALUATION_ARGUMENTS, "evaluate: unknown argument")
    run = run if isinstance(run, Run) else load(run, trust=trust)
    return run.evaluate(tasks=tasks, steps=steps, episodes=episodes, split=split, seed=seed, backend=backend)


def _names(track: object) -> tuple[str, ...]:
    """Return the names of trackers. Raises UsageError for a string in place of a list."""
    if not isinstance(track, list | tuple):
        raise UsageError(f'track: expected a list such as ["tensorboard"], found {track!r}')
    return tuple(track)


def _path(path: object, default: Path | None = None) -> Path:
    if path is None and default is not None:
        return default
    if not isinstance(path, str | Path):
        raise UsageError(f"expected the path of a run folder, found {path!r}")
    check_text("run folder", str(path))
    return Path(path)


def _given(given: Mapping[str, object]) -> tuple[dict[str, object], dict[str, str]]:
    """Return the objects by role, and the names that confirm trust by role."""
    check_known(given, OBJECT_ROLES, "unknown argument")
    roles = given.keys() & REGISTRIES.keys()
    names = {role: REGISTRIES[role].canonical(name) for role in roles if isinstance(name := given[role], str)}
    return {role: thing for role, thing in given.items() if role not in names}, names
