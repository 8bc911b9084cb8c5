"""Arguments and attributes of environments: which ones vary, which ones must be given, and the types they take."""

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import islice
from numbers import Real
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from envs.wrapped.results import Environment
from qrl.common.errors import UsageError, suggest

DOCS = "see docs/custom-environments.md"

MOST_PARTS = 5
"""Number of entries of a list or object that a list of choices names."""


def keywords(function: Callable[..., object]) -> dict[str, Any]:
    """Return the arguments that can be given by name, with their defaults (None for an argument without default)."""
    found = inspect.signature(function).parameters.values()
    named = [each for each in found if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    return {each.name: None if each.default is each.empty else each.default for each in named}


def takes_any_keyword(function: Callable[..., object]) -> bool:
    """Return whether a function has an argument such as `**kwargs`."""
    return any(each.kind is each.VAR_KEYWORD for each in inspect.signature(function).parameters.values())


def require_arguments(name: str, creator: Callable[..., object], given: Collection[str]) -> None:
    """Raise UsageError if an argument without default is not given; the message says how to give it."""
    for each in inspect.signature(creator).parameters.values():
        variadic = each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        if not variadic and each.default is each.empty and each.name not in given:
            raise UsageError(
                f"{name}: argument {each.name!r} has no default; give its value, --set {each.name}=VALUE (in Python: "
                f"fixed={{{each.name!r}: value}}), or a range, --vary {each.name}=RANGE, or make the environment in a "
                f"function, {DOCS}"
            )


def checked_fixed(name: str, fixed: Mapping[str, object], defaults: Mapping[str, object]) -> dict[str, object]:
    """Return values that do not vary, 0 and 1 as booleans where the default is one.

    Raises:
        UsageError: another value, such as the text "no", in place of a boolean: any text would count as true.
    """
    checked = dict(fixed)
    for key, value in fixed.items():
        if isinstance(defaults.get(key), bool) and not isinstance(value, bool | np.bool_):
            if not (isinstance(value, Real) and value in (0, 1)):
                raise UsageError(f"{name}: {key} must be true or false, not {value!r}")
            checked[key] = bool(value)
    return checked


def copies(fixed: Mapping[str, object]) -> dict[str, object]:
    """Return values for one more environment, which may change its lists and dicts."""
    return {name: deepcopy(value) if isinstance(value, list | dict) else value for name, value in fixed.items()}


def numbers_of(env: Environment, accepted: Mapping[str, object]) -> list[str]:
    """Return the names that may vary: numbers and booleans among the arguments, numbers among the attributes."""
    names = [name for name, value in accepted.items() if isinstance(value, Real)]
    attributes = {**{n: v for cls in type(env).__mro__ for n, v in vars(cls).items()}, **vars(env)}
    return sorted({*names, *(n for n, value in attributes.items() if not n.startswith("_") and is_number(value))})


def choices_of(env: Environment, accepted: Mapping[str, object]) -> list[str]:
    """Return the names that a message offers for one that may vary.

    Numbers; arguments that are words, or have no default to tell; and paths to numbers in public attributes, a few of
    each.
    """
    words = [name for name, value in accepted.items() if value is None or isinstance(value, str)]
    inside = [
        f"{name}.{part}"
        for name, value in vars(env).items()
        if not (name.startswith("_") or isinstance(value, gym.Space | EnvSpec | Real))
        for part in islice(_names_of_numbers(value), MOST_PARTS)
    ]
    return sorted({*numbers_of(env, accepted), *words, *inside} - {"render_mode"})


def _names_of_numbers(value: object) -> Iterator[object]:
    """Yield the public names of the numbers in a list, a dict or an object."""
    for part, number in _parts(value):
        if is_number(number) and not str(part).startswith("_"):
            yield part


def is_number(value: object) -> bool:
    """Return whether a value is a real number and no boolean."""
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def unknown_parameter(env: Environment, name: str, choices: Collection[str]) -> str:
    """Describe a parameter that an environment does not have, or an object, whose numbers have dotted names."""
    value = vars(env).get(name)
    part = next(_names_of_numbers(value), None)
    if part is not None:
        return f"{name!r} is no number but {type(value).__name__}; name a number in it, such as {name}.{part}"
    return f"unknown parameter {name!r}{suggest(name, choices)}"


def _parts(value: object) -> Iterable[tuple[object, object]]:
    """Return the entries of a list or dict, or the attributes of another object, with their names."""
    if isinstance(value, list | tuple):
        return enumerate(value)
    if isinstance(value, dict):
        return value.items()
    try:
        return vars(value).items()
    except TypeError:  # an object without attributes of its own
        return ()


def environment_value(value: float | list[Any], default: object) -> object:
    """Convert a task parameter to the kind of its default: a whole number to an integer, 0 and 1 to a boolean.

    A list becomes an array.
    """
    if isinstance(default, bool | np.bool_) and value in (0, 1):
        return bool(value)
    if isinstance(value, list):
        return np.asarray(value, dtype=np.asarray(default).dtype if default is not None else np.float64)
    if isinstance(default, int | np.integer) and float(value).is_integer():
        return type(default)(int(value))
    return float(value)
