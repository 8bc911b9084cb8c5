"""Training that ends as by a kill, in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from agents.experiment.loop import Training


class Killed(BaseException):
    """What nothing catches."""


@contextmanager
def killed(after: int) -> Iterator[None]:
    """What trains in here ends once so many iterations are done and logged."""
    original = Training.step

    def step(self: Training) -> dict[str, Any]:
        if self.iteration == after:
            raise Killed
        return original(self)

    with mock.patch.object(Training, "step", step), pytest.raises(Killed):
        yield
