"""A run folder with nothing but its configuration."""

import pytest

from agents.runs.folder import RunFolder
from tests.support.run_folders import CONFIG


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "runs" / "one", CONFIG)
