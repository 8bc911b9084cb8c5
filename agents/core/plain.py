"""Conversion of frozen dataclasses to plain JSON values and back, with type checks of every field (cattrs)."""

import dataclasses
import difflib
import math
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NewType, TypeVar, Union, cast, get_args, get_origin

from cattrs import AttributeValidationNote, Converter, ForbiddenExtraKeysError, IterableValidationNote
from cattrs.errors import BaseValidationError, ClassValidationError, IterableValidationError
from cattrs.gen import make_mapping_structure_fn

from qrl.common.checks import LARGEST_INT, is_text, shown
from qrl.common.errors import UsageError, describe, suggest
from qrl.common.options import DataclassInstance

T = TypeVar("T")

GpuName = NewType("GpuName", str)
"""Torch device of one of several GPUs: cuda:N."""


def to_plain(options: DataclassInstance) -> dict[str, object]:
    """Convert a dataclass to plain JSON values: dataclasses become objects, tuples arrays, paths strings.

    Raises:
        UsageError: a value has no JSON form.
    """
    return {name: plain_value(getattr(options, name)) for name in init_names(type(options))}


def plain_value(value: object) -> object:
    """Convert an option's value as `to_plain` does."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain(value)
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Path():
            return str(value)
        case list() | tuple():
            return [plain_value(item) for item in value]
        case Mapping():
            return {str(key): plain_value(item) for key, item in value.items()}
    raise UsageError(
        f"a configuration cannot hold a {type(value).__name__}: use numbers, strings, tuples or dataclasses"
    )


def init_names(cls: type[object]) -> list[str]:
    """Return the names of a dataclass's options: the fields that its constructor takes."""
    return [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]


def from_plain(cls: type[T], data: object, where: str) -> T:
    """Build the dataclass `cls` from a JSON object. Missing fields keep their defaults.

    Args:
        cls: a dataclass.
        data: parsed JSON; where a field is a dataclass, an instance of it is accepted too.
        where: name of `data` in error messages, such as "env_config".

    Raises:
        UsageError: an unknown key (a near match is suggested), a missing key, a value of the wrong type or not finite,
            or a value that `cls` itself rejects.
    """
    try:
        return _CONVERTER.structure(data, cls)
    except (BaseValidationError, _Mismatch) as error:
        raise _usage_error(error, where) from None


def located(where: str, text: str) -> str:
    """Return a message about a value: "where: text", or the text alone if `where` names nothing."""
    return f"{where}: {text}" if where.strip("-") else text


def inside(where: str, name: str) -> str:
    """Return the name of a field: "file.json.agent_config", or an option of the command line after "--"."""
    if where.startswith("--"):
        name = name.rstrip("_").replace("_", "-")
    return f"{where}{name}" if where in ("", "--") else f"{where}.{name}"


def check_value(hint: object, value: object, where: str) -> None:
    """Check that a value has the type of an annotation. Raises UsageError as `from_plain` does."""
    try:
        _CONVERTER.structure(value, hint)  # type: ignore[arg-type]
    except (BaseValidationError, _Mismatch) as error:
        raise _usage_error(error, where) from None


class _Mismatch(ValueError):
    """Value of the wrong type; the message continues the name of the value."""


def _mismatch(expected: str, value: object) -> _Mismatch:
    return _Mismatch(f": expected {expected}, found {shown(value)}")


def _usage_error(error: Exception, where: str) -> UsageError:
    """Return the first error of a tree of cattrs' errors, with the path of its value."""
    while isinstance(error, BaseValidationError):
        error = error.exceptions[0]
        for note in getattr(error, "__notes__", ()):
            if isinstance(note, AttributeValidationNote):
                parent, attribute = where, note.name
                where = inside(where, attribute)
            elif isinstance(note, IterableValidationNote):
                where = f"{where}[{note.index}]" if isinstance(note.index, int) else inside(where, str(note.index))
    match error:
        case UsageError():
            return error
        case ForbiddenExtraKeysError():
            name = min(error.extra_fields)
            return UsageError(located(where, f"unknown option {name!r}{suggest(name, init_names(error.cl))}"))
        case KeyError():
            return UsageError(located(parent, f"{attribute} is missing"))
        case _Mismatch():
            return UsageError(f"{where}{error}")
        case ValueError():
            return UsageError(located(where, str(error)))
    return UsageError(located(where, describe(error)))  # the __post_init__ of a third-party Config may raise anything


def _scalar(
    kind: type[object] | tuple[type[object], ...], expected: str, make: Callable[[object], object]
) -> Callable[[object, object], object]:
    def structure(value: object, _: object) -> object:
        # Python accepts a bool as an int.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise _mismatch(expected, value)
        return make(value)

    return structure


def _int(value: object) -> int:
    assert isinstance(value, int)
    return int(value)  # A dataclass's own bounds come first, so that messages name them; then `_check_size`.


def _check_size(made: object, name: str) -> None:
    """Refuse a whole number that no tensor can hold, in a field of a dataclass, also in a list."""
    value = getattr(made, name)
    for each in value if isinstance(value, list | tuple) else (value,):
        if isinstance(each, int) and abs(each) > LARGEST_INT:
            end, limit = ("most", LARGEST_INT) if each > 0 else ("least", -LARGEST_INT)
            error = _Mismatch(f" must be at {end} {limit}, not {shown(each)}")
            error.add_note(AttributeValidationNote(f"field {name}", name, int))
            raise ClassValidationError("invalid field", [error], type(made))


def _float(value: object) -> float:
    assert isinstance(value, int | float)
    try:
        number = float(value)
    except OverflowError:  # an integer beyond the range of floats
        raise _Mismatch(f" must be at most {sys.float_info.max:.3g} in size, not {shown(value)}") from None
    if not math.isfinite(number):
        raise _Mismatch(f" is {number}: a finite number is needed")
    return number


def _str(value: object) -> str:
    assert isinstance(value, str)
    if not is_text(value):
        raise _mismatch("text without NUL characters and bytes that are not UTF-8", value)
    return str(value)


def _path(value: object) -> Path:
    assert isinstance(value, str | Path)
    _str(str(value))
    if not str(value):
        raise _mismatch("a path", value)
    return Path(value)


def _literal(value: object, hint: object) -> object:
    choices = get_args(hint)
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    mismatch = _mismatch(f"one of {', '.join(map(repr, choices))}", value)
    near = difflib.get_close_matches(str(value), map(str, choices), n=1)
    raise _Mismatch(f"{mismatch}; did you mean {near[0]!r}?") if near else mismatch


def _gpu_name(value: object, _: object) -> GpuName:
    if isinstance(value, str) and re.fullmatch(r"cuda:(0|[1-9][0-9]{0,2})", value):
        return GpuName(value)
    raise _mismatch("cuda:N", value)


def _union(value: object, hint: object) -> object:
    errors = []
    for option in get_args(hint):
        try:
            return None if option is types.NoneType and value is None else _CONVERTER.structure(value, option)
        except (BaseValidationError, _Mismatch) as error:
            errors.append((option, error))
    # For `float | None`, show the error about the float.
    raise next((error for option, error in errors if option is not types.NoneType), errors[0][1])


def _sequence(value: object, hint: object) -> object:
    kind, arguments = get_origin(hint) or hint, get_args(hint) or (object, ...)
    if not isinstance(value, list | tuple):
        raise _mismatch("a list", value)
    if kind is list or arguments[1:] == (...,):
        arguments = arguments[:1] * len(value)
    if len(arguments) != len(value):
        raise _Mismatch(f": expected {len(arguments)} values, found {len(value)}")
    items: Sequence[object] = [
        _item(item, each, index) for index, (item, each) in enumerate(zip(value, arguments, strict=True))
    ]
    return list(items) if kind is list else tuple(items)


def _item(value: object, hint: object, index: int) -> object:
    try:
        return _CONVERTER.structure(value, hint)  # type: ignore[arg-type]
    except Exception as error:
        error.add_note(IterableValidationNote(f"element {index}", index, hint))
        raise IterableValidationError("invalid element", [error], tuple) from error


def _class_name(cls: type[object]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _dataclass(hint: type[T], converter: Converter) -> Callable[[object, object], T]:
    make = converter.gen_structure_attrs_fromdict(hint)

    def structure(value: object, _: object) -> T:
        if isinstance(value, hint) and isinstance(value, DataclassInstance):
            value = to_plain(value)  # its values are checked, too
        if isinstance(value, DataclassInstance):
            raise _Mismatch(f": expected {_class_name(hint)}, found {_class_name(type(value))}")
        if not isinstance(value, Mapping):
            raise _mismatch("an object of options", value)
        made = make(value, hint)
        for name in init_names(hint):
            _check_size(made, name)
        return made

    return structure


def _mapping(hint: object, converter: Converter) -> Callable[[object, object], object]:
    # Not `converter.gen_structure_mapping`, which registers its result in place of this hook.
    make: Any = make_mapping_structure_fn(cast(Any, hint), converter)

    def structure(value: object, _: object) -> object:
        if not isinstance(value, Mapping):
            raise _mismatch("an object", value)
        return make(value, hint)

    return structure


def _origin_in(*kinds: object) -> Callable[[object], bool]:
    return lambda hint: (get_origin(hint) or hint) in kinds


_CONVERTER = Converter(forbid_extra_keys=True)
_CONVERTER.register_structure_hook(bool, _scalar(bool, "true or false", bool))
_CONVERTER.register_structure_hook(int, _scalar(int, "a whole number", _int))
_CONVERTER.register_structure_hook(float, _scalar((int, float), "a number", _float))
_CONVERTER.register_structure_hook(str, _scalar(str, "a string", _str))
_CONVERTER.register_structure_hook(Path, _scalar((str, Path), "a path", _path))
_CONVERTER.register_structure_hook(type(None), _scalar(type(None), "null", lambda _: None))
_CONVERTER.register_structure_hook_func(_origin_in(Literal), _literal)
_CONVERTER.register_structure_hook_func(lambda hint: hint is GpuName, _gpu_name)
_CONVERTER.register_structure_hook_func(_origin_in(Union, types.UnionType), _union)
_CONVERTER.register_structure_hook_func(_origin_in(tuple, list), _sequence)
_CONVERTER.register_structure_hook_func(lambda hint: hint in (object, DataclassInstance | None), lambda value, _: value)
_CONVERTER.register_structure_hook_factory(_origin_in(dict, Mapping), _mapping)
_CONVERTER.register_structure_hook_factory(dataclasses.is_dataclass, _dataclass)
