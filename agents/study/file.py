"""Study files: requests of studies in TOML."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agents.core.plain import from_plain, init_names
from agents.core.registry import REGISTRIES
from agents.study.request import Request, Variant, parse_seeds
from agents.study.setting import Setting, flat, setting, settings
from qrl.common.checks import shown
from qrl.common.errors import UsageError
from qrl.common.files import read_regular

CONSENTING = ("config", "trust", "overwrite")
"""Options that a study file cannot give: they vouch for code, or replace results."""


@dataclass(frozen=True)
class VariantTable:
    """Table of a variant in a study file; one with plug-ins of its own needs no name."""

    name: str = ""
    options: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyFile:
    """Content of a study file; the names of its keys."""

    out: str | None = None
    seeds: object = None
    jobs: int | None = None
    envs: list[str] | None = None
    agents: list[str] | None = None
    models: list[str] | None = None
    options: dict[str, object] = field(default_factory=dict)
    grid: dict[str, object] = field(default_factory=dict)
    variants: list[VariantTable] | None = None


def read_request(path: Path) -> Request:
    """Read the request of a study file.

    Raises:
        UsageError: the file cannot be read, is not TOML, has no key or an unknown one, or a value is invalid.
    """
    content = read_regular(path)
    try:
        data = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: not TOML: nested too deeply") from error
    except ValueError as error:  # Python converts only so many digits.
        raise UsageError(f"{path}: not TOML: a number has thousands of digits") from error
    if not data:
        raise UsageError(f"{path}: empty: expected at least one of {', '.join(init_names(StudyFile))}")
    try:
        return make_request(from_plain(StudyFile, data, str(path)), path)
    except RecursionError as error:  # Dotted keys may be nested deeper than tables.
        raise UsageError(f"{path}: nested too deeply") from error


def make_request(content: StudyFile, path: Path) -> Request:
    """Return the request that the content of a study file stands for. Raises UsageError if a value is invalid."""
    lists = {"env": content.envs, "agent": content.agents, "model": content.models}
    tables = content.variants
    variants = (Variant(),) if tables is None else tuple(make_variant(each, f"{path}: variants") for each in tables)
    seeds = (0,) if content.seeds is None else parse_seeds(content.seeds, f"{path}: seeds")
    own, grid = settings(content.options, f"{path}: options"), grid_axes(content.grid, f"{path}: grid")
    for name in (*grid, *(each.name for each in (*own, *(each for one in variants for each in one.settings)))):
        if name in CONSENTING:
            raise UsageError(f"{path}: {name} is not taken from a study file: give --{name} on the command line")
    try:
        return Request(
            seeds=seeds,
            names={role: tuple(names) for role, names in lists.items() if names is not None},
            settings=own,
            grid=grid,
            variants=variants,
            out=None if content.out is None else Path(content.out),
            jobs=content.jobs,
            file=path,
        )
    except UsageError as error:
        raise UsageError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error


def grid_axes(grid: Mapping[str, object], where: str) -> dict[str, tuple[Setting, ...]]:
    """Return the axes of a grid, from lists of values by the names of options.

    Raises:
        UsageError: values are no list, or one is none that an option can have.
    """
    axes: dict[str, tuple[Setting, ...]] = {}
    for name, values in flat(grid).items():
        if not isinstance(values, list | tuple):
            raise UsageError(f"{where}: {name}: expected a list of values, found {shown(values)}")
        axis = tuple(setting(name, value, where) for value in values)
        axes[axis[0].name if axis else name] = axis
    return axes


def make_variant(table: VariantTable, where: str) -> Variant:
    """Return the variant of a table. Raises UsageError if nothing tells it apart, or a value is invalid."""
    # What is no text is a table of options, such as those of agent.
    names = {role: name for role in REGISTRIES if isinstance(name := table.options.get(role), str)}
    if not (table.name or names):
        raise UsageError(f"{where}: a variant needs a name, or a plug-in of its own")
    variant = Variant(table.name, names)
    own = {key: value for key, value in table.options.items() if key not in names}
    return replace(variant, settings=settings(own, f"{where}: {variant.label}"))
