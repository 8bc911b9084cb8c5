"""Command line of `train`: the spec of a run from options of the run and of the chosen plug-ins."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from agents.cli.parse import Group, Option, Parser, options_of, wants_help
from agents.cli.plugins import changed_configs, check_aliases, options_by_plugin, owners_of, plugin_group, start_spec
from agents.core.plain import from_plain, init_names
from agents.core.registry import REGISTRIES
from agents.core.spec import CONFIGS, Spec
from qrl.common.errors import UsageError
from qrl.common.trust import Trust, names_from

FIRST = ("env", "agent", "model", "iterations", "seed", "out")
"""Options of a run that the help text shows first."""


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
        start, _ = start_spec(arguments, file, trust.names)
        return frozenset(name for group in _groups(start) for option in group.options for name in option.names)


def _source(arguments: Sequence[str]) -> tuple[str, Trust]:
    """Return the file of --config, or "", and the code that the arguments vouch for: its names are the plug-ins'."""
    choosing = [option for option in _run_options(Spec()) if option.path[0] in (*REGISTRIES, "config", "trust")]
    given = Parser("train", [Group("", choosing)], "").known(arguments)
    file = str(given.pop("config", ""))
    everything = bool(given.pop("trust", False))
    return file, Trust(everything, {role: REGISTRIES[role].canonical(str(name)) for role, name in given.items()})


def _parse(arguments: Sequence[str], file: str, names: Mapping[str, str]) -> tuple[Spec, TrainOptions, str]:
    start, note = start_spec(arguments, file, names)
    check_aliases(start.env, init_names(type(start.env_config)), arguments)
    description = f"Train {start.agent} with the model {start.model} on {start.env}, then evaluate on held-out tasks."
    parser = Parser("train", list(_groups(start)), description, partial(owners_of, start))
    given = parser.values(arguments)
    own = {name: given.pop(name) for name in init_names(TrainOptions) if name in given}
    options = from_plain(TrainOptions, own, "--")
    values = {name: getattr(start, name) for name in init_names(Spec)} | given | changed_configs(start, given)
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


def _run_options(spec: Spec) -> list[Option]:
    """Return the options of a run that belong to no plug-in."""
    options = (*options_of(Spec, spec), *options_of(TrainOptions))
    return [option for option in options if option.path[0] not in (*CONFIGS.values(), "objects")]


def is_run_option(name: str) -> bool:
    """Return whether `train` has this option, such as "--iterations", with any plug-ins."""
    return any(name in option.names for option in _run_options(Spec()))


def _groups(spec: Spec) -> Iterator[Group]:
    """Yield the groups of the help text: what to start with, the run, each plug-in."""
    configs = options_by_plugin(spec)
    run = _run_options(spec)
    first = [option for name in FIRST for option in run if option.path == (name,)]
    for role in REGISTRIES:
        first += _most_important(type(getattr(spec, CONFIGS[role])), configs[role])
    yield Group("start here", first)
    yield Group("run", [option for option in run if option not in first])
    for prefix, options in configs.items():
        yield plugin_group(spec, prefix, [option for option in options if option not in first])


def _most_important(config: type, options: Sequence[Option]) -> Sequence[Option]:
    """Return the option to show first, if any: the first that the plug-in's Config defines itself, else inherits."""
    own = [name for name in init_names(config) if name in vars(config).get("__annotations__", {})]
    return [option for option in options if own and option.path[1] == own[0]] or options[:1]
