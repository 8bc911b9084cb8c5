"""Check shapes and types at run time, in the tests only."""

import jaxtyping
import pytest

from tests.support import typechecks

# Install before any module of this project is imported: the hook acts at import.
typechecks.install()

import torch  # noqa: E402

# One thread: sums have a fixed order, and parallel tests do not compete for cores.
torch.set_num_threads(1)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the tests' type checks, so that wrong types raise the library's own errors, as for users."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
