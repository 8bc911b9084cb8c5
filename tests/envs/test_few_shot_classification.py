"""Few-shot classification: examples and rewards by hand, the shipped data, and its build."""

import dataclasses
import json
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from sklearn.datasets import load_iris

import envs
from benchmarks.automl_table import build_rows
from envs import Tasks
from envs.automl import frames, rows, table
from envs.few_shot_classification import Config, FewShotClassification
from qrl.common.errors import UsageError

pytestmark = pytest.mark.filterwarnings("error")

MADE_UP = rows.Rows(
    features=np.array([[0, 1], [1, 1], [2, 1], [3, 1], [-1, -1], [-2, -2]], dtype=np.float32),
    classes=np.array([[0, 3], [3, 1], [4, 1], [5, 1]]),  # the first component identifies the row: 0 1 2 | 3 | -1 | -2
    pairs=np.array([[0, 1], [2, 3], [3, 2], [1, 0]]),
    datasets=("a", "b", "c", "d"),
    accuracy=np.full(4, 0.9, np.float32),
)


def family(**options) -> FewShotClassification:
    """Training pairs are b and d, pairs 0 and 1 of the family; a and c are held out, pairs 2 and 3."""
    return FewShotClassification(Config(**{"n_features": 2, **options}), MADE_UP, np.array([1, 3]), np.array([0, 2]))


@pytest.fixture(scope="module")
def shipped() -> rows.Rows:
    return rows.read_rows()


# -- episodes ----------------------------------------------------------------------------------------------------------


def test_examples_and_rewards_by_hand() -> None:
    """Pair b has a row of each class, -1 and -2, and c the same the other way round; a has 0, 1 and 2 against 3."""
    made = family(horizon=3)
    env = made.vectorise(4, 1)
    values = [(0, 0), (0, 1), (2, 0), (3, 0)]
    tasks = Tasks.from_rows([{"pair": float(pair), "swapped": float(swapped)} for pair, swapped in values])
    first_of = [{-1.0}, {-2.0}, {0.0, 1.0, 2.0}, {-2.0}]
    all_of = [{-1.0, -2.0}, {-1.0, -2.0}, {0.0, 1.0, 2.0, 3.0}, {-1.0, -2.0}]
    observation, _ = env.reset(seed=3, options={"tasks": tasks})
    for step in range(3):
        seen = observation[:, 0].tolist()
        assert all(value in allowed for value, allowed in zip(seen, all_of, strict=True))
        observation, reward, terminated, truncated, _ = env.step(torch.zeros(4, dtype=torch.int64))
        assert reward.tolist() == [float(value in zeros) for value, zeros in zip(seen, first_of, strict=True)]
        assert not terminated.any() and truncated.tolist() == [step == 2] * 4
    assert [made.dataset(pair) for pair in range(4)] == ["b", "d", "a", "c"]


def test_classes_come_equally_often_and_so_do_rows_of_a_class() -> None:
    """Rows 0, 1 and 2 of one class have probability 1/6 each; row 3, the only one of the other, has 1/2."""
    env = family().vectorise(1, 6000)
    observation, _ = env.reset(seed=0, options={"tasks": Tasks.from_rows([{"pair": 2.0, "swapped": 0.0}])})
    counts = torch.bincount(observation[:, 0].long(), minlength=4) / 6000
    # Five standard errors of 1/2 are 0.032.
    torch.testing.assert_close(counts, torch.tensor([1 / 6, 1 / 6, 1 / 6, 1 / 2]), atol=0.032, rtol=0)


def test_features_are_the_first_components() -> None:
    assert family(n_features=1).vectorise(1, 1).reset(seed=0)[0].shape == (1, 1)
    full, three = (envs.make("few_shot_classification", n_features=n) for n in (8, 3))
    task = {"pair": 5, "swapped": 1}
    assert full.make(task).reset(seed=1)[0][:3].tolist() == three.make(task).reset(seed=1)[0].tolist()


def test_held_out_pairs_are_the_test_tasks() -> None:
    made = family()
    assert {row["pair"] for row in made.sample(50, "train", np.random.default_rng(0)).rows()} == {0, 1}
    assert sorted((row["pair"], row["swapped"]) for row in made.sample(4, "test").rows()) == [
        (2, 0), (2, 1), (3, 0), (3, 1)
    ]  # fmt: skip
    assert made.n_distinct("train") == 4 and made.n_distinct("test") == 4


@pytest.mark.parametrize(("held_out", "trained"), [("test", {"train", "validation"}), ("validation", {"train"})])
def test_no_group_is_in_both_splits(held_out: str, trained: set[str]) -> None:
    made = envs.make("few_shot_classification", held_out=held_out)
    known = table.read_table()
    about = {name: known.about[row] for row, name in enumerate(known.datasets)}
    n_train = made.n_distinct("train") // 2
    assert made.n_distinct("test") == 2 * (len(made.pairs) - n_train)
    sides = [[about[made.dataset(pair)] for pair in part] for part in (range(n_train), range(n_train, len(made.pairs)))]
    assert {each["split"] for each in sides[0]} == trained and {each["split"] for each in sides[1]} == {held_out}
    assert not {each["group"] for each in sides[0]} & {each["group"] for each in sides[1]}


def test_validation_and_test_pairs_can_both_be_held_out() -> None:
    made = envs.make("few_shot_classification", held_out="both")
    known = table.read_table()
    split_of = dict(zip(known.datasets, known.splits, strict=True))
    for split in ("train", "validation", "test"):
        pairs = made.sample(400, split, np.random.default_rng(0)).pair.long().tolist()
        assert {split_of[made.dataset(pair)] for pair in pairs} == {split}


def test_invalid_options() -> None:
    with pytest.raises(UsageError, match="n_features must be at most 8, not 9"):
        envs.make("few_shot_classification", n_features=9)
    with pytest.raises(UsageError, match=r"horizon .* must be at most 100000, not 100001"):
        Config(horizon=100_001)
    made = family()
    for values, said in (
        ({"pair": 4}, "pair must be an integer from 0 to 3"),
        ({"pair": 0.5}, "pair must be an integer from 0 to 3"),
        ({"pair": -1}, "pair must be an integer from 0 to 3"),
        ({"swapped": 2}, "swapped must be an integer from 0 to 1"),
    ):
        with pytest.raises(UsageError, match=said):
            made.make(values)


@pytest.mark.usefixtures("unchecked")
def test_mistyped_options_suggest_the_closest_name() -> None:
    with pytest.raises(UsageError, match="unknown held_out 'tests'; did you mean 'test'"):
        Config(held_out="tests")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="n_features must be at least 1, not 0"):
        Config(n_features=0)


@pytest.mark.parametrize("swapped", [0, 1])
def test_picture_shows_both_classes_and_the_example(swapped: int) -> None:
    """Rows of pair b: (-1, -1), whose right action is 0 unless swapped, and (-2, -2); 30 pixels are one unit."""
    env = family(horizon=1).make({"pair": 0, "swapped": swapped}, render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    picture = env.render()
    assert picture is not None and picture.shape == (240, 240, 3)
    example, other = ((-1, 0), (-2, 1)) if observation[0] == -1 else ((-2, 1), (-1, 0))
    blue, green = (50, 90, 200), (80, 180, 80)
    assert tuple(picture[120 - 30 * example[0], 120 + 30 * example[0]]) == (0, 0, 0)
    assert tuple(picture[120 - 30 * other[0], 120 + 30 * other[0]]) == (green if other[1] ^ swapped else blue)


# -- shipped data ------------------------------------------------------------------------------------------------------


def test_shipped_data_are_small_and_as_described(shipped: rows.Rows) -> None:
    assert rows.FILE.stat().st_size + rows.FILE.with_suffix(".safetensors").stat().st_size < 1_000_000
    counts = shipped.classes[:, 1]
    assert counts.min() >= build_rows.MIN_PER_CLASS and counts.max() == build_rows.MAX_PER_CLASS
    assert max(Counter(shipped.datasets).values()) == build_rows.MAX_PAIRS
    assert shipped.accuracy.min() >= np.float32(build_rows.LEARNABLE) and shipped.accuracy.max() <= 1
    assert shipped.features.shape[1] == build_rows.COMPONENTS
    stated = f"{len(shipped.datasets)} pairs of {len(set(shipped.datasets))} datasets, in which"
    assert stated in " ".join(str(envs.few_shot_classification.__doc__).split())


def test_rows_of_iris_are_principal_components(shipped: rows.Rows) -> None:
    """Against NumPy's decomposition; the largest loading of a component is positive."""
    pair = shipped.datasets.index("iris")
    columns, classes = load_iris(return_X_y=True)
    scaled = (columns - columns.mean(0)) / columns.std(0)
    left, _, loadings = np.linalg.svd(scaled, full_matrices=False)
    largest = loadings[np.arange(4), np.abs(loadings).argmax(1)]
    expected = np.sign(largest) * left / left.std(0)
    for label, place in enumerate(shipped.pairs[pair]):
        first, count = shipped.classes[place]
        found = shipped.features[first : first + count]
        assert count == 50 and (found[:, 4:] == 0).all()
        np.testing.assert_allclose(found[:, :4], expected[classes == label], atol=0.02)


def test_damaged_files_and_files_of_another_build(tmp_path, shipped: rows.Rows) -> None:
    path = tmp_path / "rows.json"
    numbers = path.with_suffix(".safetensors")
    shutil.copy(rows.FILE, path)
    raw = bytearray(rows.FILE.with_suffix(".safetensors").read_bytes())
    raw[-1] ^= 1
    numbers.write_bytes(raw)
    with pytest.raises(UsageError, match=r"damaged, or not from the same build as rows.safetensors"):
        rows.read_rows(path)
    numbers.unlink()
    with pytest.raises(UsageError, match=r"rows.safetensors: .*No such file"):
        rows.read_rows(path)
    path.write_text(json.dumps({"format": "other"}))
    with pytest.raises(UsageError, match="not a file of rows"):
        rows.read_rows(path)
    known = table.read_table()
    fewer = dataclasses.replace(known, datasets=known.datasets[1:], splits=known.splits[1:])
    with pytest.raises(UsageError, match="not from the same build as the table, which lacks dataset"):
        shipped.splits(fewer)


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("features", lambda x: x * 100, "components must be in -4 to 4"),
        ("features", lambda x: x[:-1], "classes or pairs with invalid indices"),
        ("classes", lambda x: np.add(x, [[1, 0]]), "classes with invalid rows"),
        ("classes", lambda x: np.multiply(x, [[1, 0]]), "classes with invalid rows"),
        ("pairs", lambda x: x + 10_000, "classes or pairs with invalid indices"),
        ("pairs", lambda x: x[:-1], r"pairs has shape \(\d+, 2\), not"),
        ("accuracy", None, "incomplete: 'accuracy'"),
    ],
)
def test_invalid_numbers(tmp_path, name, changed, said) -> None:
    path = tmp_path / "rows.json"
    text = json.loads(rows.FILE.read_text())
    arrays = safetensors.numpy.load_file(rows.FILE.with_suffix(".safetensors"))
    if changed is None:
        del arrays[name]
    else:
        arrays[name] = changed(arrays[name])
    raw = safetensors.numpy.save({key: np.ascontiguousarray(value) for key, value in arrays.items()})
    path.with_suffix(".safetensors").write_bytes(raw)
    path.write_text(json.dumps({**text, "digest": table.digest(raw, text)}))
    with pytest.raises(UsageError, match=said):
        rows.read_rows(path)


# -- build -------------------------------------------------------------------------------------------------------------


def test_components_by_hand() -> None:
    """Four corners of a square; twice as many columns in one direction, and an equivalent text column.

    Standardised, a and its copy are one component and b is another; none is left for a third.
    """
    a, b = np.tile([1.0, 1.0, -1.0, -1.0], 25), np.tile([1.0, -1.0, 1.0, -1.0], 25)
    frame = frames.plain(pd.DataFrame({"a": a, "copy": 3 - 2 * a, "b": b}))
    found = build_rows.components(frame)
    assert found.shape == (100, 8) and (found[:, 2:] == 0).all()
    # Standard deviation 1, except for n - 1 in the denominator.
    unit = np.sqrt(99 / 100)
    np.testing.assert_allclose(np.abs(found[:, :2]), unit, atol=1e-9)
    assert abs(np.mean(found[:, 0] * a)) == pytest.approx(unit) and abs(np.mean(found[:, 1] * b)) == pytest.approx(unit)


def test_components_are_truncated() -> None:
    frame = frames.plain(pd.DataFrame({"a": [100.0, *[0.0] * 99], "b": np.tile([1.0, -1.0], 50)}))
    assert np.abs(build_rows.components(frame)).max() == rows.MAX_COMPONENT


def test_pairs_are_separable_and_have_most_rows() -> None:
    """Classes 0, 1 and 2 are separated by a component, 2 and 3 are indistinguishable, 4 is too small."""
    counts = [150, 30, 60, 40, 19]
    labels = np.repeat(np.arange(5), counts)
    place = np.array([0.0, 3.0, -3.0, -3.0, 9.0])[labels]
    features = np.stack([place, np.random.default_rng(0).normal(size=len(labels))], axis=1)
    pairs = build_rows.learnable(features, labels)
    assert [(pair.classes, pair.n_rows) for pair in pairs] == [
        ((0, 2), 60), ((0, 3), 40), ((0, 1), 30), ((1, 2), 30), ((1, 3), 30)
    ]  # fmt: skip
    assert all(pair.accuracy == 1 for pair in pairs)
    assert len(build_rows.learnable(np.eye(5)[np.repeat(np.arange(5), 20)], np.repeat(np.arange(5), 20))) == 6


def test_sampled_rows_are_few_and_reproducible() -> None:
    found = build_rows.drawn(np.arange(500, 1000))
    assert len(set(found.tolist())) == 100 and (np.diff(found) > 0).all() and found.min() >= 500
    assert found.tolist() == build_rows.drawn(np.arange(500, 1000)).tolist() and len(build_rows.drawn(found)) == 100
