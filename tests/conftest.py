"""Shapes and types are checked at run time in the tests, and nowhere else."""

import jaxtyping
import pytest

from tests.support import typechecks

# Before anything of ours is imported: the hook works on modules as they are imported.
typechecks.install()

import torch  # noqa: E402

# One thread: sums are then made in one order, and tests that run side by side do not wait for each other.
torch.set_num_threads(1)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the type checks of the tests, so that wrong types meet our own messages, as they do for a user."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
