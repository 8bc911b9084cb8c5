"""Command-line parsing: options of dataclasses as options of argparse, and their values as plain JSON values.

Values are not checked here: `agents.core.plain.from_plain` checks them, as it does those of a configuration file.
"""

import argparse
import dataclasses
import difflib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import EllipsisType
from typing import Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from agents.cli.field_docs import field_docs
from agents.runs.program import program
from qrl.common.errors import UsageError
from qrl.common.options import applies

T = TypeVar("T")

HELP = ("-h", "--help")

CONSENT = ("trust",)
"""Path of the option that consents to the execution of code; it is never suggested for a mistyped one."""

HELP_WIDTH = 100
"""Width of help texts [columns]."""


class HelpShown(Exception):
    """Signal that the requested help has been printed."""


@dataclass(frozen=True)
class Option:
    """Option of a command."""

    name: str
    """Name such as "--agent.inner-steps", or "RUN" for a positional argument."""
    path: tuple[str, ...]
    """Keys of the value in the nested mapping of all values."""
    hint: object
    """Type of the value."""
    doc: str
    default: object = None
    aliases: tuple[str, ...] = ()
    hidden: bool = False
    """Whether the help text leaves the option out."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names on the command line; those of a flag come in pairs, such as --env.varies and --env.no-varies."""
        if self.hint is not bool:
            return (self.name, *self.aliases)
        prefix, dot, last = self.name.removeprefix("--").rpartition(".")
        return self.name, f"--{prefix}{dot}no-{last}"

    def add_to(self, parser: "argparse._ArgumentGroup") -> None:  # argparse has no public name for a group
        """Add this option to a parser or to a group of its options."""
        dest = _dest(self.path)
        doc = argparse.SUPPRESS if self.hidden else self._help()
        if self.hint is bool:
            for name, value in zip(self.names, (True, False), strict=True):
                shown = argparse.SUPPRESS if value is self.default else doc  # only the name that changes something
                parser.add_argument(
                    name, dest=dest, action="store_const", const=[value], default=argparse.SUPPRESS, help=shown
                )
            return
        many = _many(self.hint)
        if not self.name.startswith("--"):
            nargs = "*" if many is Ellipsis else "?"
            parser.add_argument(dest, metavar=self.name, nargs=nargs, default=None, help=doc)
            return
        if _has_optional_value(self.hint):
            parser.add_argument(
                *self.names, dest=dest, metavar="ADDRESS", nargs="?", const=True, default=argparse.SUPPRESS, help=doc
            )
            return
        parser.add_argument(
            *self.names,
            dest=dest,
            metavar=_metavar(self.hint),
            nargs="+" if isinstance(many, EllipsisType) else many,
            action="extend" if isinstance(many, EllipsisType) else "store",
            default=argparse.SUPPRESS,
            help=doc,
        )

    def _help(self) -> str:
        if self.default is True:
            return f"Turn this off: {self.doc}".replace("%", "%%")
        if self.default is False:
            shown = ""
        else:
            text = " ".join(map(str, self.default)) if isinstance(self.default, list) else str(self.default)
            shown = "" if self.default is None or not text else f" (default: {text})"
        return f"{self.doc}{shown}".replace("%", "%%")


@dataclass(frozen=True)
class Group:
    """Group of options in a help text."""

    title: str
    options: Sequence[Option]
    about: str = ""


def options_of(
    cls: type,
    values: object = None,
    prefix: str = "--",
    path: tuple[str, ...] = (),
    aliases: Mapping[str, tuple[str, ...]] | None = None,
) -> Iterator[Option]:
    """Yield the options of a dataclass, those of nested dataclasses with a dotted name.

    Args:
        cls: the dataclass. Fields without a default are positional arguments.
        values: instance with the default values; by default those of the fields.
        prefix: beginning of the names, such as "--agent.".
        path: keys of the dataclass's values.
        aliases: further names of options, by field.
    """
    from agents.core.plain import plain_value  # Local: cattrs takes a while to import.

    hints, docs = get_type_hints(cls), field_docs(cls)
    for each in dataclasses.fields(cls):
        if not each.init:
            continue
        hint = hints[each.name]
        value = getattr(values, each.name) if values is not None else _default(each)
        name = f"{prefix}{each.name.rstrip('_').replace('_', '-')}"  # from_ stands for --from
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from options_of(hint, value, f"{name}.", (*path, each.name))
            continue
        required = value is dataclasses.MISSING
        yield Option(
            name.removeprefix("--").removesuffix("s").upper() if required else name,
            (*path, each.name),
            hint,
            docs.get(each.name, ""),
            None if required else plain_value(value),
            (aliases or {}).get(each.name, ()),
            values is not None and not applies(each, values),
        )


def parse(command: str, cls: type[T], arguments: Sequence[str], *, description: str) -> T:
    """Parse the options of a command into its dataclass of options.

    Raises:
        UsageError: an argument is invalid; a near match is suggested for a mistyped option.
        HelpShown: help was requested and has been printed.
    """
    from agents.core.plain import from_plain

    parser = Parser(command, [Group("options", list(options_of(cls)))], description)
    if wants_help(arguments):
        parser.show_help()
    return from_plain(cls, parser.values(arguments), "--")


def wants_help(arguments: Sequence[str]) -> bool:
    """Return whether the arguments ask for help."""
    return any(argument in HELP for argument in arguments)


class Parser:
    """Parser of a command with groups of options."""

    def __init__(
        self,
        command: str,
        groups: Sequence[Group],
        description: str,
        owners: Callable[[str], str] = lambda name: "",
    ) -> None:
        """`owners(name)`: what has an option that is unknown here, in words; "" if nothing has."""
        self.command, self.groups, self._owners = command, groups, owners
        self._parser = _Argparse(
            prog=f"{program()} {command}",
            usage=f"{program()} {command}{_usage(groups)} [options]",
            description=description,
            add_help=False,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=30, width=HELP_WIDTH),
        )
        for group in groups:
            added = self._parser.add_argument_group(group.title, group.about or None)
            for option in group.options:
                option.add_to(added)

    def show_help(self) -> NoReturn:
        """Print the help text and raise HelpShown."""
        print(self._parser.format_help(), end="")
        raise HelpShown

    def known(self, arguments: Sequence[str]) -> dict[str, object]:
        """Return the values of these options as nested mappings; ignore other arguments.

        Raises:
            UsageError: an option lacks a value.
        """
        return self._parse(arguments)[0]

    def values(self, arguments: Sequence[str]) -> dict[str, object]:
        """Return the values of these options as nested mappings. Values are not checked.

        Raises:
            UsageError: an argument is unknown, an option lacks a value.
        """
        values, unknown = self._parse(arguments)
        if unknown:
            raise UsageError(self._unknown(unknown[0]))
        for option in (option for group in self.groups for option in group.options):
            if not (option.name.startswith("--") or values.get(option.path[0])):
                usage = f"{program()} {self.command}{_usage(self.groups)}"
                raise UsageError(f"{self.command} needs {option.name}: usage is {usage}")
        return values

    def _parse(self, arguments: Sequence[str]) -> tuple[dict[str, object], list[str]]:
        given = [argument for argument in arguments if argument not in HELP]
        found, unknown = self._parser.parse_known_args([_without_exponent(argument) for argument in given])
        values: dict[str, object] = {}
        for option in (option for group in self.groups for option in group.options):
            words = getattr(found, _dest(option.path), None)
            if words is None:
                continue
            *parents, last = option.path
            inner = values
            for parent in parents:
                inner = inner.setdefault(parent, {})  # type: ignore[assignment]
            inner[last] = _plain_of(option, words)
        return values, unknown

    def _unknown(self, argument: str) -> str:
        if not argument.startswith("-"):
            return f"unexpected argument {argument!r}; `{program()} {self.command} --help` shows what is accepted"
        name = argument.partition("=")[0].replace("_", "-")
        if owners := self._owners(name):
            return f"unknown option {name}; {owners}"
        options = (option for group in self.groups for option in group.options if option.path != CONSENT)
        known = sorted(name for option in options for name in option.names)
        near = difflib.get_close_matches(name, [each for each in known if "." in each or "." not in name], n=1)
        hint = f"did you mean {near[0]}?" if near else f"`{program()} {self.command} --help` lists all"
        return f"unknown option {argument.partition('=')[0]}; {hint}"


class _Argparse(argparse.ArgumentParser):
    """Parser that raises its errors."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            message.removeprefix("argument ").replace("ignored explicit argument", "takes no value, found")
        )


def _dest(path: tuple[str, ...]) -> str:
    return "/".join(path)


def _without_exponent(argument: str) -> str:
    """Write a negative number such as -1e-3 without an exponent, with which argparse takes it for an option."""
    if not (argument.startswith("-") and "e" in argument.lower()):
        return argument
    try:
        return f"{Decimal(argument):f}"
    except InvalidOperation:
        return argument


def _default(each: "dataclasses.Field[object]") -> object:
    return each.default if each.default_factory is dataclasses.MISSING else each.default_factory()


def _usage(groups: Sequence[Group]) -> str:
    positional = [option for group in groups for option in group.options if not option.name.startswith("--")]
    return "".join(f" {option.name}{' ...' if _many(option.hint) is Ellipsis else ''}" for option in positional)


def _many(hint: object) -> int | EllipsisType | None:
    """Return the number of words of a value: None for a single one, Ellipsis for any number."""
    if get_origin(hint) in (Union, types.UnionType):
        return next((count for count in map(_many, get_args(hint)) if count is not None), None)
    if (get_origin(hint) or hint) not in (tuple, list):
        return None
    arguments = get_args(hint)
    return ... if not arguments or arguments[-1] is Ellipsis or get_origin(hint) is list else len(arguments)


def _has_optional_value(hint: object) -> bool:
    """Return whether an option may be given with a value or as a flag: bool | str."""
    return get_origin(hint) in (Union, types.UnionType) and {bool, str} <= set(get_args(hint))


def _metavar(hint: object) -> str:
    """Return the placeholder of a value in a help text."""
    if get_origin(hint) is Literal:
        return f"{{{','.join(map(str, get_args(hint)))}}}"
    if (get_origin(hint) or hint) in (Union, types.UnionType, tuple, list):
        kinds = [each for each in get_args(hint) if each not in (types.NoneType, Ellipsis)]
        return _metavar(kinds[0]) if kinds and (kinds[0] is not str or _many(hint) is None) else "VALUE"
    return {int: "N", float: "X", Path: "PATH"}.get(hint, "NAME")  # type: ignore[call-overload]


def _plain_of(option: Option, words: object) -> object:
    """Return the JSON value of the words of an option."""
    if words is True:  # an option without its optional value
        return True
    if isinstance(words, str):
        return _plain_word(option.hint, words)
    assert isinstance(words, list)
    if option.hint is bool:
        return words[0]
    return [_plain_word(_item(option.hint, index), word) for index, word in enumerate(words)]


def _item(hint: object, index: int) -> object:
    """Return the type of an element of a list or tuple."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(_item(each, index) for each in get_args(hint) if _many(each) is not None)
    arguments = get_args(hint)
    if not arguments:
        return str
    return arguments[0] if arguments[-1] is Ellipsis or len(arguments) == 1 else arguments[index]


def _plain_word(hint: object, word: str) -> object:
    """Return the JSON value that a word stands for if a value of this type is expected; else the word itself."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if word == "None" and types.NoneType in get_args(hint):
            return None
        values = [_plain_word(each, word) for each in get_args(hint) if each is not types.NoneType]
        return next((value for value in values if not isinstance(value, str)), word)
    if origin is Literal:
        return next((choice for choice in get_args(hint) if str(choice) == word), word)
    try:
        if hint is int:
            return int(word)
        if hint is float:
            return float(word)
    except ValueError:
        return word
    return {"True": True, "False": False}.get(word, word) if hint is bool else word
