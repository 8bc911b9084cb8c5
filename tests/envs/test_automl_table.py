"""The table of measured scores that ships with `envs/automl`, and rejection of damaged tables."""

import json
import shutil

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine

from benchmarks.automl_table import build, portfolios
from benchmarks.automl_table.catalogue import catalogue
from envs.automl import algorithms, frames, meta_features, scoring, table
from qrl.common.errors import UsageError
from tests.support.frames import mixed


@pytest.fixture(scope="module")
def shipped():
    return table.read_table()


# The shipped table.


def test_table_is_large_enough_to_learn_from(shipped):
    assert len(shipped.datasets) >= 100
    assert len(shipped.algorithms.choices) >= 12
    assert shipped.algorithms.choices == algorithms.ALGORITHMS
    assert shipped.features == meta_features.META_FEATURES
    assert shipped.algorithms.rows.tolist() == list(range(len(shipped.datasets)))
    for name, scores in shipped.portfolios.items():
        assert len(scores.choices) == len(algorithms.PORTFOLIOS[name]) <= 32


def test_files_are_small():
    assert table.FILE.stat().st_size + table.FILE.with_suffix(".safetensors").stat().st_size < 1_000_000


def test_each_group_is_in_one_split_of_about_the_intended_size(shipped):
    members = {name: {shipped.groups[row] for row in shipped.split(name)} for name in table.SPLITS}
    assert not members["train"] & members["test"]
    assert not members["train"] & members["validation"]
    assert not members["validation"] & members["test"]
    n_groups = len(set(shipped.groups))
    assert sum(map(len, members.values())) == n_groups
    for name, share in {"train": 0.6, "validation": 0.1, "test": 0.3}.items():
        assert len(members[name]) / n_groups == pytest.approx(share, abs=0.04)


def test_scores_are_plausible(shipped):
    assert np.isfinite(shipped.meta).all()
    for scores in (shipped.algorithms, *shipped.portfolios.values()):
        assert np.isfinite(scores.accuracy).all() and scores.accuracy.min() >= 0 and scores.accuracy.max() <= 1
        assert np.isfinite(scores.balanced).all() and scores.balanced.min() >= 0 and scores.balanced.max() <= 1
        assert (scores.seconds >= 0).all()
    share = shipped.meta[:, shipped.features.index("majority_share")]
    # Folds are stratified, up to a row or two in the smallest dataset of 80 rows.
    assert shipped.algorithms.majority.mean(1) == pytest.approx(share, abs=0.02)


def test_every_dataset_is_learnable_and_nontrivial(shipped):
    mean = shipped.algorithms.accuracy.mean(-1)
    assert mean.max(1).max() < build.TRIVIAL
    assert shipped.improvement().max(1).min() > 0


def test_no_algorithm_is_best_on_all_datasets(shipped):
    best = shipped.improvement().argmax(1)
    assert len(np.unique(best)) >= 8
    assert np.bincount(best).max() < 0.5 * len(best)


def test_every_dataset_states_its_source(shipped):
    for name, about in zip(shipped.datasets, shipped.about, strict=True):
        assert about["source"] and about["item"] and about["licence"], name
    listed = {each.name for each in catalogue()}
    assert set(shipped.datasets) | set(shipped.dropped) == listed
    assert not set(shipped.datasets) & set(shipped.dropped)


@pytest.mark.parametrize("load", [load_iris, load_wine])
def test_scores_are_reproducible(shipped, load):
    # With few rows, a package version that classifies one differently changes a fold of 30 rows by 1/30.
    data = load(as_frame=True)
    frame, (classes, _) = frames.plain(data.data), frames.encode(data.target)
    row = shipped.datasets.index(load.__name__.removeprefix("load_"))
    for name in ("lda", "knn"):
        scored = scoring.score(lambda name=name: algorithms.algorithm_pipeline(name, frame), frame, classes)
        column = algorithms.ALGORITHMS.index(name)
        assert scored.accuracy == pytest.approx(shipped.algorithms.accuracy[row, column], abs=2 / 30)
        assert scored.accuracy.mean() == pytest.approx(shipped.algorithms.accuracy[row, column].mean(), abs=0.0101)
    assert meta_features.meta_features(frame, classes) == pytest.approx(shipped.meta[row], abs=0.03)


# Invalid tables.


@pytest.fixture
def copy(tmp_path):
    for suffix in (".json", ".safetensors"):
        shutil.copy(table.FILE.with_suffix(suffix), tmp_path / f"table{suffix}")
    return tmp_path / "table.json"


def test_copy_is_readable(copy, shipped):
    assert table.read_table(copy).datasets == shipped.datasets


def flipped(path):
    raw = bytearray(path.read_bytes())
    raw[-9] ^= 1
    path.write_bytes(bytes(raw))


def edited(change):
    def edit(path):
        text = json.loads(path.read_text())
        change(text)
        text["digest"] = table.digest(path.with_suffix(".safetensors").read_bytes(), text)
        path.write_text(json.dumps(text))

    return edit


def in_two_splits(text):
    names = [name for name, each in text["datasets"].items() if each["group"] == "penguins"]
    for name, split in zip(names, ("train", "test"), strict=True):
        text["datasets"][name]["split"] = split


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: flipped(path.with_suffix(".safetensors")), "damaged"),
        (lambda path: path.with_suffix(".safetensors").write_bytes(b"PK\3\4"), "table.safetensors: "),
        (lambda path: path.with_suffix(".safetensors").unlink(), "table.safetensors: "),
        (lambda path: path.write_text(path.read_text().replace('"split": "test"', '"split": "train"', 1)), "damaged"),
        (lambda path: path.write_text(path.read_text()[:2000]), "truncated"),
        (lambda path: path.write_text("[]"), "not a selection table"),
        (edited(lambda text: text["features"].pop()), r"meta has shape \(\d+, 22\), not \(\d+, 21\)"),
        (edited(lambda text: text["choices"]["algorithms"].pop()), "algorithms.accuracy has shape"),
        (edited(lambda text: text.pop("dropped")), "incomplete: 'dropped'"),
        (edited(in_two_splits), "group 'penguins' is in more than one split"),
    ],
)
def test_damaged_tables_are_rejected(copy, damage, message):
    damage(copy)
    with pytest.raises(UsageError, match=message):
        table.read_table(copy)


def test_unknown_names_are_rejected(shipped):
    frame, _ = mixed()
    plain = frames.plain(frame)
    with pytest.raises(UsageError, match="unknown algorithm 'random_forrest'; did you mean 'random_forest'"):
        algorithms.algorithm_pipeline("random_forrest", plain)
    with pytest.raises(UsageError, match="configurations 0 to 31, not 32"):
        portfolios.configured("svm", 32, plain)
    with pytest.raises(UsageError, match="unknown portfolio 'svn'; did you mean 'svm'"):
        portfolios.configured("svn", 0, plain)
    with pytest.raises(UsageError, match="unknown portfolio 'svn'"):
        shipped.improvement("svn")
