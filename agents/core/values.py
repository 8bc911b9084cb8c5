"""Conversion of frozen dataclasses to plain JSON values and back, with type checks of every field."""

import dataclasses
import difflib
import math
import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from qrl.common.errors import UsageError, suggest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


def to_plain(options: "DataclassInstance") -> dict[str, object]:
    """Convert a dataclass to plain JSON values: dataclasses become objects, tuples arrays, paths strings.

    Raises:
        UsageError: a value has no JSON form.
    """
    return {field.name: _plain(getattr(options, field.name)) for field in dataclasses.fields(options) if field.init}


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain(value)
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Path():
            return str(value)
        case list() | tuple():
            return [_plain(item) for item in value]
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
    raise UsageError(f"a configuration cannot hold a {type(value).__name__}: use numbers, words, tuples or dataclasses")


def from_plain(cls: type[T], data: object, where: str) -> T:
    """Build the dataclass `cls` from a JSON object. Missing fields keep their defaults.

    Args:
        cls: a dataclass.
        data: parsed JSON.
        where: name of `data` in error messages, such as "env_config".

    Raises:
        UsageError: an unknown key (a near match is suggested), a missing key, a value of the wrong type or not finite,
            or a value that `cls` itself rejects.
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"{where}: expected an object of options, found {_shown(data)}")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise UsageError(f"{where}: unknown option {key!r}{suggest(str(key), fields)}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise UsageError(f"{where}: {name} is missing")
    hints = get_type_hints(cls)
    values = {key: _convert(hints[key], item, f"{where}.{key}") for key, item in data.items()}
    try:
        return cls(**values)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def check_finite(value: object, where: str) -> None:
    """Check all numbers in nested dataclasses, lists, tuples and mappings.

    Raises:
        UsageError: a number is NaN or infinite; the message names it.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where} is {value}: a finite number is needed")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            check_finite(getattr(value, field.name), f"{where}.{field.name}" if where else field.name)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_finite(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_finite(item, f"{where}[{index}]")


def _convert(hint: object, value: object, where: str) -> object:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _convert(arguments[0], value, where)
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is Literal:
        return _convert_literal(arguments, value, where)
    if origin is tuple or hint is tuple:
        return _convert_tuple(arguments, value, where)
    if origin is list or hint is list:
        return list(_convert_tuple((arguments[0] if arguments else object, ...), value, where))
    if origin in (dict, Mapping) or hint is dict:
        if not isinstance(value, Mapping):
            raise _wrong(where, "an object", value)
        item_hint = arguments[1] if arguments else object
        return {key: _convert(item_hint, item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else from_plain(hint, value, where)
    return _convert_scalar(hint, value, where)


def _convert_scalar(hint: object, value: object, where: str) -> object:
    # Python accepts a bool as an int, and an int as a float; only the second conversion is allowed here.
    if hint in (None, types.NoneType):
        if value is not None:
            raise _wrong(where, "null", value)
    elif hint is bool:
        if not isinstance(value, bool):
            raise _wrong(where, "true or false", value)
    elif hint is int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong(where, "a whole number", value)
    elif hint is float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _wrong(where, "a number", value)
        check_finite(float(value), where)
        return float(value)
    elif hint is str or hint is Path:
        if not isinstance(value, str):
            raise _wrong(where, "a word", value)
        return Path(value) if hint is Path else value
    return value


def _convert_union(options: tuple[object, ...], value: object, where: str) -> object:
    errors = []
    for option in options:
        try:
            return _convert(option, value, where)
        except UsageError as error:
            errors.append(error)
    # For `float | None`, show the error about the float.
    raise next((e for e, option in zip(errors, options, strict=True) if option is not types.NoneType), errors[0])


def _convert_literal(choices: tuple[object, ...], value: object, where: str) -> object:
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    near = difflib.get_close_matches(str(value), map(str, choices), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"{where}: expected one of {', '.join(map(repr, choices))}, found {_shown(value)}{hint}")


def _convert_tuple(hints: tuple[object, ...], value: object, where: str) -> tuple[object, ...]:
    items = _sequence(value, where)
    if not hints:
        return tuple(items)
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(items)
    if len(hints) != len(items):
        raise UsageError(f"{where}: expected {len(hints)} values, found {len(items)}")
    return tuple(
        _convert(hint, item, f"{where}[{index}]") for index, (hint, item) in enumerate(zip(hints, items, strict=True))
    )


def _sequence(value: object, where: str) -> list[object] | tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(where, "a list", value)
    return value


def _wrong(where: str, expected: str, value: object) -> UsageError:
    return UsageError(f"{where}: expected {expected}, found {_shown(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
