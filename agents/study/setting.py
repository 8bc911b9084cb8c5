"""Settings: options of `train` with their values, in the words of a command line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.runs.program import program
from qrl.common.checks import LARGEST_INT, abbreviated, shown
from qrl.common.errors import UsageError

Value = str | int | float | bool | None | list["Value"]
"""Value of an option: a list for an option that takes several words."""


@dataclass(frozen=True)
class Setting:
    """Option of `train` with its value."""

    name: str
    """Name without dashes at its begin, such as "agent.inner-steps"."""
    words: tuple[str, ...]
    """Words of the command line, such as "--agent.inner-steps=2"."""
    text: str
    """Value in one text, such as "2"."""

    @property
    def role(self) -> str:
        """Prefix of the name, such as "agent"; "" without a prefix."""
        return self.name.rpartition(".")[0].partition(".")[0]


def setting(name: str, value: object, where: str) -> Setting:
    """Return the setting of an option, whose name may be written with underscores.

    Raises:
        UsageError: the name is none of an option, or the value none that an option can have; the message begins with
            `where`.
    """
    name = name.removeprefix("--").replace("_", "-")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9.-]*", name):
        raise UsageError(f"{where}: {shown(name)} is no name of an option, such as agent.inner-steps")
    if isinstance(value, bool):
        prefix, dot, last = name.rpartition(".")
        return Setting(name, (f"--{name}" if value else f"--{prefix}{dot}no-{last}",), str(value))
    if isinstance(value, list | tuple):
        if not value:
            raise UsageError(f"{where}: {name}: expected at least one value, found an empty list")
        words = tuple(_word(each, f"{where}: {name}") for each in value)
        if options := [word for word in words if word.startswith("--")]:
            raise UsageError(f"{where}: {name}: {shown(options[0])} is an option, no value")
        return Setting(name, (f"--{name}", *words), " ".join(words))
    word = _word(value, f"{where}: {name}")
    return Setting(name, (f"--{name}={word}",), word)


def settings(options: Mapping[str, object], where: str) -> tuple[Setting, ...]:
    """Return the settings of options by name; nested mappings are options with a dotted name.

    Raises:
        UsageError: a value is none that an option can have, or an option is given twice.
    """
    found: dict[str, Setting] = {}
    for name, value in flat(options).items():
        one = setting(name, value, where)
        if one.name in found:
            raise UsageError(f"{where}: {one.name} is given twice")
        found[one.name] = one
    return tuple(found.values())


def flat(options: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested options with dotted names: {"agent": {"discount": 1}} becomes {"agent.discount": 1}."""
    found: dict[str, object] = {}
    for name, value in options.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def split_words(arguments: Sequence[str], command: str = "sweep") -> list[Setting]:
    """Return the settings of the command line of a command, each an option with all words up to the next one.

    Raises:
        UsageError: the first word is no option.
    """
    found: list[list[str]] = []
    for word in arguments:
        if word.startswith("--"):
            found.append([word])
        elif found:
            found[-1].append(word)
        else:
            raise UsageError(
                f"unexpected argument {shown(word)}; `{program()} {command} --help` shows what is accepted"
            )
    return [_of_words(words) for words in found]


def grid_axis(text: str) -> tuple[Setting, ...]:
    """Return the settings of an axis such as "agent.inner-steps=1,2,3". A value of several words has spaces.

    Raises:
        UsageError: the text has no name or no values.
    """
    name, equals, values = text.partition("=")
    if not equals or not name.strip() or not all(each.strip() for each in values.split(",")):
        raise UsageError(
            f"--grid {abbreviated(text)}: expected NAME=VALUE,VALUE, such as --grid agent.inner-steps=1,2,3"
        )
    return tuple(setting(name.strip(), _value(each.strip()), "--grid") for each in values.split(","))


def _of_words(words: Sequence[str]) -> Setting:
    name, equals, value = words[0].removeprefix("--").partition("=")
    return Setting(name, tuple(words), " ".join([value] * bool(equals) + list(words[1:])))


def _value(text: str) -> Value:
    flags: dict[str, Value] = {"true": True, "false": False}
    several = text.split()
    return flags.get(text.lower(), list(several) if len(several) > 1 else text)


def _word(value: object, where: str) -> str:
    if isinstance(value, int) and abs(value) > LARGEST_INT:  # Python may refuse to write it in digits.
        raise UsageError(f"{where}: {shown(value)} is too large")
    if value is None or isinstance(value, str | int | float):
        return str(value)
    raise UsageError(f"{where}: expected a number, a string, true, false or a list of them, found {shown(value)}")


def safe(text: str) -> str:
    """Return a text with characters that are safe in the name of a file: letters, digits, dot, plus, minus, _."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", text).strip("_") or "_"
