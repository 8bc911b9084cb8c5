"""Building the table of measured scores (`benchmarks/automl_table`): cleaning, groups and splits."""

import pickle

import numpy as np
import pandas as pd
import pytest

from benchmarks.automl_table import build, datasets
from benchmarks.automl_table.catalogue import Entry, catalogue
from envs.automl import frames, meta_features, scoring
from qrl.common.errors import UsageError


def entry(**changed):
    given = {"name": "a", "source": "R", "item": "p/a", "target": "y", "group": "a", "unused": ()}
    return Entry(**{**given, **changed})


def test_columns_that_leak_the_target_are_dropped():
    rng = np.random.default_rng(0)
    n_rows = 300
    target = np.repeat(["a", "b", "c"], n_rows // 3)
    frame = pd.DataFrame(
        {
            "rownames": np.arange(1, n_rows + 1),
            "order": rng.permutation(n_rows),
            "copy": np.where(target == "a", "x", target),
            "number": np.searchsorted(["a", "b", "c"], target) * 10.0 + rng.random(n_rows),
            "sorted": np.arange(n_rows) * 1.7,
            "comment": [f"row {number}" for number in range(n_rows)],
            "constant": 1.0,
            "named": target,
            "good": rng.normal(size=n_rows) + (target == "a"),
            "kind": rng.choice(["u", "v"], n_rows),
            "y": target,
        }
    )
    frame["copy"] = np.where(target == "a", "x", np.where(target == "b", "y", "z"))
    cleaned = datasets.clean(entry(unused=("named",)), frame)
    assert list(cleaned.frame.columns) == ["good", "kind"]
    assert cleaned.dropped == {
        "order": "counts the rows",
        "copy": "says the target",
        "number": "says the target",
        "sorted": "says the target",
        "comment": "text that hardly ever repeats",
        "constant": "constant",
    }
    assert cleaned.n_classes == 3


def test_rare_classes_and_missing_targets_are_dropped():
    target = ["a"] * 60 + ["b"] * 40 + ["c"] * 9 + [None] * 5
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"y": target, "u": rng.normal(size=114), "v": rng.normal(size=114)})
    cleaned = datasets.clean(entry(), frame)
    assert np.bincount(cleaned.classes).tolist() == [60, 40]
    with pytest.raises(datasets.Unsuitable, match="1 columns left"):
        datasets.clean(entry(), frame.drop(columns="v"))
    with pytest.raises(UsageError, match="no column 'w' in p/a"):
        datasets.clean(entry(unused=("w",)), frame)
    with pytest.raises(datasets.Unsuitable, match="60 rows"):
        datasets.clean(entry(), frame.iloc[list(range(35)) + list(range(60, 85))])


def test_large_tables_are_subsampled_with_stratification():
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], [7000, 2990, 10])
    frame = frames.plain(pd.DataFrame({"u": rng.normal(size=10_000), "v": rng.normal(size=10_000)}))
    small = datasets.capped(datasets.Dataset(entry(), frame, classes, {}))
    # Only 2 rows of the third class would be left: too few.
    assert np.bincount(small.classes).tolist() == [1400, 598]
    assert len(small.frame) == 1998 and list(small.frame.index) == list(range(1998))


def test_shuffled_part_under_another_name_has_the_same_origin():
    rng = np.random.default_rng(0)
    whole = frames.plain(pd.DataFrame(rng.normal(size=(400, 4)).round(2), columns=list("abcd")))
    part = whole.sample(150, random_state=1)[["d", "a", "b"]].set_axis(["x", "y", "z"], axis=1).reset_index(drop=True)
    other = frames.plain(pd.DataFrame(rng.normal(size=(400, 4)).round(2), columns=list("abcd")))
    prints = {"whole": whole, "part": part, "other": other}
    prints = {name: datasets.fingerprint(frame) for name, frame in prints.items()}
    assert datasets.same_origin(prints["whole"], prints["part"]) and datasets.same_origin(
        prints["part"], prints["whole"]
    )
    assert not datasets.same_origin(prints["whole"], prints["other"])
    assert not datasets.same_origin(prints["part"], prints["other"])


def test_common_ages_and_counts_do_not_imply_the_same_origin():
    rng = np.random.default_rng(0)
    large = frames.plain(pd.DataFrame({"age": rng.integers(0, 40, 20_000), "hours": rng.integers(0, 40, 20_000)}))
    small = frames.plain(pd.DataFrame({"age": rng.integers(0, 40, 200), "hours": rng.integers(0, 40, 200)}))
    assert not datasets.same_origin(datasets.fingerprint(large), datasets.fingerprint(small))


def test_duplicate_columns_do_not_imply_the_same_origin():
    rng = np.random.default_rng(0)
    large = frames.plain(pd.DataFrame(rng.integers(0, 100, (5000, 5)), columns=list("abcde")))
    count = rng.integers(0, 100, 300)
    small = frames.plain(pd.DataFrame({"count": count, "again": count}))
    assert not datasets.same_origin(datasets.fingerprint(large), datasets.fingerprint(small))


def test_groups_are_merged():
    found = datasets.groups(["a", "b", "c", "d"], ["a", "b", "b", "d"], [("d", "c")])
    assert found == {"a": "a", "b": "b", "c": "b", "d": "b"}


def test_pickles_other_than_plain_tables_are_rejected():
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    import io

    with pytest.raises(UsageError, match=r"asks for builtins.print"):
        datasets.FrameUnpickler(io.BytesIO(pickle.dumps(Evil()))).load()


def test_trivial_and_unlearnable_datasets_are_detected():
    classes = np.array([0] * 60 + [1] * 40)

    def scored(accuracy):
        return [scoring.PipelineScores(np.full(5, accuracy), np.full(5, accuracy), 0.0)]

    # The majority's 0.6 has a standard error of sqrt(0.24 / 100) = 0.049.
    assert build.unlearnable(scored(0.9), classes) == ""
    assert build.unlearnable(scored(1.0), classes).startswith("trivial")
    assert build.unlearnable(scored(0.71), classes).startswith("nothing to learn")
    assert build.unlearnable(scored(0.73), classes) == ""
    features = {**dict.fromkeys(meta_features.META_FEATURES, 0.0), "majority_share": 0.6, "gain_1nn": 0.09}
    assert build.hopeless(np.array(list(features.values())), 100).startswith("no landmarker")
    features["gain_1nn"] = 0.1
    assert build.hopeless(np.array(list(features.values())), 100) == ""


def test_split_is_by_group_and_reproducible():
    rng = np.random.default_rng(0)
    made = {}
    for number in range(60):
        frame = frames.plain(pd.DataFrame({"u": rng.normal(size=100)}))
        made[f"d{number}"] = datasets.Dataset(entry(), frame, np.arange(100) % (2 + number % 2), {})
    groups = {name: f"g{int(name[1:]) // 2}" for name in made}
    split = build.divide(groups, made)
    for name, group in groups.items():
        assert split[name] == split[next(each for each in groups if groups[each] == group)]
    assert sorted(pd.Series(split).value_counts().to_dict().items()) == [("test", 18), ("train", 36), ("validation", 6)]
    assert build.divide(dict(reversed(groups.items())), dict(reversed(made.items()))) == split


def test_catalogue_names_each_dataset_once():
    entries = catalogue()
    assert len({each.name for each in entries}) == len(entries)
    assert {each.source for each in entries} == set(datasets.SOURCES)
