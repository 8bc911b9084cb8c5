"""Errors for the user: one line each, no traceback on the command line."""

import difflib
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class UsageError(ValueError):
    """Invalid input; the message is one line that says what is wrong, where, and what would be accepted.

    The command line prints the message and exits with code 2, having written nothing.
    """


class TrainingError(RuntimeError):
    """Training cannot continue (a non-finite reward, loss or gradient); the message is one line.

    The command line prints the message and exits with code 1; the last good checkpoint is kept.
    """


def suggest(name: str, choices: Iterable[str]) -> str:
    """Return the tail of a message about a mistyped `name`: a near match if there is one, then all choices.

    >>> suggest("navigaton", ["cartpole", "navigation"])
    "; did you mean 'navigation'? (choices: cartpole, navigation)"
    """
    names = sorted(set(choices))
    if not names:
        return "; no choices are available"
    lowered = {choice.lower(): choice for choice in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    near = near or [choice for choice in lowered if name and choice.startswith(name.lower())]
    listed = f"choices: {', '.join(names)}"
    return f"; did you mean {lowered[near[0]]!r}? ({listed})" if near else f"; {listed}"


def describe(error: BaseException) -> str:
    """Describe an exception of third-party code in one line: its type, its first line, and where it was raised.

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

    UsageErrors and MemoryErrors pass unchanged.
    """
    try:
        yield
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # third-party code may raise anything, and every exception is a defect of that code
        raise UsageError(f"{what}: {describe(error)}") from error
