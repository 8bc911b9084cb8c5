"""Searches of a fraction of a second."""

from pathlib import Path

import pytest

SMALL = {
    "env": "navigation", "model": "mlp", "iterations": 4, "env_config": {"horizon": 3}, "checkpoint_every": 1,
    "agent_config": {"meta_batch": 2, "episodes": 3}, "eval_tasks": 3, "eval_episodes": 2, "eval_steps": 1,
    "tune_tasks": 2, "score_every": 2, "held_out_seeds": 0, "progress": False,
    "tune": ["agent.lr-heads", "agent.clip=0.1:0.4"],
}  # fmt: skip
"""Options of `agents.tune`."""

WORDS = [
    *("tune", "--env", "navigation", "--model", "mlp", "--iterations", "4", "--env.horizon", "3"),
    *("--checkpoint-every", "1", "--agent.meta-batch", "2", "--agent.episodes", "3", "--eval-tasks", "3"),
    *("--eval-episodes", "2", "--eval-steps", "1", "--tune-tasks", "2", "--score-every", "2", "--held-out-seeds", "0"),
    *("--tune", "agent.lr-heads", "agent.clip=0.1:0.4"),
]
"""The same on the command line."""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
