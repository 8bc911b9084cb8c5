"""pytest plugin: a time limit for each test, `QRL_TEST_SECONDS` [s]."""

import os
import signal
from collections.abc import Generator
from types import FrameType

import pytest

SECONDS = "QRL_TEST_SECONDS"
"""Environment variable with the time limit of a test [s]."""


class TestTimeout(BaseException):
    """Raised in a test that takes too long. No Exception, so that the test itself does not catch it."""


def _stop(signum: int, frame: FrameType | None) -> None:
    raise TestTimeout(f"took longer than {os.environ[SECONDS]} s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Raise TestTimeout in a test that is still running at its limit."""
    before = signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, float(os.environ[SECONDS]))
    try:
        yield
    except TestTimeout as error:  # pytest would end its session at a BaseException that is none of its own
        pytest.fail(str(error), pytrace=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
