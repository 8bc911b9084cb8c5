"""Train, evaluate and resume from the command line; see `python run.py --help`.

This file composes: it reads the names of the three plug-ins, imports those alone, and hands their options to tyro.
Until then neither torch nor any plug-in is imported.
"""

import contextlib
import ctypes
import dataclasses
import difflib
import errno
import io
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from agents._config import DEFAULT_NAMES, KINDS, LARGEST_EPISODES, Spec, check_count, check_seed, read_spec
from qrl import plugins
from qrl.errors import TrainingError, UsageError, suggest

T = TypeVar("T")

COMMANDS = {
    "train": "train an agent, then evaluate it (the default command)",
    "evaluate": "evaluate a trained run on tasks of a split",
    "resume": "continue a run from its last checkpoint",
    "robustness": "evaluate a trained run under noise and from finite shots",
    "export": "write an adapted policy's circuits as OpenQASM or for Qiskit",
    "plot": "draw the adaptation curves of several runs into one picture",
    "list": "list environments, agents and models",
}


_CONFIGS = {"env_config": "env", "agent_config": "agent", "model_config": "model", "policy": "policy"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 training failed, 2 unusable input, 128 + signal interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except UsageError as error:
        return _complain(error, 2)
    except TrainingError as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        print("run.py: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has left. Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        of_the_system = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
        if error.filename is None and not of_the_system:
            raise
        return _complain(f"{error.filename or 'writing'}: {error.strerror or error}", 2)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        return _complain(_out_of_memory(error), 2)
    except ModuleNotFoundError as error:
        remedy = plugins.own_remedy(error)
        if not remedy:
            raise
        return _complain(f"{error}{remedy}", 2)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    if arguments[0].startswith("-"):
        command, rest = "train", arguments
    else:
        command, *rest = arguments
    if command not in COMMANDS:
        raise UsageError(f"unknown command {command!r}{suggest(command, COMMANDS)}")
    try:
        return _COMMANDS[command](rest)
    except _Help:
        return 0


_NO_MEMORY = re.compile("can't allocate memory|out of memory|bad_alloc|[Ss]torage size calculation overflowed")
"""How torch says it, as a RuntimeError."""


def _out_of_memory(error: Exception) -> str:
    reason = re.sub(r"^\[.*?\] .*?\. (?=DefaultCPUAllocator)", "", " ".join(str(error).split()))
    detail = f": {textwrap.shorten(reason, 160, placeholder=' …')}" if reason else ""
    return f"not enough memory{detail}; use fewer tasks, episodes or wires"


def _complain(error: object, code: int) -> int:
    print(f"run.py: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


# --- train ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Spec):
    """What `run.py train` takes beside the spec of the run."""

    out: Path | None = None
    """Run folder to make; by default runs/<env>-<agent>-<model>-seed<seed>."""

    overwrite: bool = False
    """Replace the run that is in that folder."""

    config: Path | None = None
    """Start from a saved configuration: a run folder, its config.json, or a JSON file of a spec. Further options
    override it."""


def parse_train(arguments: Sequence[str]) -> tuple[Spec, TrainOptions]:
    """The spec of a run and the options beside it, from the command line.

    Raises:
        UsageError: an argument cannot be used.
    """
    _value_of("--out", arguments)
    arguments = _written_out(arguments)
    spec = _starting_spec(arguments)  # First: a wrong name is told before anything heavy is imported.
    _check_shorthands(spec, arguments)
    import tyro

    overrides = [
        (
            field,
            Annotated[type(getattr(spec, field)), tyro.conf.arg(name=name, help=_about(name, spec))],
            dataclasses.field(),
        )
        for field, name in _CONFIGS.items()
    ]
    flag = ("overwrite", tyro.conf.FlagCreatePairsOff[bool], dataclasses.field(default=False))
    options_type = dataclasses.make_dataclass(
        "Options", [*overrides, flag], bases=(TrainOptions,), frozen=True, kw_only=True
    )
    values = {field.name: getattr(spec, field.name) for field in dataclasses.fields(Spec)}
    options: TrainOptions = _parse(
        "train",
        options_type,
        arguments,
        default=options_type(**values),
        description=f"Train {spec.agent} with the model {spec.model} on {spec.env}. "
        "Options with a dot belong to the chosen plug-ins: name others with --env, --agent, --model to see theirs.",
    )
    names = {role: plugins.canonical(kind, getattr(options, role)) for role, kind in KINDS.items()}
    chosen = {field.name: getattr(options, field.name) for field in dataclasses.fields(Spec)}
    return Spec(**{**chosen, **names}), options


_SHORTHANDS = {"--vary": "--env.vary", "--ood": "--env.ood", "--workers": "--env.workers"}
"""Options of environments that Gymnasium knows, which may be given without the prefix, once or more."""

_REPEATABLE = _SHORTHANDS | {"--noise": "--noise"}
"""Options that may be given more than once, and what the parser calls them."""


def _written_out(arguments: Sequence[str]) -> list[str]:
    """The arguments with each of these in its long form, once, with the values of all its places."""
    rest: list[str] = []
    found: dict[str, list[str]] = {}
    words = rest
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name in _REPEATABLE:
            words = found.setdefault(name, [])
            words += [value] if equals else []
        else:
            words = rest if argument.startswith("--") else words
            words.append(argument)
    for name, values in found.items():
        if not values:
            raise UsageError(f"{name} needs a value")
        rest += [_REPEATABLE[name], *values]
    return rest


def _check_shorthands(spec: Spec, arguments: Sequence[str]) -> None:
    for short, long in _SHORTHANDS.items():
        if long in arguments and not hasattr(spec.env_config, long.rpartition(".")[2]):
            raise UsageError(
                f"{short}: env {spec.env!r} has no such option; it is for the environments of Gymnasium, such as "
                "--env CartPole-v1 --vary gravity=5:15; a file says it itself, in envs.GymnasiumTasks"
            )


def _about(name: str, spec: Spec) -> str:
    """The heading of a group of options in the help."""
    if name not in KINDS:
        return "How the model's outputs become a distribution over actions."
    chosen = getattr(spec, name)
    doc = (plugins.load(KINDS[name], chosen).__doc__ or "").strip().partition("\n")[0]
    return f"Options of {chosen}. {doc}".strip()


def _starting_spec(arguments: Sequence[str]) -> Spec:
    """The spec before options are applied: from --config where given, the plug-ins from --env, --agent, --model."""
    file = _value_of("--config", arguments)
    saved: dict[str, Any] = {} if file is None else read_spec(Path(file))
    for role in KINDS:
        name = _value_of(f"--{role}", arguments)
        if name is not None:
            name = plugins.canonical(KINDS[role], name)
            # Options saved for one plug-in mean nothing to another.
            other = name != saved.get(role, DEFAULT_NAMES[role])
            saved = {key: value for key, value in saved.items() if not (other and key == f"{role}_config")}
            saved[role] = name
    return Spec.from_json(saved, where=str(file or "configuration"))


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    """The value of an option that must be known before the parser can be made; the last one counts."""
    found = None
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name != option:
            continue
        found = value if equals else next(iter(arguments[index + 1 :]), "")
        if not found or found.startswith("--"):
            raise UsageError(f"{option} needs a value")
    return found


def default_out(spec: Spec) -> Path:
    """Where a run goes unless told: runs/<env>-<agent>-<model>-seed<seed>."""
    names = [plugins.short_name(name) for name in (spec.env, spec.agent, spec.model)]
    return Path("runs", f"{'-'.join(names)}-seed{spec.seed}")


def _train(arguments: list[str]) -> int:
    _keep_freed_memory()
    spec, options = parse_train(arguments)
    out = options.out or default_out(spec)
    from agents._run import check_target

    check_target(out, overwrite=options.overwrite)
    from agents._api import run_training

    command = ["run.py", "train", *arguments]
    return run_training(spec, out, overwrite=options.overwrite, command=command)


# --- evaluate, resume, list -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class AdaptOptions:
    """What commands take that adapt the policy of a run."""

    run: Path
    """Run folder."""

    steps: int | None = None
    """Adaptation [gradient steps]; by default what the run was configured with."""

    episodes: int | None = None
    """Episodes per task and gradient step [episodes], of an agent that learns in its memory trials per task [trials];
    by default what the run was configured with."""

    split: Literal["train", "test", "ood"] = "test"
    """Where tasks come from: as in training, held out, or out of distribution."""

    seed: int = 0
    """Seed of the episodes, and of shots."""

    def __post_init__(self) -> None:
        if self.steps is not None:
            check_count("--steps", self.steps)
        if self.episodes is not None:
            check_count("--episodes", self.episodes, most=LARGEST_EPISODES)
        check_seed("--seed", self.seed)

    @property
    def how(self) -> dict[str, Any]:
        """All but the folder."""
        return {"steps": self.steps, "episodes": self.episodes, "split": self.split, "seed": self.seed}


@dataclass(frozen=True, kw_only=True)
class TasksOptions(AdaptOptions):
    """The same, over many tasks."""

    tasks: int = 100
    """Tasks to evaluate on [tasks]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("--tasks", self.tasks, least=2)

    @property
    def how(self) -> dict[str, Any]:
        """All but the folder."""
        return {"tasks": self.tasks, **super().how}


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(TasksOptions):
    """What `run.py evaluate` takes."""

    out: Path | None = None
    """New JSON file to write, instead of evaluation.json in the run folder; the picture is put beside it."""

    backend: str | None = None
    """Where circuits run; by default where the run was trained."""

    shots: int | None = None
    """Shots of each circuit in each basis that is measured [shots], 0: exact; by default as in training."""

    noise: tuple[str, ...] | None = None
    """What happens on the device, such as depolarizing=0.01 readout=0.02 or calibration=FILE.json; by default as in
    training. May be given more than once."""

    video: bool = False
    """Write an animation, too: the first task of the split before and after adaptation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shots is not None:
            check_count("--shots", self.shots, least=0)


@dataclass(frozen=True)
class ResumeOptions:
    """What `run.py resume` takes."""

    run: Path
    """Run folder."""

    iterations: int | None = None
    """New length of the whole training [meta-iterations]; by default what the run was configured with."""

    def __post_init__(self) -> None:
        if self.iterations is not None:
            check_count("--iterations", self.iterations)


def _evaluate(arguments: list[str]) -> int:
    _value_of("--out", arguments)
    arguments = _written_out(arguments)
    options = _parse(
        "evaluate", EvaluateOptions, arguments, description="Evaluate a trained run: return after 0, 1, … steps."
    )
    _require_run_folder(options.run)
    _keep_freed_memory()
    if options.video:  # nothing is to be shown: pygame, which draws some of the pictures, needs no screen
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    from agents._api import run_evaluation

    return run_evaluation(
        options.run,
        **options.how,
        out=options.out,
        backend=options.backend,
        shots=options.shots,
        noise=options.noise,
        video=options.video,
    )


def _resume(arguments: list[str]) -> int:
    options = _parse("resume", ResumeOptions, arguments, description="Continue a run from its last checkpoint.")
    _require_run_folder(options.run)
    _keep_freed_memory()
    from agents._api import run_resume

    return run_resume(options.run, iterations=options.iterations)


@dataclass(frozen=True, kw_only=True)
class RobustnessOptions(TasksOptions):
    """What `run.py robustness` takes."""

    noise: tuple[str, ...] = ("depolarizing",)
    """Kinds of noise, each by itself: depolarizing, amplitude_damping, phase_damping, bit_flip, readout."""

    strengths: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1)
    """Of each kind; see `qrl.noise.Noise`."""

    shots: tuple[int, ...] = (10, 30, 100, 300, 1000)
    """Shots of each circuit in each basis that is measured [shots], without noise."""

    out: Path | None = None
    """New JSON file to write, instead of robustness.json in the run folder; the picture is put beside it."""


def _robustness(arguments: list[str]) -> int:
    _value_of("--out", arguments)
    description = "Evaluate a trained run exactly, under noise of growing strength and from few to many shots."
    arguments = _written_out(arguments)
    options = _parse("robustness", RobustnessOptions, arguments, description=description)
    _require_run_folder(options.run)
    _keep_freed_memory()
    from agents._api import run_robustness

    return run_robustness(options.run, options.noise, options.strengths, options.shots, out=options.out, **options.how)


@dataclass(frozen=True, kw_only=True)
class ExportOptions(AdaptOptions):
    """What `run.py export` takes: the policy is adapted as in an evaluation, by default in one step."""

    out: Path = Path("circuits")
    """New folder to make: a file for each circuit, and export.json about them."""

    format: Literal["openqasm2", "openqasm3", "qiskit"] = "openqasm3"
    """OpenQASM text, or Qiskit's own QPY (extra qiskit)."""

    observations: Path | None = None
    """A JSON list of observations; by default the first of an episode."""

    task: int = 0
    """Which of its tasks, from 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("--task", self.task, least=0, most=LARGEST_EPISODES)


def _export(arguments: list[str]) -> int:
    _value_of("--out", arguments)
    description = "Adapt a trained policy to a task and write its circuits for given observations."
    options = _parse("export", ExportOptions, arguments, description=description)
    _require_run_folder(options.run)
    _keep_freed_memory()
    from agents._api import run_export

    return run_export(
        options.run,
        options.out,
        kind=options.format,
        observations=options.observations,
        task=options.task,
        **options.how,
    )


@dataclass(frozen=True)
class PlotOptions:
    """What `run.py plot` takes."""

    runs: tuple[Path, ...]
    """Run folders that have been evaluated."""

    out: Path = Path("adaptation.png")
    """New PNG file to write."""

    against: Literal["x", "episodes", "env-steps"] = "episodes"
    """What the curves are drawn against: episodes or environment steps spent in a task before, which all agents have in
    common, or their own x, gradient steps or episodes."""

    split: Literal["train", "test", "ood"] = "test"
    """Of which tasks."""

    def __post_init__(self) -> None:
        if not self.runs:
            raise UsageError("plot needs run folders: usage is run.py plot RUN ...")


def _plot(arguments: list[str]) -> int:
    _value_of("--out", arguments)
    description = "Draw the adaptation curves of several runs of one environment into one picture."
    options = _parse("plot", PlotOptions, arguments, description=description)
    for path in options.runs:
        _require_run_folder(path)
    from agents._api import run_plot

    return run_plot(options.runs, options.out, options.against.replace("-", "_"), options.split)


def _require_run_folder(path: Path) -> None:
    """Complain about a wrong folder at once, not after the seconds that importing torch takes."""
    from agents._run import RunFolder

    RunFolder.open(path)


def _list(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: run.py list\n\n{COMMANDS['list']}")
        return 0
    if arguments:
        raise UsageError(f"list takes no arguments, found {arguments[0]!r}")
    print(_catalogue())
    return 0


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "evaluate": _evaluate,
    "resume": _resume,
    "robustness": _robustness,
    "export": _export,
    "plot": _plot,
    "list": _list,
}


# --- parsing ----------------------------------------------------------------------------------------------------------


class _Help(Exception):
    """Help was asked for and has been printed."""


def _parse(command: str, cls: type[T], arguments: Sequence[str], **keywords: Any) -> T:
    """`tyro.cli`, with errors as one line.

    Raises:
        UsageError: an argument cannot be used; a near match is suggested for a mistyped option.
        _Help: help was asked for and printed.
    """
    import tyro

    complaint = io.StringIO()
    markers = (tyro.conf.PositionalRequiredArgs,)
    try:
        with contextlib.redirect_stderr(complaint):
            options, unknown = tyro.cli(
                cls,
                prog=f"run.py {command}",
                args=list(arguments),
                return_unknown_args=True,
                config=markers,
                **keywords,
            )
    except SystemExit as stop:
        if not stop.code:
            raise _Help from None
        raise UsageError(_condensed(complaint.getvalue())) from None
    if unknown:
        known = sorted(_option_names(keywords.get("default", options)))
        raise UsageError(_unknown_option(command, unknown[0], known))
    return options


def _condensed(box: str) -> str:
    """The message in a box that tyro drew: what stands between the first two lines, the box's upper edge included."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    parts: list[list[str]] = [[]]
    for line in plain.splitlines():
        text = line.strip("│ \t")
        # Boxes are drawn with hyphens where the terminal does not speak UTF-8.
        if re.fullmatch(r"[╭╰].*|[─-]{3,}", text):
            parts.append([])
        elif text:
            parts[-1].append(text)
    message = " ".join(next((part for part in parts[1:] if part), [plain]))
    for pattern, replacement in _PLAINER:
        message = re.sub(pattern, replacement, message)
    return message


_QUOTED = re.compile(r"'([^']*)'")

_PLAINER: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^Error parsing ", ""),
    (r"^\w+Options: |^Options: ", ""),
    (r"^(env|agent|model)[-_]config\b", r"--\1"),
    (r"^policy\b", "--policy"),
    (r"invalid literal for int\(\) with base 10: (.*)", r"\1 is not a whole number"),
    (r"could not convert string to float: (.*)", r"\1 is not a number"),
    (r"no type matching (\S+) could be instantiated from \['(.*?)'\]\..*", r"'\2' does not fit \1"),
    (r"Missing value for argument '(\S+)'\. Expected 1 values\.", r"\1 needs a value"),
    (r"Missing value for argument '(\S+)'\. Expected (\d+) values\.", r"\1 needs \2 values"),
    (r"Missing from run\.py (\w+): .*", r"\1 needs a run folder: usage is run.py \1 RUN"),
    (
        r"invalid choice '(.*?)' for argument '(\S+)'\. Expected one of \((.*?),?\)\.",
        lambda match: f"{match[2]}: {match[1]!r} cannot be chosen{suggest(match[1], _QUOTED.findall(match[3]))}",
    ),
)
"""Tyro's messages and how they are put here; one that is not listed is shown as it is."""


def _option_names(options: Any, prefix: str = "--") -> Iterator[str]:
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        name = _CONFIGS.get(field.name, field.name) if prefix == "--" else field.name
        name = name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            yield from _option_names(value, f"{prefix}{name}.")
            continue
        yield f"{prefix}{name}"
        if value is True:
            yield f"{prefix}no-{name}"


def _unknown_option(command: str, argument: str, known: Sequence[str]) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}; `run.py {command} --help` shows what is accepted"
    name = argument.partition("=")[0].replace("_", "-")
    near = difflib.get_close_matches(name, [each for each in known if "." in each or "." not in name], n=1)
    hint = f"did you mean {near[0]}?" if near else f"`run.py {command} --help` lists all"
    return f"unknown option {argument.partition('=')[0]}; {hint}"


# --- help -------------------------------------------------------------------------------------------------------------


def _help() -> str:
    commands = "\n".join(f"  {name:10} {text}" for name, text in COMMANDS.items())
    return f"""\
usage: run.py [train] [--env NAME] [--agent NAME] [--model NAME] [--seed N] [--iterations N] [--out RUN] ...
       run.py [train] --env CartPole-v1 --vary gravity=5:15 [--vary NAME=RANGE] [--ood NAME=RANGE] ...
       run.py evaluate RUN [--tasks N] [--steps K] [--episodes E] [--split train|test|ood] [--video]
       run.py evaluate RUN [--shots N] [--noise depolarizing=0.01] [--noise calibration=FILE.json] ...
       run.py resume RUN [--iterations N]
       run.py robustness RUN [--noise KIND ...] [--strengths P ...] [--shots N ...]
       run.py export RUN [--out FOLDER] [--format openqasm2|openqasm3|qiskit] [--observations FILE.json]
       run.py plot RUN ... [--out FILE] [--against episodes|env-steps|x]
       run.py list

Quantum policies that learn to adapt.

commands
{commands}

{_catalogue()}

`run.py COMMAND --help` lists the options of a command; `run.py train --env NAME --agent NAME --model NAME --help`
those of the chosen environment, agent and model too."""


def _catalogue() -> str:
    titles = {"env": "environments", "agent": "agents", "model": "models"}
    blocks = []
    for role, title in titles.items():
        lines = [f"{title} (--{role})"]
        summaries = plugins.available(KINDS[role]).values()
        width = max((len(summary.name) for summary in summaries), default=0)
        for summary in summaries:
            state = f"  [unreadable: {summary.broken}]" if summary.broken else ""
            state = f"  [needs: {summary.remedy}]" if summary.missing else state
            lines.append(f"  {summary.name:{width}} {summary.doc}{state}".rstrip())
        blocks.append("\n".join(lines if len(lines) > 1 else [*lines, "  (none)"]))
    return "\n\n".join(blocks)


# --- memory -----------------------------------------------------------------------------------------------------------


def _keep_freed_memory() -> None:
    """Have glibc keep freed memory instead of returning it at once.

    Each iteration allocates and frees the same large tensors; handed back every time, they cost a page fault per 4 KiB
    when next touched, which makes the simulator 1.3 to 4 times slower. Set here and not on import, because it concerns
    the whole process.
    """
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return
        mallopt = ctypes.CDLL(None).mallopt
    except (ValueError, OSError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h.
    mallopt(trim_threshold, 1 << 30)
    # Older versions refuse more than 32 MiB.
    if not mallopt(mmap_threshold, 1 << 30):
        mallopt(mmap_threshold, 32 << 20)


if __name__ == "__main__":
    sys.exit(main())
