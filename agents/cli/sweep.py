"""Command `sweep`: the product of environments, agents, models, options and seeds as runs of one folder."""

import shlex
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli.options import SweepOptions
from agents.cli.parse import Group, Parser, options_of, wants_help
from agents.cli.train import option_names, parse_train
from agents.core.plain import from_plain
from agents.core.registry import REGISTRIES
from agents.core.spec import CONFIGS
from agents.runs.messages import printable
from agents.runs.program import program
from agents.study.file import VariantTable, grid_axes, make_variant, read_request
from agents.study.request import Request, Variant, parse_seeds
from agents.study.setting import Setting, grid_axis, settings, split_words
from qrl.common.checks import abbreviated, shown
from qrl.common.errors import TrainingError, UsageError
from qrl.common.files import kind_of

if TYPE_CHECKING:
    from agents.study.plan import Parsed
    from agents.study.study import Study

DESCRIPTION = """Train the product of environments, agents, models, options and seeds as runs of one folder; started
again, train what is missing. Every option of `train` is taken and holds for all runs. A study file in TOML, given
before the options, holds the same (docs/studies.md)."""

Names = str | Sequence[str]
"""One plug-in or several, by name."""

_CONFIGS = {key: prefix for prefix, key in CONFIGS.items()}
"""Prefix of the options of a plug-in by the argument of `agents.train` that takes them."""

ARGUMENTS = {**_CONFIGS, "start_from": "from"}
"""Names on the command line of arguments of `agents.train` that have another one there."""

_ALIASES = {f"{role}s": (f"--{role}",) for role in REGISTRIES}


class TrainWords:
    """Command line of `train`, for the plan of a study."""

    def option_names(self, words: Sequence[str]) -> frozenset[str]:
        """Return the names of all options with the plug-ins that these words choose."""
        return option_names(words)

    def parse(self, words: Sequence[str]) -> "Parsed":
        """Return the spec of these words."""
        from agents.study.plan import Parsed  # Local, as it imports torch.

        spec, options, note, trust = parse_train(words)
        return Parsed(spec, note, options.config, trust, options.from_, options.track)


def run_sweep(arguments: Sequence[str], command: Sequence[str]) -> int:
    """Run the command `sweep`, or `train` with several seeds; return the exit code: 1 if a run has failed.

    Args:
        arguments: arguments of the command.
        command: whole command line, recorded with the study.
    """
    if wants_help(arguments):
        _parser().show_help()
    request = make_request(arguments)
    from agents.study.executor import LocalProcesses
    from agents.study.study import run_study

    study = run_study(request, TrainWords(), LocalProcesses(), command=command, again=shlex.join(command))
    count, complete = len(study.names), len(study.names) - len(study.failed)
    print(printable(f"{study.path}: {complete} of {count} runs are complete"))
    print(printable(f"compare them: {program()} compare {shlex.quote(str(study.path))}"))
    return int(bool(study.failed))


def _parser() -> Parser:
    return Parser("sweep", [Group("options", list(options_of(SweepOptions, aliases=_ALIASES)))], DESCRIPTION)


def make_request(arguments: Sequence[str]) -> Request:
    """Return the request of a command line; its options override those of its study file.

    Raises:
        UsageError: an option of `sweep` is invalid, or the study file is. Options of `train` are not checked here.
    """
    file, rest = (Path(arguments[0]), arguments[1:]) if _names_file(arguments) else (None, arguments)
    if file is not None and kind_of(file) == "folder":
        raise UsageError(f"{file} is a folder, no study file; to continue a study, repeat the command that began it")
    base = Request() if file is None else read_request(file)
    parser = _parser()
    own = {name.removeprefix("--") for group in parser.groups for option in group.options for name in option.names}
    given = split_words(rest)
    _check_spellings({each.name for each in given})
    words = [word for each in given if each.name in own for word in each.words]
    options = from_plain(SweepOptions, parser.values(words), "--")
    lists = {role: getattr(options, f"{role}s") for role in REGISTRIES}
    typed = {role: _names(role, text) for role, text in lists.items() if text is not None}
    further = [each for each in given if each.name not in own]
    if options.trust and any(each.name == "config" for each in further):
        further.append(Setting("trust", ("--trust",), ""))
    axes = [grid_axis(text) for text in options.grid]
    grid = {axis[0].name: axis for axis in axes}
    if len(grid) < len(axes):
        raise UsageError("--grid: an option is given as two axes: give all its values to one")
    return _overridden(base, options, typed, further, grid)


def sweep(
    out: Path | str | None = None,
    *,
    env: str | None = None,
    agent: str | None = None,
    model: str | None = None,
    envs: Names | None = None,
    agents: Names | None = None,
    models: Names | None = None,
    seeds: int | Sequence[int] = 1,
    grid: Mapping[str, Sequence[object]] | None = None,
    variants: Mapping[str, Mapping[str, object]] | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    progress: bool = True,
    **options: object,
) -> "Study":
    """Train the product of environments, agents, models, options and seeds as runs of one folder, as `run.py sweep`.

    Called again, also with more seeds, models or values, train what is missing. Each run is a process of its own.

    Args:
        out: folder of the study; by default studies/<env>-<agent>-<model>, if there is one of each.
        env: environment: a name, a file or module:attribute.
        agent: agent, likewise; by default what suits the environment.
        model: model of the policy network, likewise; by default what suits the agent.
        envs: several environments, in place of `env`; one name is accepted, too.
        agents: several agents, likewise.
        models: several models, likewise.
        seeds: number of seeds, 10 for 0 to 9, or the seeds.
        grid: axes of the grid: values by the name of an option, such as {"agent.inner-steps": [1, 2]}.
        variants: options of each variant by its name, crossed with everything else.
        jobs: parallel runs, each with one thread unless `threads` is given [processes].
        overwrite: replace runs of the study that have another configuration.
        progress: show the progress on standard error.
        options: further options of `agents.train`, which hold for all runs: iterations=20, agent_config={"clip": 0.1}.

    Raises:
        UsageError: an option is invalid, a run would not start, or a plug-in is given as an object; nothing has been
            written.
        TrainingError: a run has failed; all others have been trained.
        KeyboardInterrupt: after a signal, once the running runs have saved checkpoints.
    """
    from agents.study.executor import LocalProcesses
    from agents.study.study import run_study

    names = _all_names({"env": env, "agent": agent, "model": model}, {"env": envs, "agent": agents, "model": models})
    for name, value in options.items():
        if name in _CONFIGS and not isinstance(value, Mapping):
            raise UsageError(
                f"{name}: a sweep takes a mapping of options, such as {{'horizon': 50}}, not {shown(value)}"
            )
    tables = [
        VariantTable(name, dict(_mapping(f"variants: {name}", own)))
        for name, own in _mapping("variants", variants or {}).items()
    ]
    request = Request(
        out=None if out is None else Path(out),
        seeds=parse_seeds(seeds, "seeds"),
        names=names,
        settings=settings({ARGUMENTS.get(name, name): value for name, value in options.items()}, "options"),
        grid=grid_axes(_mapping("grid", grid or {}), "grid"),
        variants=(Variant(),) if variants is None else tuple(make_variant(table, "variants") for table in tables),
        jobs=jobs,
        overwrite=overwrite,
        typed=frozenset(REGISTRIES),
    )
    again = "call agents.sweep again"
    study = run_study(request, TrainWords(), LocalProcesses(), command=(), again=again, quiet=not progress)
    if study.failed:
        raise TrainingError(f"{len(study.failed)} of {len(study.names)} runs failed: {'; '.join(study.failed)}")
    return study


def _mapping(what: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{what}: expected a mapping by the names of options, found {shown(value)}")
    return value


def _all_names(single: Mapping[str, object], several: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Return the names by role, each given in Python as a single one or as several."""
    names = {role: _given_names(f"{role}s", value) for role, value in several.items() if value is not None}
    for role, value in single.items():
        if value is None:
            continue
        if role in names:
            raise UsageError(f"{role} and {role}s: give one of the two")
        if isinstance(value, list | tuple):
            raise UsageError(f"{role}: expected a single name, found {value!r}: give {role}s")
        names[role] = _given_names(role, value)
    return names


def _given_names(what: str, value: object) -> tuple[str, ...]:
    """Return the names that were given in Python: one, or several."""
    names = (value,) if isinstance(value, str) or not isinstance(value, Sequence) else tuple(value)
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"{what}: {shown(name)} is no name: the runs of a sweep are other processes; give a file")
    return names


def _overridden(
    base: Request,
    options: SweepOptions,
    typed: dict[str, tuple[str, ...]],
    further: Sequence[Setting],
    grid: dict[str, tuple[Setting, ...]],
) -> Request:
    """Return a request with what was given on the command line in place of what it has of the same name."""
    given = {each.name for each in further}
    replaced = given | grid.keys()
    variants = tuple(
        Variant(each.name, each.names, tuple(one for one in each.settings if one.name not in replaced))
        for each in base.variants
    )
    if options.seeds is not None and options.seed is not None:
        raise UsageError("--seed and --seeds: give one of the two")
    seeds = base.seeds if options.seed is None else (options.seed,)
    return Request(
        seeds=seeds if options.seeds is None else parse_seeds(options.seeds, "--seeds"),
        names={**base.names, **typed},
        settings=(*(each for each in base.settings if each.name not in replaced), *further),
        grid={name: axis for name, axis in base.grid.items() if name not in given} | grid,
        variants=variants,
        out=options.out or base.out,
        jobs=base.jobs if options.jobs is None else options.jobs,
        overwrite=options.overwrite,
        trust=options.trust,
        file=base.file,
        typed=frozenset(typed),
    )


def _names_file(arguments: Sequence[str]) -> bool:
    return bool(arguments) and not arguments[0].startswith("-")


def _check_spellings(given: Set[str]) -> None:
    """Raise UsageError if plug-ins are given by both names of their option, of which one would not count."""
    for role in REGISTRIES:
        if {role, f"{role}s"} <= given:
            raise UsageError(f"--{role} and --{role}s: give one of the two")


def _names(role: str, text: str) -> tuple[str, ...]:
    names = tuple(each.strip() for each in text.split(","))
    if not all(names):
        raise UsageError(
            f"--{role}s {abbreviated(text)}: expected names separated by commas, such as --models mlp,fourier"
        )
    return names
