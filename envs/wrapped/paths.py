"""Numbers inside an environment by a dotted path: attributes, entries of lists and arrays, keys of dicts."""

from collections.abc import Mapping, MutableMapping, MutableSequence
from numbers import Real

import numpy as np

from envs.wrapped.results import Environment
from qrl.common.errors import UsageError, suggest


def number_at(env: Environment, path: str) -> Real:
    """Return the number at a path such as `model.opt.gravity.2`.

    Raises:
        UsageError: a part of the path does not exist (a near match is suggested), or there is no single number.
    """
    holder, part = _holder(env, path)
    value = _part(holder, part, path)
    if not isinstance(value, Real):
        size = value.size if isinstance(value, np.ndarray) else len(value) if isinstance(value, list | tuple) else 0
        advice = f": it has {size} entries; name one, such as {path}.{size - 1}" if size else ""
        raise UsageError(f"{type(env).__name__}: {path} is no number but {type(value).__name__}{advice}")
    return value


def set_number(env: Environment, path: str, value: object) -> None:
    """Set the number at a path. Raise UsageError if the path does not exist, or cannot be set."""
    holder, part = _holder(env, path)
    _part(holder, part, path)
    try:
        if isinstance(holder, tuple):
            raise TypeError("a tuple cannot change; make it a list")
        if isinstance(holder, MutableMapping):
            holder[_key(holder, part)] = value
        elif isinstance(holder, np.ndarray | MutableSequence):
            holder[int(part)] = value
        else:
            setattr(holder, part, value)
    except (AttributeError, TypeError, ValueError) as error:
        raise UsageError(f"{type(env).__name__}: {path} cannot be set: {error}") from error


def _holder(env: Environment, path: str) -> tuple[object, str]:
    """Return the object that holds the last part of a path, and this part."""
    *parts, last = path.split(".")
    holder: object = env
    for part in parts:
        holder = _part(holder, part, path)
    return holder, last


def _key(holder: Mapping[object, object], part: str) -> object:
    """Return the key whose text is `part`, such as 3 for "3"; `part` itself if there is none."""
    return part if part in holder else next((key for key in holder if str(key) == part), part)


def _part(holder: object, part: str, path: str) -> object:
    """Return one part of an object: an entry by its number, a value by its key, or an attribute."""
    if isinstance(holder, Mapping):
        key = _key(holder, part)
        if key in holder:
            return holder[key]
        choices = [str(key) for key in holder]
    elif isinstance(holder, np.ndarray | list | tuple):
        if part.isdecimal() and int(part) < len(holder):
            return holder[int(part)]
        raise UsageError(f"parameter {path!r}: no entry {part!r}; expected a number from 0 to {len(holder) - 1}")
    else:
        choices = [name for name in dir(holder) if not name.startswith("_")]
        if part in choices:
            value: object = getattr(holder, part)
            return value
    raise UsageError(f"parameter {path!r}: no {part!r} in {type(holder).__name__}{suggest(part, choices)}")
