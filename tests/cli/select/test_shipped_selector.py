"""The shipped selector, and runs that cannot be installed as a selector."""

import pytest
import torch

import agents
from agents.select import selector as shipped
from qrl.common.errors import UsageError
from tests.support.trained_parameters import trained


def test_installing_a_selector(tmp_path):
    for number in ("00000000", "99999999"):  # checkpoints of an earlier selector
        (tmp_path / "copy" / "checkpoint" / number).mkdir(parents=True)
    shipped.install_selector(shipped.FOLDER, tmp_path / "copy")
    assert len(list((tmp_path / "copy" / "checkpoint").iterdir())) == 1
    mine, ours = agents.load(tmp_path / "copy"), agents.load(shipped.FOLDER)
    assert mine.iteration == ours.iteration == ours.spec.iterations and mine.spec == ours.spec
    torch.testing.assert_close(trained(mine.agent), trained(ours.agent))
    assert sum(each.stat().st_size for each in shipped.FOLDER.rglob("*.*")) < 500_000
    assert "run.py" in ours.folder.config["command"][0]


def test_shipped_selector_was_trained_on_the_shipped_table():
    assert shipped.trained_on_this_table(), "train and install another: python -m agents.select.selector RUN"


def test_runs_that_cannot_be_installed(others, tmp_path):
    with pytest.raises(UsageError, match="must be a run of algorithm_selection, not of bandit"):
        shipped.install_selector(others / "bandit", tmp_path / "x")
    with pytest.raises(UsageError, match="no checkpoint"):
        shipped.install_selector(others / "portfolio", tmp_path / "x")
    assert not (tmp_path / "x").exists()
