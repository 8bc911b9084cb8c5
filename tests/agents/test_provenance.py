"""Commit in the provenance of results."""

import os
import shutil
import subprocess

import pytest

from agents.runs.provenance import provenance


@pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
def test_commit_of_the_checkout_is_recorded_and_its_index_left_alone(tmp_path, monkeypatch):
    """Git would rewrite the index, under a lock that stands in the way of the user's own commands."""

    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr("agents.runs.provenance.checkout", lambda: tmp_path)
    assert provenance([])["commit"] is None  # no repository
    git("init")
    assert provenance([])["commit"] is None  # no commit
    file = tmp_path / "file"
    file.write_text("one")
    git("add", "file")
    git("commit", "-m", "first")
    commit = git("rev-parse", "HEAD").strip()
    os.utime(file, (1e9, 1e9))  # The index is now out of date.
    (tmp_path / "untracked").touch()
    index = (tmp_path / ".git/index").read_bytes()
    assert provenance([])["commit"] == commit
    assert (tmp_path / ".git/index").read_bytes() == index
    file.write_text("two")
    assert provenance([])["commit"] == commit + "+changes"
