"""Training that ends as if killed, in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from agents.experiment.loop import Training


class Killed(BaseException):
    """An exception that nothing catches."""


@contextmanager
def killed(after: int) -> Iterator[None]:
    """Training inside this context ends after `after` logged iterations."""
    original = Training.step

    def step(self: Training) -> dict[str, Any]:
        if self.iteration == after:
            raise Killed
        return original(self)

    with mock.patch.object(Training, "step", step), pytest.raises(Killed):
        yield
