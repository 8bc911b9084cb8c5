"""Meta-features of a dataset (`envs/automl`), by hand."""

import math
import time

import numpy as np
import pandas as pd
import pytest

from envs.automl import frames, meta_features
from tests.support.frames import mixed


def named(frame, classes):
    values = meta_features.meta_features(frames.plain(frame), np.asarray(classes).astype(np.int64))
    return dict(zip(meta_features.META_FEATURES, values.tolist(), strict=True))


def test_meta_features_by_hand():
    # Columns u = (1, 1, -1, -1) and v = (1, -1, 1, -1), ten times over: uncorrelated, already standard; u is the class.
    u, v = np.tile([1.0, 1.0, -1.0, -1.0], 10), np.tile([1.0, -1.0, 1.0, -1.0], 10)
    found = named(pd.DataFrame({"u": u, "v": v, "w": ["a", "b"] * 20, "z": [np.nan, 1.0] * 20}), u > 0)
    assert found["log_rows"] == pytest.approx(math.log10(40))
    assert found["log_columns"] == pytest.approx(math.log10(4))
    # w is one-hot encoded in two columns.
    assert found["log_encoded"] == pytest.approx(math.log10(5))
    assert found["log_rows_per_column"] == pytest.approx(math.log10(8))
    assert found["text_share"] == 0.25
    assert found["missing_share"] == pytest.approx(20 / 160)
    assert (found["log_classes"], found["majority_share"], found["minority_share"]) == (1, 0.5, 0.5)
    assert found["class_entropy"] == pytest.approx(1)
    # Five columns; z is imputed with its median and constant. Of the 6 pairs of the others, v with either column
    # of w, and these with each other, have correlation ±1: v = 2 [w is a] − 1.
    assert found["mean_correlation"] == pytest.approx(3 / 6)
    # Moments of ±1: third 0, fourth 1; z has none.
    assert found["log_skewness"] == pytest.approx(0)
    assert found["log_kurtosis"] == pytest.approx(2 / 3 * math.log10(2))
    # Variances: u 1, v 1, w 1/4 twice, z 0; v and w lie on one line, so 1.5 of 2.5 is in one component.
    assert found["pca_first"] == pytest.approx(1.5 / 2.5)
    assert found["pca_half"] == pytest.approx(1 / 5)
    assert found["best_column"] == pytest.approx(1)
    assert found["mean_column"] == pytest.approx(1 / 5)
    # One split on u suffices.
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
    # The noise has mean 0 in every class: its ratio is 0, as for the constant.
    assert found["mean_column"] == pytest.approx(1 / 3)
    # The stump separates class 0 from the rest: 3/4 correct, up to a row split differently by folds of 13 and 14 rows.
    assert found["gain_stump"] == pytest.approx(0.25, abs=0.03)


def test_meta_features_are_invariant():
    frame, classes = mixed()
    plain = frames.plain(frame)
    found = meta_features.meta_features(plain, classes)
    assert np.isfinite(found).all()
    assert meta_features.meta_features(plain, classes).tolist() == found.tolist()
    other = plain.assign(size=plain["size"] * 1000 + 5).rename(columns={"size": "length"})
    assert meta_features.meta_features(other, classes) == pytest.approx(found, abs=1e-6)


def test_meta_features_of_empty_columns_are_finite():
    frame = frames.plain(pd.DataFrame({"a": [None] * 40, "b": [1.0] * 40}))
    assert np.isfinite(meta_features.meta_features(frame, np.arange(40) % 2)).all()


def test_meta_features_are_fast():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(5000, 20)), columns=[f"c{number}" for number in range(20)])
    plain, classes = frames.plain(frame), rng.integers(0, 3, 5000)
    started = time.perf_counter()
    meta_features.meta_features(plain, classes)
    assert time.perf_counter() - started < 5  # 0.3 s on an idle machine
