"""The command line without running its commands."""

from pathlib import Path

import pytest

from agents.cli import commands, evaluate
from agents.experiment import resume, start
from tests.support.command_line import PLUGIN


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Commands that record their calls; options of three plug-ins that are files in the current folder."""
    recorded = []

    def record(name):
        def call(*args, **kwargs):
            recorded.append((name, args, kwargs))
            return 0

        return call

    monkeypatch.setattr(start, "run_training", record("run_training"))
    monkeypatch.setattr(resume, "run_resume", record("run_resume"))
    monkeypatch.setattr(evaluate, "run_evaluation", record("run_evaluation"))
    monkeypatch.setattr(commands, "keep_freed_memory", lambda: None)
    monkeypatch.chdir(tmp_path)
    for name in ("place.py", "learner.py", "net.py"):
        Path(name).write_text(PLUGIN)
    return recorded
