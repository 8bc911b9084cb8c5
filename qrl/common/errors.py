"""Errors for the user: one line each, no traceback on the command line."""

import difflib
import re
import signal
import threading
import traceback
from collections.abc import Iterable
from pathlib import Path


class UsageError(ValueError):
    """Invalid input; the message is one line that says what is wrong, where, and what would be accepted.

    The command line prints the message and exits with code 2, having written nothing.
    """


class TrainingError(RuntimeError):
    """Training cannot continue (a non-finite reward, loss or gradient); the message is one line.

    The command line prints the message and exits with code 1; the last good checkpoint is kept.
    """


def suggest(name: str, choices: Iterable[str], *, quoted: bool = False) -> str:
    """Return the tail of a message about a mistyped `name`: a near match if there is one, then all choices.

    With `quoted`, choices are in quotation marks, for choices that may hold commas.

    >>> suggest("navigaton", ["cartpole", "navigation"])
    "; did you mean 'navigation'? (choices: cartpole, navigation)"
    """
    names = sorted(set(choices))
    if not names:
        return "; no choices are available"
    lowered = {choice.lower(): choice for choice in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    near = near or [choice for choice in lowered if name and choice.startswith(name.lower())]
    listed = f"choices: {', '.join(map(repr, names) if quoted else names)}"
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


def is_interrupt(error: BaseException) -> bool:
    """Return whether an exception comes from outside third-party code, such as from Ctrl-C, and must not be caught.

    The handlers of this library raise subclasses of KeyboardInterrupt. A plain KeyboardInterrupt is third-party code's
    own, unless Python's default handler of SIGINT is installed, which raises it as well.
    """
    if type(error) is not KeyboardInterrupt:
        return isinstance(error, KeyboardInterrupt)
    in_main_thread = threading.current_thread() is threading.main_thread()
    return in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory was exhausted: a MemoryError, or one of torch's RuntimeErrors."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error))))


_NO_MEMORY = re.compile("can't allocate memory|out of memory|bad_alloc|[Ss]torage size calculation overflowed")
"""Messages of torch's RuntimeErrors for exhausted memory."""


class wrap_errors:
    """Context manager that turns any exception of third-party code into one line, "what: description".

    TrainingErrors, exhausted memory and interrupts pass unchanged.

    Args:
        what: begin of the line.
        raised: class of the error.
        usage_errors: turn UsageErrors too, by putting `what` before their text; otherwise they pass.
    """

    # Not a generator: contextlib takes an error that is raised from a StopIteration for that StopIteration.
    def __init__(
        self, what: str, raised: type[UsageError | TrainingError] = UsageError, *, usage_errors: bool = False
    ) -> None:
        self._what, self._raised, self._usage_errors = what, raised, usage_errors

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None or isinstance(error, TrainingError) or is_interrupt(error) or is_out_of_memory(error):
            return
        if not isinstance(error, UsageError):
            raise self._raised(f"{self._what}: {describe(error)}") from error
        if self._usage_errors:
            raise self._raised(f"{self._what}: {str(error).removeprefix(f'{self._what}: ')}") from error
