"""Ranges of a search: the options of agent, model and policy head that it varies, and the values that it may choose."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal, cast, get_args, get_origin, get_type_hints

from agents.core.plain import from_plain, init_names, to_plain
from agents.core.spec import CONFIGS, Spec
from qrl.common.checks import abbreviated, finite_number, shown
from qrl.common.errors import UsageError, suggest
from qrl.common.options import Bounds, DataclassInstance, applies, bounds_of

Value = str | int | float | bool | None
"""Value of an option that is a single word."""

ROLES = ("agent", "model", "policy")
"""Roles whose options may be tuned. Those of the environment are the tasks, which all trials have in common."""

EXAMPLE = "--tune agent.clip=0.1:0.4, agent.lr-heads=0.001:0.1:log or agent.epochs=1,3,5"


@dataclass(frozen=True)
class Wanted:
    """Option that is to be tuned, as the user gives it; without values, in its own range."""

    name: str
    """Name such as "agent.inner-step-size"."""
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[object, ...] = ()


@dataclass(frozen=True)
class Range:
    """Range of an option: numbers between two bounds, which belong to it, or choices."""

    name: str
    """Name on the command line, such as "agent.inner-step-size"."""
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    """Whether the logarithm is uniform."""
    whole: bool = False
    """Whether the numbers are integers."""
    choices: tuple[Value, ...] = ()

    @property
    def role(self) -> str:
        """Role of the option: agent, model or policy."""
        return self.name.partition(".")[0]

    @property
    def field(self) -> str:
        """Name of the option's field in its dataclass."""
        return _field(self.name)

    def holds(self, value: object) -> bool:
        """Return whether a value is in the range."""
        if self.choices:
            return any(value == each and type(value) is type(each) for each in self.choices)
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        if self.choices:
            return ", ".join(map(str, self.choices))
        return f"{self.low:g} to {self.high:g}" + (", logarithmic" if self.log else "")


def parse_wanted(text: str) -> Wanted:
    """Return the option that a text such as "agent.clip=0.1:0.4" stands for; see EXAMPLE.

    Raises:
        UsageError: the text has another form.
    """
    name, equals, values = text.partition("=")
    name = name.strip().removeprefix("--")
    if not name or (equals and not values.strip()):
        raise UsageError(f"--tune {abbreviated(text)}: expected an option, with its range or choices: {EXAMPLE}")
    if not equals:
        return Wanted(name)
    if ":" not in values:
        return Wanted(name, choices=tuple(each.strip() for each in values.split(",")))
    low, high, *scale = (each.strip() for each in values.split(":"))
    if scale not in ([], ["log"]):
        raise UsageError(f"--tune {abbreviated(text)}: expected LOW:HIGH or LOW:HIGH:log: {EXAMPLE}")
    return Wanted(name, _number(name, low), _number(name, high), bool(scale))


def text_of(wanted: Wanted) -> str:
    """Return the text that stands for a wanted option, as `parse_wanted` reads it.

    Raises:
        UsageError: a choice cannot be written there.
    """
    if wanted.low is not None and wanted.high is not None:
        return f"{wanted.name}={wanted.low!r}:{wanted.high!r}" + ":log" * wanted.log
    for each in wanted.choices:
        if isinstance(each, str) and (each != each.strip() or not each or set(each) & set(",:")):
            limits = "for several processes, no choice has a comma, colon or outer space"
            raise UsageError(f"--tune {wanted.name}: {shown(each)}: {limits}")
    return f"{wanted.name}={','.join(map(str, wanted.choices))}" if wanted.choices else wanted.name


def _number(name: str, text: str) -> float:
    return finite_number(f"--tune {name}", text)


def ranges_of(spec: Spec, wanted: Sequence[Wanted] | None, *, uses_model: bool = True) -> tuple[Range, ...]:
    """Return the ranges of the wanted options; by default, all of agent and model that have a range and an effect.

    Every bound and every choice is checked by the Config of its plug-in.

    Args:
        spec: spec of the trials, whose options have their values where no range says otherwise.
        wanted: options to tune; None: those that have a range.
        uses_model: whether the agent has a policy network.

    Raises:
        UsageError: there is no such option, it has no range or no effect, or a value in the range is invalid.
    """
    if wanted is None:
        if not (found := tuple(_default_ranges(spec, ROLES if uses_model else ROLES[:1]))):
            names = f"agent {spec.agent} and model {spec.model}"
            raise UsageError(f"no option of {names} has a range of its own: give some, such as {EXAMPLE}")
        return found
    ranges = tuple(_range_of(spec, each) for each in wanted)
    given = [each.name for each in ranges]
    if twice := [name for index, name in enumerate(given) if name in given[:index]]:
        raise UsageError(f"--tune: {twice[0]} is given twice")
    if idle := [each.name for each in ranges if each.role != "agent" and not uses_model]:
        raise UsageError(f"--tune {idle[0]}: no effect: agent {spec.agent} has no network")
    if not ranges:
        raise UsageError(f"--tune: expected at least one option, found none: {EXAMPLE}")
    return ranges


def value_in(spec: Spec, name: str) -> Value:
    """Return the value that an option has in a spec."""
    return cast(Value, to_plain(_config(spec, name))[_field(name)])


def with_values(spec: Spec, values: Mapping[str, Value]) -> Spec:
    """Return the spec with other values of some options, by name.

    Raises:
        UsageError: a value is invalid, alone or with the others.
    """
    changed = {}
    for role in ROLES:
        own = {_field(name): value for name, value in values.items() if name.partition(".")[0] == role}
        if own:
            config = _config(spec, f"{role}.")
            changed[CONFIGS[role]] = from_plain(type(config), to_plain(config) | own, f"--{role}")
    return cast(Callable[..., Spec], dataclasses.replace)(spec, **changed)


def applicable(spec: Spec, one: Range, values: Mapping[str, Value]) -> bool:
    """Return whether an option has an effect beside the values that have been chosen for others."""
    config = _config(spec, one.name)
    chosen = {_field(name): value for name, value in values.items() if name.partition(".")[0] == one.role}
    options = SimpleNamespace(**{name: getattr(config, name) for name in init_names(type(config))} | chosen)
    (option,) = (each for each in dataclasses.fields(config) if each.name == one.field)
    return applies(option, options)


def _default_ranges(spec: Spec, roles: Sequence[str]) -> Iterator[Range]:
    for role in roles:
        config = _config(spec, f"{role}.")
        for option in dataclasses.fields(config):
            if not (option.init and bounds_of(option) and applies(option, config)):
                continue
            try:
                yield _range_of(spec, Wanted(f"{role}.{option.name.replace('_', '-')}"))
            except UsageError:
                continue  # Without an effect beside the other options, a value that is not the default is refused.


def _range_of(spec: Spec, wanted: Wanted) -> Range:
    """Return the range of a wanted option, all of whose ends or choices its Config accepts."""
    name = wanted.name.replace("_", "-")
    role, dot, _ = name.partition(".")
    if not dot or role not in ROLES:
        why = "the tasks are the same for all trials" if role == "env" else f"options of {', '.join(ROLES)} are tuned"
        raise UsageError(f"--tune {abbreviated(name)}: {why}: give options such as agent.lr-heads")
    config = _config(spec, name)
    if _field(name) not in init_names(type(config)):
        known = [f"{role}.{each.replace('_', '-')}" for each in init_names(type(config))]
        owner = "the policy head" if role == "policy" else f"{role} {getattr(spec, role)}"
        raise UsageError(f"--tune {abbreviated(name)}: {owner} has no such option{suggest(name, known)}")
    if wanted.choices:
        choices = tuple(_value(spec, name, each) for each in wanted.choices)
        if twice := [each for index, each in enumerate(choices) if each in choices[:index]]:
            raise UsageError(f"--tune {name}: {shown(twice[0])} is given twice")
        return Range(name, choices=choices)
    found = _without_choices(spec, wanted, name)
    number = int if found.whole else float
    for value in found.choices or (number(found.low), number(found.high)):
        _check(spec, name, value)
    return found


def _without_choices(spec: Spec, wanted: Wanted, name: str) -> Range:
    """Return the range of an option whose choices are not given: of its type, of its bounds, or of its metadata."""
    config = _config(spec, name)
    hint = get_type_hints(type(config))[_field(name)]
    kinds = {hint, *get_args(hint)} & {int, float}
    bounds = None if wanted.low is None or wanted.high is None else Bounds(wanted.low, wanted.high, wanted.log)
    if bounds is None:
        if hint is bool:
            return Range(name, choices=(True, False))
        if get_origin(hint) is Literal:
            return Range(name, choices=get_args(hint))
        (option,) = (each for each in dataclasses.fields(config) if each.name == _field(name))
        if (bounds := bounds_of(option)) is None:
            raise UsageError(
                f"--tune {name}: this option has no range of its own: give one, such as {_like(spec, name)}"
            )
    low, high = bounds.low, bounds.high
    if not kinds:
        raise UsageError(f"--tune {name}: not a number: give choices, such as {_like(spec, name)}")
    whole = float not in kinds
    if whole and not (low.is_integer() and high.is_integer()):
        raise UsageError(f"--tune {name}: expected whole numbers, found {low:g}:{high:g}")
    if not low < high:
        raise UsageError(f"--tune {name}: expected LOW less than HIGH, found {low:g}:{high:g}")
    if bounds.log and low <= 0:
        raise UsageError(f"--tune {name}: a logarithmic range is positive, not {low:g}:{high:g}")
    return Range(name, low, high, bounds.log, whole)


def _value(spec: Spec, name: str, given: object) -> Value:
    """Return a choice that the user gives, as a value of the option's type, in which a word is converted."""
    readings = list(_readings(given))
    for reading in readings:
        with suppress(UsageError):
            _check(spec, name, reading)
            return cast(Value, reading)
    _check(spec, name, readings[0])  # raises the error of the most likely one
    raise AssertionError


_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "none": None}
"""Values that words may stand for besides themselves and numbers."""


def _readings(given: object) -> Iterator[object]:
    """Yield the values that a choice may stand for: a word may be a number, a flag, none, or itself."""
    if isinstance(given, str):
        for number in (int, float):
            with suppress(ValueError):
                yield number(given)
        if given.lower() in _WORDS:
            yield _WORDS[given.lower()]
    yield given


def _check(spec: Spec, name: str, value: object) -> None:
    """Raise UsageError unless a value of an option is valid, and a single word."""
    if not isinstance(value, str | int | float | None):
        raise UsageError(f"--tune {name}: expected a single value, found {shown(value)}")
    try:
        with_values(spec, {name: value})
    except UsageError as error:
        raise UsageError(f"--tune {name}: {str(error).removeprefix(f'--{name}: ')}") from error


def _like(spec: Spec, name: str) -> str:
    """Return an example of a range of an option, around its present value."""
    value = value_in(spec, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"--tune {name}=VALUE,VALUE"
    if isinstance(value, int):
        return f"--tune {name}={value // 2}:{2 * value or 1}" if value != 1 else f"--tune {name}=1:2"
    return f"--tune {name}={value / 2:g}:{2 * value or 1:g}"


def _config(spec: Spec, name: str) -> DataclassInstance:
    config = getattr(spec, CONFIGS[name.partition(".")[0]])
    assert isinstance(config, DataclassInstance)
    return config


def _field(name: str) -> str:
    return name.partition(".")[2].replace("-", "_")
