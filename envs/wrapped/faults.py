"""Errors of third-party environments, in one line each."""

from collections.abc import Iterator
from contextlib import contextmanager

import gymnasium as gym

from envs.wrapped.time_limit import TimeExceeded
from qrl.common.errors import TrainingError, UsageError, describe, is_interrupt
from qrl.common.importing import install_hint


class Fault(UsageError):
    """Violation of Gymnasium's interface, or of the library's process; the message does not name the environment."""


def explain(error: BaseException, seconds: float) -> str:
    """Describe what an environment did, if its calls may take this long [s]. Raise interrupts from outside again."""
    if isinstance(error, TimeExceeded):
        return late(seconds)
    if is_interrupt(error):
        raise error
    if isinstance(error, UsageError | TrainingError):
        return str(error)
    if isinstance(error, gym.error.Error | ImportError):
        return " ".join(str(error).split()) + install_hint(error)
    return describe(error)


def late(seconds: float) -> str:
    """Describe a call that did not return in time."""
    where = "--env.step-timeout of a Gymnasium id, step_timeout= of envs.GymnasiumTasks"
    return f"no answer within {seconds:g} s, the limit ({where}; 0: no limit)"


@contextmanager
def wrap_env_errors(name: str, seconds: float = 0.0) -> Iterator[None]:
    """Convert any exception of third-party code into a one-line UsageError that names the environment."""
    try:
        yield
    except Fault as fault:
        raise UsageError(f"{name}: {fault}") from fault
    except UsageError:
        raise
    except BaseException as error:  # third-party code may raise anything
        raise UsageError(f"{name}: {explain(error, seconds)}") from error
