"""Command line of `train`: the spec of a run from options of the run and of the chosen plug-ins."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from agents.cli.parse import Group, Option, Parser, options_of, wants_help
from agents.core.plain import from_plain, init_names, inside, to_plain
from agents.core.registry import DEFAULT_NAMES, REGISTRIES
from agents.core.spec import CONFIGS, Spec, check_names
from agents.runs.saved_spec import read_spec
from envs.core.registry import ENVS
from qrl.common.errors import UsageError
from qrl.common.options import DataclassInstance
from qrl.common.summaries import first_line
from qrl.common.trust import Trust, names_from

FIRST = ("env", "agent", "model", "iterations", "seed", "out")
"""Options of a run that the help text shows first."""

ALIASES = {"vary": ("--vary",), "ood": ("--ood",), "fixed": ("--set",), "workers": ("--workers",)}
"""Options of Gymnasium's environments that may be given without the prefix."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of `train` besides the spec of the run."""

    out: Path | None = None
    """Run folder to create (default: runs/<env>-<agent>-<model>-seed<seed>)."""

    overwrite: bool = False
    """Replace an existing run in this folder."""

    config: Path | None = None
    """Start from a run folder or a JSON file; further options override it."""

    from_: Path | None = None
    """Start from the trained weights of this run, or of RUN/best."""

    track: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = ()
    """Trackers: tensorboard, wandb, mlflow, trackio (extras of these names)."""

    trust: bool = False
    """With --config: trust all code that it names."""

    seeds: str | None = None
    """Train several seeds, as `sweep` does: 10 for 0 to 9, or 3,5,7."""

    jobs: int = 1
    """With --seeds: parallel runs [processes]."""


def parse_train(arguments: Sequence[str]) -> tuple[Spec, TrainOptions, str, Trust]:
    """Parse the spec of a run and the further options of `train`.

    Return also a note for the user, or "", and the trusted code among what the configuration of `--config` names.

    Raises:
        UsageError: an argument is invalid, or the configuration names code that is not trusted.
        HelpShown: help was requested and has been printed.
    """
    file, trust = _source(arguments)
    with names_from(file or None, trust):
        return *_parse(arguments, file, trust.names), trust


def option_names(arguments: Sequence[str]) -> frozenset[str]:
    """Return the names of all options that `train` has with the plug-ins that these arguments choose.

    Raises UsageError as `parse_train` does for the plug-ins and the environment's options. Other options are not read.
    """
    file, trust = _source(arguments)
    with names_from(file or None, trust):
        start, _ = _start(arguments, file, trust.names)
        return frozenset(name for group in _groups(start) for option in group.options for name in option.names)


def _source(arguments: Sequence[str]) -> tuple[str, Trust]:
    """Return the file of --config, or "", and the code that the arguments vouch for: its names are the plug-ins'."""
    choosing = [option for option in _run_options(Spec()) if option.path[0] in (*REGISTRIES, "config", "trust")]
    given = Parser("train", [Group("", choosing)], "").known(arguments)
    file = str(given.pop("config", ""))
    everything = bool(given.pop("trust", False))
    return file, Trust(everything, {role: REGISTRIES[role].canonical(str(name)) for role, name in given.items()})


def _parse(arguments: Sequence[str], file: str, names: Mapping[str, str]) -> tuple[Spec, TrainOptions, str]:
    start, note = _start(arguments, file, names)
    _check_aliases(start.env, init_names(type(start.env_config)), arguments)
    description = f"Train {start.agent} with the model {start.model} on {start.env}, then evaluate on held-out tasks."
    parser = Parser("train", list(_groups(start)), description, partial(_owners, start))
    given = parser.values(arguments)
    own = {name: given.pop(name) for name in init_names(TrainOptions) if name in given}
    options = from_plain(TrainOptions, own, "--")
    values = {name: getattr(start, name) for name in init_names(Spec)} | given
    for prefix, key in CONFIGS.items():
        values[key] = _changed(getattr(start, key), given.get(key, {}), f"--{prefix}")
    names = {role: getattr(start, role) for role in REGISTRIES}
    try:
        spec = from_plain(Spec, values | names, "--")
    except UsageError as error:
        raise UsageError(_as_option(str(error))) from error
    if wants_help(arguments):
        Parser("train", list(_groups(spec)), description).show_help()
    return spec, options, note


def _as_option(message: str) -> str:
    """Return a message about a field of the spec with its name on the command line: "--iterations must be …"."""
    name = message.partition(" ")[0]
    return f"--{message}" if name.replace("-", "_") in init_names(Spec) else message


def _start(arguments: Sequence[str], file: str, names: Mapping[str, str]) -> tuple[Spec, str]:
    """Return the spec before other options are applied, and a note on the choice of the agent.

    It follows from --config, --env, --agent, --model, and the options of the environment, which may decide the agent.

    Args:
        arguments: all arguments.
        file: the file of --config, or "".
        names: plug-ins given by --env, --agent and --model, by role.
    """
    saved = read_spec(Path(file)) if file else {}
    check_names(saved, file, {})
    given = [role for role in REGISTRIES if role in names and file]
    before = {role: saved[role] if role in saved else getattr(Spec.from_json(saved, file), role) for role in given}
    for role in given:
        if names[role] != REGISTRIES[role].canonical(str(before[role])):
            saved.pop(f"{role}_config", None)  # Saved options of another plug-in do not apply.
    saved |= names
    env = ENVS.load(saved.setdefault("env", DEFAULT_NAMES["env"]))
    config = from_plain(env.Config, saved.get("env_config") or {}, inside(file, "env_config"))
    options = list(options_of(env.Config, config, "--env.", ("env_config",), ALIASES))
    changes = Parser("train", [Group("", options)], "").known(arguments).get("env_config", {})
    saved["env_config"] = _changed(config, changes, "--env")
    spec = Spec.from_json(saved, file)
    if "agent" in saved or spec.agent == DEFAULT_NAMES["agent"]:
        return spec, ""
    from envs.wrapped.ids import IdOptions  # Local, as it imports torch and Gymnasium.

    single = " without --vary, which is a single task" if isinstance(spec.env_config, IdOptions) else ""
    return spec, f"note: training {spec.agent}, the default agent for {spec.env}{single}"


def _owners(spec: Spec, option: str) -> str:
    """Return which other plug-ins of this library have an option such as "--agent.lr-angles"; "" if none has it."""
    role, dot, name = option.removeprefix("--").partition(".")
    if not dot or role not in REGISTRIES:
        return ""
    registry, field = REGISTRIES[role], name.replace("-", "_")
    usable = [each for each, summary in registry.available().items() if summary.usable and each in registry.shelved()]
    owners = [each for each in usable if field in init_names(registry.load(each).Config)]
    if not owners:
        return ""
    have = "has" if len(owners) == 1 else "have"
    return f"{role} {getattr(spec, role)} has no such option; {', '.join(owners)} {have} it"


def _check_aliases(env: object, known: Sequence[str], arguments: Sequence[str]) -> None:
    """Raise UsageError for an option of Gymnasium's environments that this environment lacks."""
    given = {argument.partition("=")[0] for argument in arguments}
    for name, aliases in ALIASES.items():
        if name not in known and (alias := next((each for each in aliases if each in given), None)):
            raise UsageError(
                f"{alias}: env {env!r} has no such option; it is for a Gymnasium id or a class, such as "
                "--env CartPole-v1 --vary gravity=5:15 or --env my_env.py:MyEnv; in a file, use envs.GymnasiumTasks"
            )


def _changed(config: object, changes: object, where: str) -> object:
    """Return a plug-in's options with some values changed."""
    assert isinstance(config, DataclassInstance) and isinstance(changes, Mapping)
    return from_plain(type(config), _merged(to_plain(config), changes), where)


def _merged(values: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    merged = dict(values)
    for name, change in changes.items():
        inner = merged.get(name)
        if isinstance(inner, Mapping) and isinstance(change, Mapping):
            change = _merged(inner, change)
        merged[name] = change
    return merged


def _run_options(spec: Spec) -> list[Option]:
    """Return the options of a run that belong to no plug-in."""
    options = (*options_of(Spec, spec), *options_of(TrainOptions))
    return [option for option in options if option.path[0] not in (*CONFIGS.values(), "objects")]


def _groups(spec: Spec) -> Iterator[Group]:
    """Yield the groups of the help text: what to start with, the run, each plug-in."""
    configs = {
        prefix: list(options_of(type(getattr(spec, key)), getattr(spec, key), f"--{prefix}.", (key,), ALIASES))
        for prefix, key in CONFIGS.items()
    }
    run = _run_options(spec)
    first = [option for name in FIRST for option in run if option.path == (name,)]
    for role in REGISTRIES:
        first += _most_important(type(getattr(spec, CONFIGS[role])), configs[role])
    yield Group("start here", first)
    yield Group("run", [option for option in run if option not in first])
    for prefix, options in configs.items():
        rest = [option for option in options if option not in first]
        if prefix in REGISTRIES:
            name = getattr(spec, prefix)
            yield Group(f"{prefix} {name}", rest, first_line(REGISTRIES[prefix].load(name).__doc__))
        else:
            yield Group(prefix, rest, "How the model's outputs become a distribution over actions.")


def _most_important(config: type, options: Sequence[Option]) -> Sequence[Option]:
    """Return the option to show first, if any: the first that the plug-in's Config defines itself, else inherits."""
    own = [name for name in init_names(config) if name in vars(config).get("__annotations__", {})]
    return [option for option in options if own and option.path[1] == own[0]] or options[:1]
