"""Notation of ranges as text, used by `--vary gravity=5:15`."""

from envs.core.ranges import Choice, Integer, Labels, LogUniform, Range, Sign, SignedUniform, Uniform
from qrl.common.errors import UsageError

_INTERVALS: dict[str, type[Uniform | LogUniform | Integer | SignedUniform]] = {
    "": Uniform,
    "log": LogUniform,
    "int": Integer,
    "±": SignedUniform,
}
_BOOLEANS = {"true": 1.0, "false": 0.0}
_NOTATION = "LOW:HIGH, log:LOW:HIGH, ±LOW:HIGH, int:LOW:HIGH, A,B,... or sign"


def parse_range(text: str, what: str, hint: str = "") -> Range:
    """Parse a range such as `5:15`.

    Args:
        text: LOW:HIGH is uniform, log:LOW:HIGH log-uniform, ±LOW:HIGH (or +-LOW:HIGH) uniform with a random sign,
            int:LOW:HIGH an integer, A,B,... one of these numbers, booleans or words, sign -1 or 1.
        what: name of the range in error messages.
        hint: what else to do with a text that is not a range.

    Raises:
        UsageError: the text is not a range, or the range is empty.
    """
    words = text.replace("+-", "±").strip()
    try:
        if words == "sign":
            return Sign()
        if "," in words:
            return _choice([each.strip() for each in words.split(",")])
        kind, rest = ("±", words[1:]) if words.startswith("±") else ("", words)
        *head, low, high = rest.split(":")
        kind = kind or "".join(head)
        return _INTERVALS[kind](float(low), float(high))
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from None
    except (ValueError, KeyError):
        raise UsageError(f"{what}: {text!r} is not a range; expected {_NOTATION}{hint}") from None


def _choice(words: list[str]) -> Choice | Labels:
    """Return a choice among numbers and booleans, or among words. Raise ValueError for a mixture of both."""
    numbers = [number for word in words if (number := _number(word)) is not None]
    if len(numbers) == len(words):
        return Choice(tuple(numbers))
    if numbers or not all(word.isidentifier() for word in words):
        raise ValueError
    return Labels(tuple(words))


def _number(word: str) -> float | None:
    if word.lower() in _BOOLEANS:
        return _BOOLEANS[word.lower()]
    try:
        return float(word)
    except ValueError:
        return None
