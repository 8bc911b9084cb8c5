"""Options by name."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    Protocol,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

from qrl.common.checks import check_choice
from qrl.common.errors import UsageError, suggest

if TYPE_CHECKING:
    from typing import Never, TypeAlias

    Unknown: TypeAlias = Never
else:
    Unknown = object
"""Type of unknown keyword arguments: type checkers refuse all, at run time a message says what is accepted."""

Config = TypeVar("Config")


@runtime_checkable
class DataclassInstance(Protocol):
    """Instance of any dataclass, such as a plug-in's Config."""

    __dataclass_fields__: ClassVar[dict[str, "dataclasses.Field[Any]"]]


def only_with(**values: object) -> dict[str, object]:
    """Return the metadata of an option that has an effect only with these values of other options.

        max_kl: float = field(default=0.01, metadata=only_with(outer="trpo"))

    Each value is a single one or a tuple of several. The command line's help leaves out an option without effect.
    """
    return {_ONLY_WITH: values}


def applies(option: "dataclasses.Field[object]", options: object) -> bool:
    """Return whether an option has an effect, given the values of all options; see `only_with`."""
    conditions: Mapping[str, object] = option.metadata.get(_ONLY_WITH, {})
    return all(
        getattr(options, name) in (values if isinstance(values, tuple) else (values,))
        for name, values in conditions.items()
    )


_ONLY_WITH = "only with"


@dataclass(frozen=True)
class Bounds:
    """Range of a numeric option, in which `tune` searches; the bounds belong to it."""

    low: float
    high: float
    log: bool = False
    """Whether the logarithm of the option is uniform in the range, not the option itself."""


def tunable(low: int | float, high: int | float, *, log: bool = False) -> dict[str, object]:
    """Return the metadata of a numeric option with a range, in which `tune` searches.

        lr: float = field(default=0.01, metadata=tunable(1e-4, 0.1, log=True))

    Options that change the amount of experience or the size of a network, such as the number of episodes or of layers,
    have no range: more of these is nearly always better, and a search would choose the most expensive. Joined by `|`
    with `only_with`.
    """
    return {_TUNABLE: Bounds(float(low), float(high), log)}


def bounds_of(option: "dataclasses.Field[object]") -> Bounds | None:
    """Return the range of an option; None without one. See `tunable`."""
    found = option.metadata.get(_TUNABLE)
    return found if isinstance(found, Bounds) else None


_TUNABLE = "tunable"


def option_names(config: type[object]) -> list[str]:
    """Return the names of the fields of a dataclass of options."""
    return [field.name for field in dataclasses.fields(config)]  # type: ignore[arg-type]


def check_known(names: Iterable[str], known: Iterable[str], before: str, after: str = "") -> None:
    """Raise UsageError for the first unknown name; `before` and `after` surround the name in the message."""
    known = list(known)
    for name in names:
        if name not in known:
            raise UsageError(f"{before} {name!r}{after}{suggest(name, known)}")


def build_config(config: type[Config], options: Mapping[str, object], before: str, after: str = "") -> Config:
    """Build the dataclass of these options. Raises UsageError as `check_known` does."""
    check_known(options, option_names(config), before, after)
    return config(**options)


def check_literals(options: object, where: str) -> None:
    """Raise UsageError for the first field of a dataclass of options that is none of the words its type lists."""
    for name, annotation in get_type_hints(type(options)).items():
        if get_origin(annotation) is Literal:
            check_choice(where, name, getattr(options, name), get_args(annotation))
