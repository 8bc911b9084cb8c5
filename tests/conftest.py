"""Check shapes and types at run time, in the tests only."""

import gc
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

from tests.support import typechecks

# Install before any module of this project is imported: the hook acts at import.
typechecks.install()

import torch  # noqa: E402

# One thread: sums have a fixed order, and parallel tests do not compete for cores.
torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the thousands of modules and tests, which stay until the end."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """Check the first calls of each test, whatever tests have run before."""
    typechecks.PROGRESS.n_tests += 1


@pytest.fixture(autouse=True, scope="session")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the user's state, such as the code that tests have trained with, in a temporary folder."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the tests' type checks, so that wrong types raise the library's own errors, as for users."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no pictures, which take most of the time of a short run."""
    monkeypatch.setattr("agents.experiment.report.draw", lambda *_: b"")
