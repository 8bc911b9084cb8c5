"""Checks of user-supplied values."""

import math
import re
from collections.abc import Iterable
from numbers import Integral

from qrl.common.errors import UsageError, suggest

LARGEST_INT = 2**63 - 1
"""Largest whole number of any option: the largest integer of torch and NumPy."""

MAX_SHOTS = 10**9
"""Largest number of shots; larger values are rejected as typos."""

MOST_CHARACTERS = 60
"""Longest text of a value in a message."""


def shown(value: object) -> str:
    """Return a value given by the user, as messages show it: shortened if it is long.

    An integer of thousands of digits has no decimal form in Python.
    """
    if isinstance(value, int) and abs(value) > 10**MOST_CHARACTERS:
        return f"a number of about {round(value.bit_length() * math.log10(2)):,} digits"
    try:
        return abbreviated(re.sub(r"\n\s*", " ", repr(value)))  # arrays have several lines
    except ValueError:  # such an integer within a list
        return f"a {type(value).__name__} with a number of thousands of digits"


def abbreviated(text: str) -> str:
    """Return a text given by the user, as messages show it: shortened if it is long."""
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


def check_count(name: str, value: object, least: int = 1, most: int = LARGEST_INT) -> int:
    """Return `value` as an int.

    Raises:
        UsageError: the value is not an integer, less than `least`, or more than `most`; the message calls it `name`.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UsageError(f"{name} must be a whole number, not {shown(value)}")
    count = int(value)
    if count < least:
        raise UsageError(f"{name} must be at least {least}, not {shown(count)}")
    if count > most:
        raise UsageError(f"{name} must be at most {most}, not {shown(count)}")
    return count


def finite_number(name: str, value: object) -> float:
    """Return `value` as a float.

    Raises:
        UsageError: the value is not a number, or not finite; the message calls it `name`.
    """
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever float() takes
    except OverflowError:  # an integer beyond the range of floats
        number = math.inf
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be a number, not {shown(value)}") from None
    if not math.isfinite(number):
        raise UsageError(f"{name} must be finite, not {shown(value)}")
    return number


def check_in_unit_interval(name: str, value: object) -> None:
    """Raise UsageError unless a value is a number in [0, 1]."""
    if not 0 <= finite_number(name, value) <= 1:
        raise UsageError(f"{name} must be in [0, 1], not {shown(value)}")


def is_text(value: str) -> bool:
    """Return whether this is Unicode text that a file and its name can hold.

    NUL characters and surrogates are none. Python puts a surrogate for each byte of a name that is not UTF-8.
    """
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def check_text(name: str, value: str) -> None:
    """Raise UsageError, with `name`, for text with NUL characters or bytes that are not UTF-8."""
    if not is_text(value):
        raise UsageError(f"{name}: {value!r} is not text: it has a NUL character, or bytes that are not UTF-8")


def check_choice(where: str, option: str, value: object, choices: Iterable[str]) -> None:
    """Raise UsageError, with `where` and a near match, unless the value of an option is one of `choices`."""
    choices = tuple(choices)
    if value not in choices:
        raise UsageError(f"{where}: unknown {option} {value!r}{suggest(str(value), choices)}")


def check_seed(name: str, value: object) -> None:
    """Check a seed given by the user.

    Raises:
        UsageError: the seed is not an integer in [0, 2**63), the range that every generator accepts.
    """
    check_count(name, value, least=0)
