"""Conversion of data frames to numbers and text, and the algorithms' pipelines (`envs/automl`)."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from benchmarks.automl_table import portfolios
from envs.automl import algorithms, frames
from qrl.common.errors import UsageError
from tests.support.frames import mixed


def test_frame_is_converted_to_numbers_and_text():
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


def test_classes_are_numbered_in_order_of_their_names():
    classes, names = frames.encode(pd.Series(["b", "a", "b", "c"], index=[9, 8, 7, 6]))
    assert names == ["a", "b", "c"] and classes.tolist() == [1, 0, 1, 2]
    assert frames.encode([True, False])[1] == ["False", "True"]
    with pytest.raises(UsageError, match="the target has only one class, '1'"):
        frames.encode([1, 1])
    with pytest.raises(UsageError, match="the target is missing in row 1"):
        frames.encode(["a", None])
    with pytest.raises(UsageError, match="a table of 0 rows and 1 columns"):
        frames.plain(pd.DataFrame({"a": []}))


@pytest.mark.filterwarnings("ignore")  # scikit-learn's warnings on empty columns and unseen categories.
@pytest.mark.parametrize("name", algorithms.ALGORITHMS)
def test_pipelines_handle_every_kind_of_column(name):
    frame, classes = mixed()
    plain = frames.plain(frame)
    fitted = algorithms.algorithm_pipeline(name, plain).fit(plain, classes)
    unseen = plain.iloc[:3].copy()
    unseen["colour"] = ["violet", None, "red"]
    unseen["nothing"] = [1.0, 2.0, np.nan]
    assert set(fitted.predict(unseen)) <= {0, 1}
    # Scored on its training rows, and well above a half: a row's size and shape determine the class.
    assert fitted.score(plain, classes) > 0.75
    assert repr(clone(fitted)) == repr(algorithms.algorithm_pipeline(name, plain))


def test_one_hot_columns_are_few():
    rng = np.random.default_rng(0)
    often = rng.choice([f"w{number}" for number in range(60)], 2000)
    frame = frames.plain(pd.DataFrame({"often": often, "unique": [f"u{number}" for number in range(2000)]}))
    encoded = algorithms.preprocessing(frame, scale=True).fit_transform(frame)
    assert encoded.shape == (2000, algorithms.MAX_CATEGORIES + 1)
    assert (encoded.sum(1) == 2).all()


def test_portfolios_match_their_description():
    assert [len(algorithms.SVM), len(algorithms.GRADIENT_BOOSTING)] == [32, 32]
    for portfolio in algorithms.PORTFOLIOS.values():
        assert len({repr(options) for options in portfolio}) == 32
    frame, classes = mixed()
    plain = frames.plain(frame)
    made = portfolios.configured("svm", 31, plain)[-1]
    assert (made.kernel, made.degree, made.C, made.coef0) == ("poly", 3, 10.0, 1.0)
    assert portfolios.configured("gradient_boosting", 0, plain)[-1].learning_rate == 0.1
    assert portfolios.configured("gradient_boosting", 0, plain).fit(plain, classes).score(plain, classes) > 0.9
