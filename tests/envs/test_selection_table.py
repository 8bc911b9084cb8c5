"""The table of measured scores: what ships, and what measures a dataset (`envs/automl`)."""

import json
import math
import pickle
import shutil
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning

from benchmarks.automl_table import build, datasets, portfolios
from benchmarks.automl_table.catalogue import Entry, catalogue
from envs.automl import algorithms, frames, meta_features, scoring, table
from qrl.common.errors import UsageError


@pytest.fixture(scope="module")
def shipped():
    return table.read_table()


def mixed(n_rows=120, seed=0):
    """Two classes and columns of every kind that a user's file may have."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n_rows) % 2
    size = rng.normal(size=n_rows) + 2 * classes
    size[::7] = np.nan
    colour = rng.choice(["red", "green", "blue"], n_rows).astype(object)
    colour[::11] = None
    frame = pd.DataFrame(
        {
            "size": size,
            "colour": colour,
            "shape": pd.Categorical(np.where(classes == 1, "round", rng.choice(["round", "square"], n_rows))),
            "flag": rng.random(n_rows) < 0.5,
            "maybe": pd.array(rng.choice([True, False, None], n_rows), dtype="boolean"),
            "count": pd.array(rng.integers(0, 9, n_rows), dtype="Int64"),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n_rows), "D"),
            "constant": 3,
            "nothing": None,
            "infinite": np.where(np.arange(n_rows) == 5, np.inf, rng.normal(size=n_rows)),
        }
    )
    return frame, classes


def entry(**changed):
    given = {"name": "a", "source": "R", "item": "p/a", "target": "y", "group": "a", "unused": ()}
    return Entry(**{**given, **changed})


# What ships.


def test_there_is_something_to_learn_from(shipped):
    assert len(shipped.datasets) >= 100
    assert len(shipped.algorithms.choices) >= 12
    assert shipped.algorithms.choices == algorithms.ALGORITHMS
    assert shipped.features == meta_features.META_FEATURES
    assert shipped.algorithms.rows.tolist() == list(range(len(shipped.datasets)))
    for name, scores in shipped.portfolios.items():
        assert len(scores.choices) == len(algorithms.PORTFOLIOS[name]) <= 32


def test_the_files_are_small():
    assert table.FILE.stat().st_size + table.FILE.with_suffix(".safetensors").stat().st_size < 1_000_000


def test_groups_are_in_one_split_each_and_the_shares_are_about_as_meant(shipped):
    members = {name: {shipped.groups[row] for row in shipped.split(name)} for name in table.SPLITS}
    assert not members["train"] & members["test"]
    assert not members["train"] & members["validation"]
    assert not members["validation"] & members["test"]
    n_groups = len(set(shipped.groups))
    assert sum(map(len, members.values())) == n_groups
    for name, share in {"train": 0.6, "validation": 0.1, "test": 0.3}.items():
        assert len(members[name]) / n_groups == pytest.approx(share, abs=0.04)


def test_numbers_are_possible(shipped):
    assert np.isfinite(shipped.meta).all()
    for scores in (shipped.algorithms, *shipped.portfolios.values()):
        assert np.isfinite(scores.accuracy).all() and scores.accuracy.min() >= 0 and scores.accuracy.max() <= 1
        assert np.isfinite(scores.balanced).all() and scores.balanced.min() >= 0 and scores.balanced.max() <= 1
        assert (scores.seconds >= 0).all()
    share = shipped.meta[:, shipped.features.index("majority_share")]
    # Folds keep the shares of the classes, to a row or two in the smallest of 80 rows.
    assert shipped.algorithms.majority.mean(1) == pytest.approx(share, abs=0.02)


def test_every_dataset_can_be_learned_and_none_is_trivial(shipped):
    mean = shipped.algorithms.accuracy.mean(-1)
    assert mean.max(1).max() < build.TRIVIAL
    assert shipped.improvement().max(1).min() > 0


def test_one_algorithm_is_not_the_best_everywhere(shipped):
    best = shipped.improvement().argmax(1)
    assert len(np.unique(best)) >= 8
    assert np.bincount(best).max() < 0.5 * len(best)


def test_every_dataset_says_where_it_is_from(shipped):
    for name, about in zip(shipped.datasets, shipped.about, strict=True):
        assert about["source"] and about["item"] and about["licence"], name
    listed = {each.name for each in catalogue()}
    assert set(shipped.datasets) | set(shipped.dropped) == listed
    assert not set(shipped.datasets) & set(shipped.dropped)


@pytest.mark.parametrize("load", [load_iris, load_wine])
def test_scores_can_be_measured_again(shipped, load):
    # Rows are few: a version of a package that decides one of them otherwise moves a fold of 30 rows by 1/30.
    data = load(as_frame=True)
    frame, (classes, _) = frames.plain(data.data), frames.encode(data.target)
    row = shipped.datasets.index(load.__name__.removeprefix("load_"))
    for name in ("lda", "knn"):
        scored = scoring.score(lambda name=name: algorithms.pipeline(name, frame), frame, classes)
        column = algorithms.ALGORITHMS.index(name)
        assert scored.accuracy == pytest.approx(shipped.algorithms.accuracy[row, column], abs=2 / 30)
        assert scored.accuracy.mean() == pytest.approx(shipped.algorithms.accuracy[row, column].mean(), abs=0.0101)
    assert meta_features.meta_features(frame, classes) == pytest.approx(shipped.meta[row], abs=0.03)


# What is refused.


@pytest.fixture
def copy(tmp_path):
    for suffix in (".json", ".safetensors"):
        shutil.copy(table.FILE.with_suffix(suffix), tmp_path / f"table{suffix}")
    return tmp_path / "table.json"


def test_a_copy_can_be_read(copy, shipped):
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
        (lambda path: path.write_text(path.read_text()[:2000]), "cut short"),
        (lambda path: path.write_text("[]"), "not a selection table"),
        (edited(lambda text: text["features"].pop()), r"meta has shape \(\d+, 22\), not \(\d+, 21\)"),
        (edited(lambda text: text["choices"]["algorithms"].pop()), "algorithms.accuracy has shape"),
        (edited(lambda text: text.pop("dropped")), "incomplete: 'dropped'"),
        (edited(in_two_splits), "group 'penguins' is in more than one split"),
    ],
)
def test_a_damaged_table_is_refused(copy, damage, message):
    damage(copy)
    with pytest.raises(UsageError, match=message):
        table.read_table(copy)


def test_unknown_names_are_refused(shipped):
    frame, _ = mixed()
    plain = frames.plain(frame)
    with pytest.raises(UsageError, match="no algorithm 'random_forrest'; did you mean 'random_forest'"):
        algorithms.pipeline("random_forrest", plain)
    with pytest.raises(UsageError, match="configurations 0 to 31, not 32"):
        portfolios.configured("svm", 32, plain)
    with pytest.raises(UsageError, match="no portfolio 'svn'; did you mean 'svm'"):
        portfolios.configured("svn", 0, plain)
    with pytest.raises(UsageError, match="no portfolio 'svn'"):
        shipped.improvement("svn")


# Any frame.


def test_a_frame_becomes_numbers_and_text():
    frame = pd.DataFrame(
        {
            "number": [1, 2, 3],
            "flag": [True, False, True],
            "maybe": [True, None, 2.5],
            "word": ["a", None, "c"],
            "grade": pd.Categorical([3, 1, None]),
            "day": pd.to_datetime(["1970-01-02", None, "1970-01-01"]),
            "nothing": [None, None, None],
            "limit": [np.inf, 0.0, -np.inf],
        }
    )
    frame.insert(1, "number", [7, 8, 9], allow_duplicates=True)
    plain = frames.plain(frame)
    assert list(plain.columns) == ["number", "number.1", "flag", "maybe", "word", "grade", "day", "nothing", "limit"]
    assert frames.numeric(plain) == [name for name in plain.columns if name != "word"]
    nan = math.nan
    expected = [[1, 2, 3], [7, 8, 9], [1, 0, 1], [1, nan, 2.5], [3, 1, nan], [86400, nan, 0], [nan] * 3, [nan, 0, nan]]
    numbers = plain[frames.numeric(plain)].to_numpy().T
    assert numbers == pytest.approx(np.array(expected), nan_ok=True)
    assert plain["word"].tolist() == ["a", None, "c"]


def test_classes_are_numbered_by_their_names():
    classes, names = frames.encode(pd.Series(["b", "a", "b", "c"], index=[9, 8, 7, 6]))
    assert names == ["a", "b", "c"] and classes.tolist() == [1, 0, 1, 2]
    assert frames.encode([True, False])[1] == ["False", "True"]
    with pytest.raises(UsageError, match="the target has one class only, '1'"):
        frames.encode([1, 1])
    with pytest.raises(UsageError, match="the target is missing in row 1"):
        frames.encode(["a", None])
    with pytest.raises(UsageError, match="a table of 0 rows and 1 columns"):
        frames.plain(pd.DataFrame({"a": []}))


@pytest.mark.filterwarnings("ignore")  # What scikit-learn has to say of columns of nothing and of unseen words.
@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_a_pipeline_takes_whatever_a_file_may_have(name):
    frame, classes = mixed()
    plain = frames.plain(frame)
    fitted = algorithms.pipeline(name, plain).fit(plain, classes)
    unseen = plain.iloc[:3].copy()
    unseen["colour"] = ["violet", None, "red"]
    unseen["nothing"] = [1.0, 2.0, np.nan]
    assert set(fitted.predict(unseen)) <= {0, 1}
    # Scored on the rows it was fitted to, and well above a half: the size of a row and its shape tell the classes.
    assert fitted.score(plain, classes) > 0.75
    assert repr(clone(fitted)) == repr(algorithms.pipeline(name, plain))


def test_one_hot_columns_are_few():
    rng = np.random.default_rng(0)
    often = rng.choice([f"w{number}" for number in range(60)], 2000)
    frame = frames.plain(pd.DataFrame({"often": often, "unique": [f"u{number}" for number in range(2000)]}))
    encoded = algorithms.preprocessing(frame, scale=True).fit_transform(frame)
    assert encoded.shape == (2000, algorithms.MAX_CATEGORIES + 1)
    assert (encoded.sum(1) == 2).all()


def test_portfolios_are_what_they_say():
    assert [len(algorithms.SVM), len(algorithms.GRADIENT_BOOSTING)] == [32, 32]
    for portfolio in algorithms.PORTFOLIOS.values():
        assert len({repr(options) for options in portfolio}) == 32
    frame, classes = mixed()
    plain = frames.plain(frame)
    made = portfolios.configured("svm", 31, plain)[-1]
    assert (made.kernel, made.degree, made.C, made.coef0) == ("poly", 3, 10.0, 1.0)
    assert portfolios.configured("gradient_boosting", 0, plain)[-1].learning_rate == 0.1
    assert portfolios.configured("gradient_boosting", 0, plain).fit(plain, classes).score(plain, classes) > 0.9


# Scores.


def test_the_majority_scores_what_it_should():
    classes = np.array([0] * 30 + [1] * 20)
    assert scoring.majority(classes).tolist() == [0.6] * 5


def test_a_score_is_that_of_held_out_rows():
    """A tree that remembers its rows is right on none of the others where every row is a word of its own."""
    classes = np.arange(50) % 2
    noise = frames.plain(pd.DataFrame({"x": np.random.default_rng(1).normal(size=50)}))
    scored = scoring.score(lambda: algorithms.pipeline("decision_tree", noise), noise, classes)
    assert 0.2 < scored.accuracy.mean() < 0.8
    exact = frames.plain(pd.DataFrame({"x": classes + 0.0}))
    scored = scoring.score(lambda: algorithms.pipeline("decision_tree", exact), exact, classes)
    assert scored.accuracy.tolist() == [1.0] * 5 and scored.balanced.tolist() == [1.0] * 5 and scored.failure == ""


def test_balanced_accuracy_is_the_mean_over_classes():
    """Predicting the majority: all of its rows are right and none of the other class."""
    classes = np.array([0] * 40 + [1] * 10)
    frame = frames.plain(pd.DataFrame({"x": np.zeros(50), "y": np.zeros(50)}))
    scored = scoring.score(lambda: algorithms.pipeline("decision_tree", frame), frame, classes)
    assert scored.accuracy.tolist() == [0.8] * 5 and scored.balanced.tolist() == [0.5] * 5


def test_a_failure_counts_as_the_majority_and_says_why():
    classes = np.array([0] * 30 + [1] * 20)
    frame = frames.plain(pd.DataFrame({"x": np.arange(50.0), "y": np.arange(50.0)}))

    def broken():
        return algorithms.pipeline("knn", frame).set_params(classifier__n_neighbors=-1)

    good, bad = scoring.score_all([lambda: algorithms.pipeline("knn", frame), broken], frame, classes)
    assert bad.accuracy.tolist() == [0.6] * 5 and bad.balanced.tolist() == [0.5] * 5
    assert "n_neighbors" in bad.failure and good.failure == "" and good.accuracy.mean() > 0.9


def test_shared_preprocessing_changes_no_score():
    frame, classes = mixed()
    plain = frames.plain(frame)
    names = ("decision_tree", "lda", "rbf_svm", "gradient_boosting")
    makers = [lambda name=name: algorithms.pipeline(name, plain) for name in names]
    together = scoring.score_all(makers, plain, classes)
    train, held = scoring.folds(classes)[0]
    for make, scored in zip(makers, together, strict=True):
        alone = make().fit(plain.iloc[train], classes[train]).score(plain.iloc[held], classes[held])
        assert scored.accuracy[0] == alone


# Meta-features, by hand.


def named(frame, classes):
    values = meta_features.meta_features(frames.plain(frame), np.asarray(classes).astype(np.int64))
    return dict(zip(meta_features.META_FEATURES, values.tolist(), strict=True))


def test_meta_features_by_hand():
    # Columns u = (1, 1, -1, -1) and v = (1, -1, 1, -1), ten times over: uncorrelated, already standard; u is the class.
    u, v = np.tile([1.0, 1.0, -1.0, -1.0], 10), np.tile([1.0, -1.0, 1.0, -1.0], 10)
    found = named(pd.DataFrame({"u": u, "v": v, "w": ["a", "b"] * 20, "z": [np.nan, 1.0] * 20}), u > 0)
    assert found["log_rows"] == pytest.approx(math.log10(40))
    assert found["log_columns"] == pytest.approx(math.log10(4))
    # w is two columns of its own.
    assert found["log_encoded"] == pytest.approx(math.log10(5))
    assert found["log_rows_per_column"] == pytest.approx(math.log10(8))
    assert found["text_share"] == 0.25
    assert found["missing_share"] == pytest.approx(20 / 160)
    assert (found["log_classes"], found["majority_share"], found["minority_share"]) == (1, 0.5, 0.5)
    assert found["class_entropy"] == pytest.approx(1)
    # Five columns, z is filled with its median and does not vary. Of the 6 pairs of the others, v with either column
    # of w and these with each other are correlated ±1: v = 2 [w is a] − 1.
    assert found["mean_correlation"] == pytest.approx(3 / 6)
    # Moments of ±1: third 0, fourth 1; z has none.
    assert found["log_skewness"] == pytest.approx(0)
    assert found["log_kurtosis"] == pytest.approx(2 / 3 * math.log10(2))
    # Variances: u 1, v 1, w 1/4 twice, z 0; v and w lie on one line, so 1.5 of 2.5 is in one component.
    assert found["pca_first"] == pytest.approx(1.5 / 2.5)
    assert found["pca_half"] == pytest.approx(1 / 5)
    assert found["best_column"] == pytest.approx(1)
    assert found["mean_column"] == pytest.approx(1 / 5)
    # One split on u is all it takes.
    gains = {name: value for name, value in found.items() if name.startswith("gain_")}
    assert gains == pytest.approx(dict.fromkeys(gains, 0.5))


def test_entropy_and_correlation_ratio_by_hand():
    # Classes 2:1:1 have 1.5 bits of at most log2 3. x is 0, 0, 3, 3 by class: all its variance is between their means.
    classes = np.tile([0, 0, 1, 2], 10)
    x = np.tile([0.0, 0.0, 3.0, 3.0], 10)
    found = named(pd.DataFrame({"x": x, "noise": np.tile([1.0, -1.0, 0.0, 0.0], 10), "c": 4.0}), classes)
    assert found["class_entropy"] == pytest.approx(1.5 / math.log2(3))
    assert found["log_classes"] == pytest.approx(math.log2(3))
    assert (found["majority_share"], found["minority_share"]) == (0.5, 0.25)
    # The noise has mean 0 in every class: its ratio is 0, as that of the constant.
    assert found["mean_column"] == pytest.approx(1 / 3)
    # The stump tells class 0 from the rest: 3/4 right, but for a row that folds of 13 and 14 rows cut differently.
    assert found["gain_stump"] == pytest.approx(0.25, abs=0.03)


def test_meta_features_do_not_depend_on_what_they_should_not():
    frame, classes = mixed()
    plain = frames.plain(frame)
    found = meta_features.meta_features(plain, classes)
    assert np.isfinite(found).all()
    assert meta_features.meta_features(plain, classes).tolist() == found.tolist()
    other = plain.assign(size=plain["size"] * 1000 + 5).rename(columns={"size": "length"})
    assert meta_features.meta_features(other, classes) == pytest.approx(found, abs=1e-6)


def test_meta_features_of_columns_of_nothing_are_finite():
    frame = frames.plain(pd.DataFrame({"a": [None] * 40, "b": [1.0] * 40}))
    assert np.isfinite(meta_features.meta_features(frame, np.arange(40) % 2)).all()


def test_meta_features_are_quick():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(5000, 20)), columns=[f"c{number}" for number in range(20)])
    plain, classes = frames.plain(frame), rng.integers(0, 3, 5000)
    started = time.perf_counter()
    meta_features.meta_features(plain, classes)
    assert time.perf_counter() - started < 5  # 0.3 s where nothing else runs


# How the table was made.


def test_columns_that_give_the_target_away_are_dropped():
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


def test_rare_classes_and_missing_targets_go():
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


def test_large_tables_are_sampled_with_the_shares_of_their_classes():
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], [7000, 2990, 10])
    frame = frames.plain(pd.DataFrame({"u": rng.normal(size=10_000), "v": rng.normal(size=10_000)}))
    small = datasets.capped(datasets.Dataset(entry(), frame, classes, {}))
    # Of the third class 2 rows would be left: too few.
    assert np.bincount(small.classes).tolist() == [1400, 598]
    assert len(small.frame) == 1998 and list(small.frame.index) == list(range(1998))


def test_a_shuffled_part_under_another_name_is_of_the_same_origin():
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


def test_ages_and_counts_alone_are_no_common_origin():
    rng = np.random.default_rng(0)
    large = frames.plain(pd.DataFrame({"age": rng.integers(0, 40, 20_000), "hours": rng.integers(0, 40, 20_000)}))
    small = frames.plain(pd.DataFrame({"age": rng.integers(0, 40, 200), "hours": rng.integers(0, 40, 200)}))
    assert not datasets.same_origin(datasets.fingerprint(large), datasets.fingerprint(small))


def test_a_column_and_its_copy_are_no_common_origin():
    rng = np.random.default_rng(0)
    large = frames.plain(pd.DataFrame(rng.integers(0, 100, (5000, 5)), columns=list("abcde")))
    count = rng.integers(0, 100, 300)
    small = frames.plain(pd.DataFrame({"count": count, "again": count}))
    assert not datasets.same_origin(datasets.fingerprint(large), datasets.fingerprint(small))


def test_groups_are_joined():
    found = datasets.groups(["a", "b", "c", "d"], ["a", "b", "b", "d"], [("d", "c")])
    assert found == {"a": "a", "b": "b", "c": "b", "d": "b"}


def test_pickles_that_are_no_plain_tables_are_refused():
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    import io

    with pytest.raises(UsageError, match=r"asks for builtins.print"):
        datasets.FrameUnpickler(io.BytesIO(pickle.dumps(Evil()))).load()


def test_trivial_and_hopeless_datasets_are_told():
    classes = np.array([0] * 60 + [1] * 40)

    def scored(accuracy):
        return [scoring.Scored(np.full(5, accuracy), np.full(5, accuracy), 0.0)]

    # The majority's 0.6 has a standard error of sqrt(0.24 / 100) = 0.049.
    assert build.unlearnable(scored(0.9), classes) == ""
    assert build.unlearnable(scored(1.0), classes).startswith("trivial")
    assert build.unlearnable(scored(0.71), classes).startswith("nothing to learn")
    assert build.unlearnable(scored(0.73), classes) == ""
    features = {**dict.fromkeys(meta_features.META_FEATURES, 0.0), "majority_share": 0.6, "gain_1nn": 0.09}
    assert build.hopeless(np.array(list(features.values())), 100).startswith("no landmarker")
    features["gain_1nn"] = 0.1
    assert build.hopeless(np.array(list(features.values())), 100) == ""


def test_the_split_is_by_group_and_the_same_again():
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


def test_the_catalogue_names_each_dataset_once():
    entries = catalogue()
    assert len({each.name for each in entries}) == len(entries)
    assert {each.source for each in entries} == set(datasets.SOURCES)


def test_warnings_of_algorithms_are_part_of_them():
    """`score` lets none through, or a user's terminal would be full of them."""
    frame, classes = mixed()
    plain = frames.plain(frame)
    with pytest.warns(ConvergenceWarning):
        algorithms.pipeline("mlp", plain).fit(plain, classes)
    scoring.score(lambda: algorithms.pipeline("mlp", plain), plain, classes)
