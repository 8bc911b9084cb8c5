"""`run.py select`: layout, rows, columns and classes of a CSV file, and notes on them."""

import numpy as np
import pandas as pd
import pytest

from envs.automl import apply
from envs.automl.cleaning import stratified_sample, uninformative_reason
from envs.automl.reading import read_dataset
from tests.support.select_command import write


@pytest.mark.usefixtures("in_empty_folder")
def test_number_like_columns_are_reported():
    lines = [f"{'broken' if i == 6 else i * 0.5},{i % 7},{'1.0' if i % 4 == 1 else i % 2}" for i in range(60)]
    notes = read_dataset(write("\n".join(["a,b,y", *lines])), "y", rows=1000).notes
    assert "column 'a': 'broken' counts as missing (1 cells, line 8)" in notes
    assert "classes '1' and '1.0' are the same number, but count as two classes" in notes


@pytest.mark.usefixtures("in_empty_folder")
@pytest.mark.parametrize(("separator", "end"), [(",", "\n"), (";", "\r\n"), ("\t", "\r")])
def test_layouts(separator, end):
    lines = [f"{i % 3},{i * 0.5},{'ab'[i % 2]}" for i in range(40)]
    text = "\n".join(["y,number,te xt", *lines]).replace(",", separator)
    own = read_dataset(write(text.replace("\n", end)), "y", rows=1000)
    assert own.reading.separator == separator and own.reading.encoding == "utf-8-sig"
    assert own.names == ("0", "1", "2") and own.classes.tolist() == [i % 3 for i in range(40)]
    np.testing.assert_array_equal(own.frame["number"], np.arange(40) * 0.5)
    assert own.frame["te xt"].tolist() == ["a", "b"] * 20


@pytest.mark.usefixtures("in_empty_folder")
def test_byte_order_mark_and_cp1252():
    body = "".join(f"{i % 2},{i % 7},{'é' if i % 3 else 'à'}\n" for i in range(40))
    for data, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"", "cp1252")):
        own = read_dataset(write(data + f"y,a,b\n{body}".encode(encoding.removesuffix("-sig"))), "y", rows=100)
        assert own.reading.encoding == encoding and [own.target, *own.frame] == ["y", "a", "b"]
        assert set(own.frame["b"]) == {"é", "à"}


@pytest.mark.usefixtures("in_empty_folder")
def test_sampling_is_stratified_for_any_chunk_size(monkeypatch):
    """3 of 100 rows are of class b: 1 of 40 in the sample, the same by chunks or at once."""
    rng = np.random.default_rng(0)
    lines = [f"{'b' if i % 25 == 7 else 'a'},{rng.normal():.4f},{i % 5}" for i in range(1000)]
    path = write("y,u,v\n" + "\n".join(lines))
    whole = read_dataset(path, "y", rows=250)
    assert np.bincount(whole.classes[whole.sample]).tolist() == [240, 10] and whole.n_rows == len(whole.frame) == 1000
    assert "algorithms are screened on a stratified sample of 250 of 1000 rows (--rows)" in whole.notes
    monkeypatch.setattr(apply, "_CHUNK", 17)
    pieces = read_dataset(path, "y", rows=250)
    pd.testing.assert_frame_equal(pieces.frame, whole.frame)
    np.testing.assert_array_equal(pieces.sample, whole.sample)
    table = pd.read_csv(path)
    np.testing.assert_array_equal(whole.frame["u"], table["u"])
    np.testing.assert_array_equal(whole.sample, stratified_sample(table["y"].to_numpy(dtype=str), 250))
    assert len(read_dataset(path, "y", rows=999).sample) == 998, "of each class a row is left behind"


def test_row_counters_are_detected_in_a_sample():
    rng = np.random.default_rng(0)
    count = pd.Series(rng.permutation(1000)[:200] + 17.0)
    assert uninformative_reason(count, 1000) == "counts the rows" and uninformative_reason(count) == ""
    assert uninformative_reason(pd.Series(rng.integers(0, 1000, 200).astype(float)), 1000) == "", "some of them twice"
    assert uninformative_reason(count / 2, 1000) == ""


@pytest.mark.usefixtures("in_empty_folder")
def test_too_few_rows_or_classes():
    labels = ["a"] * 20 + ["b"] * 20 + ["c"] * 3 + ["d", "", "?"]
    own = read_dataset(
        write("y,u,v\n" + "".join(f"{each},{i % 7},{i % 4}\n" for i, each in enumerate(labels))), "y", rows=100
    )
    assert own.n_rows == 46 and len(own.frame) == 43 and own.names == ("a", "b", "c")
    assert own.notes == (
        "rows without a target (empty, NA, None, null or ?), left out: 2",
        "rows of classes with a single row, left out: 1",
        "class 'c' has 3 rows, fewer than the 5 folds: its recall is unreliable",
    )


@pytest.mark.usefixtures("in_empty_folder")
def test_columns_that_leak_the_class_are_reported():
    body = "".join(f"{i % 2},{i % 2 + 0.1},{i % 7}\n" for i in range(60))
    path = write(f"y,copy,other\n{body}")
    (note,) = read_dataset(path, "y", rows=100).notes
    assert "column 'copy' alone nearly determines the class" in note and "--ignore copy" in note
    own = read_dataset(path, "y", rows=100, ignore=["copy"])
    assert own.notes == () and list(own.frame) == ["other"] and own.dropped == {"copy": "ignored"}


@pytest.mark.usefixtures("in_empty_folder")
def test_bins_are_between_quantiles():
    """0 to 99 in four: edges at the quartiles, 24.75, 49.5 and 74.25."""
    own = read_dataset(write("y,u\n" + "".join(f"{i},{i % 9}\n" for i in range(100))), "y", rows=1000, bins=4)
    assert own.reading.edges == (24.75, 49.5, 74.25) and np.bincount(own.classes).tolist() == [25] * 4
    assert own.reading.labels[1] == "02 from 24.75 to below 49.5" and own.names == own.reading.labels
    # Half of the values are 0, also the median, so two edges equal the minimum and are dropped.
    own = read_dataset(
        write("y,u\n" + "".join(f"{max(0, i - 60)},{i % 9}\n" for i in range(100))), "y", rows=1000, bins=4
    )
    assert len(own.reading.edges) == 1 and np.bincount(own.classes).tolist() == [75, 25]
