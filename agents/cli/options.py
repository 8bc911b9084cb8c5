"""Command-line options of each command."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from agents.cli.parse import CONFIGS, SHORTHANDS, parse, value_of, written_out
from agents.core.spec import DEFAULT_NAMES, LARGEST_EPISODES, REGISTRIES, Spec, check_seed, plugin_names, read_spec
from agents.runs.program import program
from qrl.common.checks import check_count
from qrl.common.errors import UsageError
from qrl.common.registry import short_name
from qrl.common.summaries import first_line


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Spec):
    """Options of `train`: the spec of the run and its output folder."""

    out: Path | None = None
    """Run folder to create; by default runs/<env>-<agent>-<model>-seed<seed>."""

    overwrite: bool = False
    """Replace an existing run in this folder."""

    config: Path | None = None
    """Start from a saved configuration: a run folder, its config.json, or a JSON file of a spec. Further options
    override it."""


def parse_train(arguments: Sequence[str]) -> tuple[Spec, TrainOptions]:
    """Parse the spec of a run, and all options of `train`, from the command line.

    Raises:
        UsageError: an argument is invalid.
    """
    value_of("--out", arguments)
    arguments = written_out(arguments)
    spec = _starting_spec(arguments)  # First: reports a wrong name before any heavy import.
    _check_shorthands(spec, arguments)
    import tyro

    overrides = [
        (
            field,
            Annotated[type(getattr(spec, field)), tyro.conf.arg(name=name, help=_about(name, spec))],
            dataclasses.field(),
        )
        for field, name in CONFIGS.items()
    ]
    flag = ("overwrite", tyro.conf.FlagCreatePairsOff[bool], dataclasses.field(default=False))
    options_type = dataclasses.make_dataclass(
        "Options", [*overrides, flag], bases=(TrainOptions,), frozen=True, kw_only=True
    )
    values = {field.name: getattr(spec, field.name) for field in dataclasses.fields(Spec)}
    options: TrainOptions = parse(
        "train",
        options_type,
        arguments,
        default=options_type(**values),
        description=f"Train {spec.agent} with the model {spec.model} on {spec.env}. "
        "Options with a dot belong to the chosen plug-ins: name others with --env, --agent, --model to see theirs.",
    )
    names = {role: registry.canonical(getattr(options, role)) for role, registry in REGISTRIES.items()}
    chosen = {field.name: getattr(options, field.name) for field in dataclasses.fields(Spec)}
    return Spec(**{**chosen, **names}), options


def _check_shorthands(spec: Spec, arguments: Sequence[str]) -> None:
    known = {field.name for field in dataclasses.fields(spec.env_config)}
    for short, long in SHORTHANDS.items():
        if long in arguments and long.rpartition(".")[2] not in known:
            raise UsageError(
                f"{short}: env {spec.env!r} has no such option; it is for the environments of Gymnasium, such as "
                "--env CartPole-v1 --vary gravity=5:15; a file says it itself, in envs.GymnasiumTasks"
            )


def _about(name: str, spec: Spec) -> str:
    """Return the heading of a group of options in the help text."""
    if name not in REGISTRIES:
        return "How the model's outputs become a distribution over actions."
    chosen = getattr(spec, name)
    return f"Options of {chosen}. {first_line(REGISTRIES[name].load(chosen).__doc__)}".strip()


def _starting_spec(arguments: Sequence[str]) -> Spec:
    """Return the spec before other options are applied: from --config if given, with --env, --agent and --model."""
    file = value_of("--config", arguments)
    saved: dict[str, object] = {} if file is None else read_spec(Path(file))
    names = plugin_names(saved) if saved else DEFAULT_NAMES
    for role, registry in REGISTRIES.items():
        name = value_of(f"--{role}", arguments)
        if name is not None:
            name = registry.canonical(name)
            # Saved options of another plug-in do not apply.
            other = name != names[role]
            saved = {key: value for key, value in saved.items() if not (other and key == f"{role}_config")}
            saved[role] = name
    return Spec.from_json(saved, where=str(file or "configuration"))


def default_out(spec: Spec) -> Path:
    """Return the default run folder: runs/<env>-<agent>-<model>-seed<seed>."""
    names = [short_name(name) for name in (spec.env, spec.agent, spec.model)]
    return Path("runs", f"{'-'.join(names)}-seed{spec.seed}")


@dataclass(frozen=True, kw_only=True)
class AdaptOptions:
    """Options of commands that adapt the policy of a run."""

    run: Path
    """Run folder."""

    steps: int | None = None
    """Adaptation [gradient steps]; by default as configured for the run."""

    episodes: int | None = None
    """Episodes per task and gradient step [episodes]; for an in-context agent, trials per task [trials]; by default as
    configured for the run."""

    split: Literal["train", "test", "ood"] = "test"
    """Split of the tasks: as in training, held out, or out of distribution."""

    seed: int = 0
    """Seed of the episodes and of shots."""

    def __post_init__(self) -> None:
        if self.steps is not None:
            check_count("--steps", self.steps)
        if self.episodes is not None:
            check_count("--episodes", self.episodes, most=LARGEST_EPISODES)
        check_seed("--seed", self.seed)


@dataclass(frozen=True, kw_only=True)
class TasksOptions(AdaptOptions):
    """Options of commands that adapt the policy of a run to many tasks."""

    tasks: int = 100
    """Tasks to evaluate on [tasks]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("--tasks", self.tasks, least=2)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(TasksOptions):
    """Options of `evaluate`."""

    out: Path | None = None
    """New JSON file to write, instead of evaluation.json in the run folder; the plot is written next to it."""

    backend: str | None = None
    """Backend of the circuits; by default as in training."""

    shots: int | None = None
    """Shots of each circuit in each measurement basis [shots], 0: exact; by default as in training."""

    noise: tuple[str, ...] | None = None
    """Noise model, such as depolarizing=0.01 readout=0.02 or calibration=FILE.json; by default as in training. May be
    given more than once."""

    video: bool = False
    """Also write an animation of the first task of the split before and after adaptation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shots is not None:
            check_count("--shots", self.shots, least=0)


@dataclass(frozen=True)
class ResumeOptions:
    """Options of `resume`."""

    run: Path
    """Run folder."""

    iterations: int | None = None
    """New total length of training [meta-iterations]; by default as configured for the run."""

    def __post_init__(self) -> None:
        if self.iterations is not None:
            check_count("--iterations", self.iterations)


@dataclass(frozen=True, kw_only=True)
class RobustnessOptions(TasksOptions):
    """Options of `robustness`."""

    noise: tuple[str, ...] = ("depolarizing",)
    """Kinds of noise, each evaluated separately: depolarizing, amplitude_damping, phase_damping, bit_flip, readout."""

    strengths: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1)
    """Strengths of each kind of noise; see `qrl.noise.model.Noise`."""

    shots: tuple[int, ...] = (10, 30, 100, 300, 1000)
    """Shots of each circuit in each measurement basis [shots], evaluated without noise."""

    out: Path | None = None
    """New JSON file to write, instead of robustness.json in the run folder; the plot is written next to it."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions(AdaptOptions):
    """Options of `export`, which adapts the policy as in an evaluation, by default in one gradient step."""

    out: Path = Path("circuits")
    """New folder to create, with a file for each circuit and an index, export.json."""

    format: Literal["openqasm2", "openqasm3", "qiskit"] = "openqasm3"
    """OpenQASM text, or Qiskit's own QPY (extra qiskit)."""

    observations: Path | None = None
    """JSON file with a list of observations; by default, the first observation of an episode."""

    task: int = 0
    """Index of the task in the split, from 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("--task", self.task, least=0, most=LARGEST_EPISODES)


@dataclass(frozen=True)
class PlotOptions:
    """Options of `plot`."""

    runs: tuple[Path, ...]
    """Run folders with an evaluation."""

    out: Path = Path("adaptation.png")
    """New PNG file to write."""

    against: Literal["x", "episodes", "env-steps"] = "episodes"
    """Horizontal axis: episodes or environment steps previously spent in a task, common to all agents, or each agent's
    own axis x, gradient steps or episodes."""

    split: Literal["train", "test", "ood"] = "test"
    """Split of the evaluated tasks."""

    def __post_init__(self) -> None:
        if not self.runs:
            raise UsageError(f"plot needs run folders: usage is {program()} plot RUN ...")
