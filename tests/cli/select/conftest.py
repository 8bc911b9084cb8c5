"""Files, scores and selectors for tests of `run.py select`."""

from pathlib import Path

import numpy as np
import pytest

from agents import rl2
from agents.core.spec import Spec
from agents.runs.folder import RunFolder
from agents.select import command as select_command
from envs.automl import algorithms, evaluation, scoring
from tests.support.select_command import proposing_only, rows


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows().to_csv("data.csv", index=False)
    return Path("data.csv")


@pytest.fixture
def scores(monkeypatch):
    """Replace fitting by a mean accuracy for each algorithm name; record the requested names."""
    asked, known = [], {name: 0.5 + 0.01 * number for number, name in enumerate(algorithms.ALGORITHMS)}

    def score(make, frame, classes, *, outputs):
        name = make()
        asked.append(name)
        accuracy = known[name] + 0.01 * np.array([-1.0, 0, 0, 0, 1])
        return scoring.PipelineScores(accuracy, accuracy - 0.1, 2.0, predicted=(classes + 1) % 2)

    monkeypatch.setattr(evaluation, "algorithm_pipeline", lambda name, frame: name)
    monkeypatch.setattr(select_command, "script", lambda *_: "")
    monkeypatch.setattr(scoring, "score", score)
    return known, asked


@pytest.fixture
def quick(monkeypatch):
    """Let the selector propose only fast algorithms."""
    monkeypatch.setattr(rl2.RL2, "act_deterministically", proposing_only("gaussian_nb", "lda"))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Runs of agents other than the shipped one."""
    folder = tmp_path_factory.mktemp("runs")
    named = {name: ("algorithm_selection", name) for name in ("portfolio", "best_single", "oracle", "random")}
    for name, (env, agent) in {**named, "bandit": ("bandit", "greedy")}.items():
        RunFolder.create(folder / name, {"spec": Spec.default(env=env, agent=agent).to_json()})
    return folder


@pytest.fixture
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
