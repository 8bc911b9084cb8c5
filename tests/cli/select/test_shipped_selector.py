"""The selector that ships, and what cannot ship."""

import pytest
import torch

import agents
from agents.select import selector as shipped
from qrl.common.errors import UsageError
from tests.support.trained_parameters import trained


def test_shipping(tmp_path):
    for number in ("00000000", "99999999"):  # what shipped before
        (tmp_path / "copy" / "checkpoint" / number).mkdir(parents=True)
    shipped.ship(shipped.FOLDER, tmp_path / "copy")
    assert len(list((tmp_path / "copy" / "checkpoint").iterdir())) == 1
    mine, ours = agents.load(tmp_path / "copy"), agents.load(shipped.FOLDER)
    assert mine.iteration == ours.iteration == ours.spec.iterations and mine.spec == ours.spec
    torch.testing.assert_close(trained(mine.agent), trained(ours.agent))
    assert sum(each.stat().st_size for each in shipped.FOLDER.rglob("*.*")) < 500_000
    assert "run.py" in ours.folder.config["command"][0]


def test_the_selector_that_ships_is_of_the_table_that_ships():
    assert shipped.trained_on_this_table(), "train another and put it there: python -m agents.select.selector RUN"


def test_what_cannot_ship(others, tmp_path):
    with pytest.raises(UsageError, match="a run of algorithm_selection is needed, not of bandit"):
        shipped.ship(others / "bandit", tmp_path / "x")
    with pytest.raises(UsageError, match="no checkpoint"):
        shipped.ship(others / "portfolio", tmp_path / "x")
    assert not (tmp_path / "x").exists()
