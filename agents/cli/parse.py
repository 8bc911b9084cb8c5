"""Command-line parsing: tyro with errors as one line, and options that must be read before tyro's parser exists.

Importing this module is cheap; tyro is imported only for parsing.
"""

import contextlib
import dataclasses
import difflib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from agents.runs.program import program
from qrl.common.errors import UsageError, suggest

T = TypeVar("T")

CONFIGS = {"env_config": "env", "agent_config": "agent", "model_config": "model", "policy": "policy"}
"""Prefix of each group of a run's options on the command line, by field of the spec."""

SHORTHANDS = {"--vary": "--env.vary", "--ood": "--env.ood", "--workers": "--env.workers"}
"""Options of Gymnasium's environments that may be given without the prefix, once or more."""

_REPEATABLE = SHORTHANDS | {"--noise": "--noise"}
"""Options that may be given more than once, with their names in the parser."""


def written_out(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with each repeatable option once, in its long form, with the values of all occurrences.

    Raises UsageError for a repeatable option without a value.
    """
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


def value_of(option: str, arguments: Sequence[str]) -> str | None:
    """Return the last value of an option that must be known before the parser is built; None if not given.

    Raises UsageError for an option without a value.
    """
    found = None
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name != option:
            continue
        found = value if equals else next(iter(arguments[index + 1 :]), "")
        if not found or found.startswith("--"):
            raise UsageError(f"{option} needs a value")
    return found


class HelpShown(Exception):
    """Signal that the requested help has been printed."""


def parse(command: str, cls: type[T], arguments: Sequence[str], *, description: str, default: T | None = None) -> T:
    """Parse the options of a command by `tyro.cli`, with errors as one line.

    Args:
        command: name of the command, for messages.
        cls: dataclass of the command's options.
        arguments: arguments of the command line.
        description: first paragraph of the command's help text.
        default: values of missing options, instead of the defaults of the fields.

    Raises:
        UsageError: an argument is invalid; a near match is suggested for a mistyped option.
        HelpShown: help was requested and has been printed.
    """
    import tyro

    complaint = io.StringIO()
    given: dict[str, Any] = {} if default is None else {"default": default}
    markers = (tyro.conf.PositionalRequiredArgs,)
    try:
        with contextlib.redirect_stderr(complaint):
            options, unknown = tyro.cli(
                cls,
                prog=f"{program()} {command}",
                args=list(arguments),
                return_unknown_args=True,
                config=markers,
                description=description,
                **given,
            )
    except SystemExit as stop:
        if not stop.code:
            raise HelpShown from None
        raise UsageError(_condensed(complaint.getvalue())) from None
    if unknown:
        known = sorted(_option_names(options if default is None else default))
        raise UsageError(_unknown_option(command, unknown[0], known))
    return options


def _condensed(box: str) -> str:
    """Extract the message from the box that tyro draws: the text between the box's upper edge and the next rule."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    parts: list[list[str]] = [[]]
    for line in plain.splitlines():
        text = line.strip("│ \t")
        # Without UTF-8, tyro draws boxes with hyphens.
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
    (r"Missing from (.+ select): .*", r"select needs a file: usage is \1 FILE.csv --target COLUMN"),
    (r"Missing from (.+ (\w+)): .*", r"\2 needs a run folder: usage is \1 RUN"),
    (
        r"invalid choice '(.*?)' for argument '(\S+)'\. Expected one of \((.*?),?\)\.",
        lambda match: f"{match[2]}: {match[1]!r} cannot be chosen{suggest(match[1], _QUOTED.findall(match[3]))}",
    ),
)
"""Rewrites of tyro's messages: patterns and their replacements; other messages stay unchanged."""


def _option_names(options: object, prefix: str = "--") -> Iterator[str]:
    assert dataclasses.is_dataclass(options) and not isinstance(options, type)
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        name = CONFIGS.get(field.name, field.name) if prefix == "--" else field.name
        name = name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            yield from _option_names(value, f"{prefix}{name}.")
            continue
        yield f"{prefix}{name}"
        if value is True:
            yield f"{prefix}no-{name}"


def _unknown_option(command: str, argument: str, known: Sequence[str]) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}; `{program()} {command} --help` shows what is accepted"
    name = argument.partition("=")[0].replace("_", "-")
    near = difflib.get_close_matches(name, [each for each in known if "." in each or "." not in name], n=1)
    hint = f"did you mean {near[0]}?" if near else f"`{program()} {command} --help` lists all"
    return f"unknown option {argument.partition('=')[0]}; {hint}"
