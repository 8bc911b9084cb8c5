"""Errors meant for the person at the keyboard: one line each, no traceback on the command line."""

import difflib
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class UsageError(ValueError):
    """Input that cannot be used: the message is one line saying what, where, and what would be accepted.

    The command line prints it and exits with code 2, having written nothing.
    """


class TrainingError(RuntimeError):
    """Training cannot go on (a non-finite reward, loss or gradient): the message is one line.

    The command line prints it and exits with code 1; the last good checkpoint is kept.
    """


def suggest(name: str, choices: Iterable[str]) -> str:
    """The tail of a message about a mistyped `name`: a near match if there is one, then all choices.

    >>> suggest("navigaton", ["cartpole", "navigation"])
    "; did you mean 'navigation'? (choices: cartpole, navigation)"
    """
    names = sorted(set(choices))
    if not names:
        return "; there is nothing to choose from"
    lowered = {choice.lower(): choice for choice in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    near = near or [choice for choice in lowered if name and choice.startswith(name.lower())]
    listed = f"choices: {', '.join(names)}"
    return f"; did you mean {lowered[near[0]]!r}? ({listed})" if near else f"; {listed}"


def describe(error: BaseException) -> str:
    """One line about an exception of somebody else's code: its kind, its first line, and where it was raised.

    >>> try:
    ...     {}["missing"]
    ... except KeyError as error:
    ...     describe(error)[:19]
    "KeyError: 'missing'"
    """
    frame = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({Path(frame[0].filename).name}, line {frame[0].lineno})" if frame else ""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}{where}"


@contextmanager
def wrap_errors(what: str) -> Iterator[None]:
    """Turn an exception of third-party code into a UsageError of one line, "what: description".

    UsageErrors and MemoryErrors pass as they are.
    """
    try:
        yield
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # third-party code may raise anything; what it raises is a defect of that code
        raise UsageError(f"{what}: {describe(error)}") from error
