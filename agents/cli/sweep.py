"""Command `sweep`: the product of environments, agents, models, options and seeds as runs of one folder."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli.options import SweepOptions
from agents.cli.parse import Group, Parser, options_of, wants_help
from agents.cli.train import option_names, parse_train
from agents.core.plain import from_plain
from agents.core.registry import REGISTRIES
from agents.runs.messages import tell
from agents.runs.program import program
from agents.study.file import read_request
from agents.study.request import Request, Variant, parse_seeds
from agents.study.setting import Setting, grid_axis, split_words
from qrl.common.errors import UsageError
from qrl.common.files import kind_of

if TYPE_CHECKING:
    from agents.study.plan import Parsed

DESCRIPTION = """Train the product of environments, agents, models, options and seeds as runs of one folder; started
again, train what is missing. Every option of `train` is taken and holds for all runs. A study file in TOML, given
before the options, holds the same (docs/studies.md)."""

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
        return Parsed(spec, note, options.config, trust)


def run_sweep(arguments: Sequence[str], command: Sequence[str]) -> int:
    """Run the command `sweep`, or `train` with several seeds; return the exit code: 1 if a run has failed.

    Args:
        arguments: arguments of the command.
        command: whole command line, recorded with the study.
    """
    parser = Parser("sweep", [Group("options", list(options_of(SweepOptions, aliases=_ALIASES)))], DESCRIPTION)
    if wants_help(arguments):
        parser.show_help()
    request = make_request(arguments, parser)
    from agents.study.executor import LocalProcesses
    from agents.study.study import run_study

    study = run_study(request, TrainWords(), LocalProcesses(), command=command, again=shlex.join(command))
    for text in study.failed:
        tell(text)
    print(f"{study.path}: {len(study.names) - len(study.failed)} of {len(study.names)} runs are complete")
    print(f"compare them: {program()} compare {shlex.quote(str(study.path))}")
    return int(bool(study.failed))


def make_request(arguments: Sequence[str], parser: Parser) -> Request:
    """Return the request of a command line; its options override those of its study file.

    Raises:
        UsageError: an option of `sweep` is invalid, or the study file is. Options of `train` are not checked here.
    """
    file, rest = (Path(arguments[0]), arguments[1:]) if _names_file(arguments) else (None, arguments)
    if file is not None and kind_of(file) == "folder":
        raise UsageError(f"{file} is a folder, no study file; to continue a study, repeat the command that began it")
    base = Request() if file is None else read_request(file)
    own = {name.removeprefix("--") for group in parser.groups for option in group.options for name in option.names}
    given = split_words(rest)
    words = [word for each in given if each.name in own for word in each.words]
    options = from_plain(SweepOptions, parser.values(words), "--")
    lists = {role: getattr(options, f"{role}s") for role in REGISTRIES}
    typed = {role: _names(role, text) for role, text in lists.items() if text is not None}
    settings = [each for each in given if each.name not in own]
    if options.trust and any(each.name == "config" for each in settings):
        settings.append(Setting("trust", ("--trust",), ""))
    axes = [grid_axis(text) for text in options.grid]
    grid = {axis[0].name: axis for axis in axes}
    if len(grid) < len(axes):
        raise UsageError("--grid: an option is given as two axes: give all its values to one")
    return _overridden(base, options, typed, settings, grid)


def _overridden(
    base: Request,
    options: SweepOptions,
    typed: dict[str, tuple[str, ...]],
    settings: Sequence[Setting],
    grid: dict[str, tuple[Setting, ...]],
) -> Request:
    """Return a request with what was given on the command line in place of what it has of the same name."""
    given = {each.name for each in settings}
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
        settings=(*(each for each in base.settings if each.name not in replaced), *settings),
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


def _names(role: str, text: str) -> tuple[str, ...]:
    names = tuple(each.strip() for each in text.split(","))
    if not all(names):
        raise UsageError(f"--{role}s {text}: expected names separated by commas, such as --models mlp,fourier")
    return names
