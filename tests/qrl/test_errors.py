"""Exceptions of third-party code become one line; interrupts from outside pass."""

import asyncio
import signal
import threading

import pytest

from agents.runs.interrupt import Interrupted
from qrl.common.errors import TrainingError, UsageError, is_interrupt, wrap_errors


@pytest.fixture
def handler():
    """Set the handler of SIGINT for a test."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda action: signal.signal(signal.SIGINT, action)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "error",
    [GeneratorExit(), SystemExit(0), asyncio.CancelledError(), StopIteration(), BaseException("a"), UserWarning("a")],
)
def test_every_exception_is_one_line(error):
    with pytest.raises(UsageError, match=f"^mine: {type(error).__name__}: "), wrap_errors("mine"):
        raise error
    with pytest.raises(TrainingError, match=r"^mine: "), wrap_errors("mine", TrainingError):
        raise error


@pytest.mark.parametrize("error", [UsageError("a"), TrainingError("a"), MemoryError(), RuntimeError("out of memory")])
def test_own_errors_and_exhausted_memory_pass(error):
    with pytest.raises(type(error)) as caught, wrap_errors("mine", TrainingError):
        raise error
    assert caught.value is error


def test_keyboard_interrupt_is_ctrl_c_only_with_pythons_handler(handler):
    handler(signal.default_int_handler)
    assert is_interrupt(KeyboardInterrupt())
    handler(lambda *_: None)
    assert not is_interrupt(KeyboardInterrupt())
    assert is_interrupt(Interrupted(signal.SIGINT))
    assert not is_interrupt(ValueError())


def test_keyboard_interrupt_in_another_thread_is_not_ctrl_c(handler):
    handler(signal.default_int_handler)
    found = []
    thread = threading.Thread(target=lambda: found.append(is_interrupt(KeyboardInterrupt())))
    thread.start()
    thread.join()
    assert found == [False]
