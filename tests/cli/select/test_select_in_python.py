"""`agents.select`: a fitted pipeline of scikit-learn for frames with the raw columns."""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import agents
from envs.automl.reading import read_dataset
from qrl import UsageError
from tests.support.select_command import rows, run_select


def typed(n_rows: int = 120) -> pd.DataFrame:
    """Columns of every type, and text that people write; none of the values of the typed ones looks like its type."""
    frame = rows(n_rows).drop(columns=["nothing", "fixed", "id"])
    rng = np.random.default_rng(1)
    frame["flag"] = pd.array(rng.random(n_rows) < 0.5, dtype="boolean")
    frame["code"] = pd.Categorical(rng.integers(1, 4, n_rows))
    frame["words"] = pd.Categorical(np.where(frame["flag"], "1,5", "2,5"))
    frame["when"] = pd.date_range("2020-01-01", periods=n_rows, freq="37h", tz="UTC")
    frame["took"] = pd.to_timedelta(rng.integers(1, 9, n_rows), unit="min")
    frame["thousands"] = np.round(rng.random(n_rows) * 900) / 1000
    frame.loc[1, "thousands"] = np.nan
    frame["object"] = frame["thousands"].astype(object)
    frame["some flags"] = frame["flag"].astype(object).mask(np.arange(n_rows) % 9 == 0, None)
    frame["money"] = [f"{1000 * value:,.2f} €" for value in rng.random(n_rows) + 1]
    return frame.set_axis([*frame.columns[:-1], " money "], axis=1).set_index(frame.index + 7)


def test_typed_columns_are_not_read_as_text():
    frame = typed()
    own = read_dataset(frame, "y", rows=1000)
    made = own.frame
    pd.testing.assert_series_equal(made["flag"], frame["flag"].astype(float).reset_index(drop=True))
    flags = frame["some flags"].astype("boolean").astype("Float64").astype(float)
    np.testing.assert_array_equal(made["some flags"], flags)
    assert list(made["code"]) == list(map(str, frame["code"])) and list(made["words"]) == list(frame["words"])
    assert list(made["when: hour"]) == list(frame["when"].dt.hour) and "when: minute" not in made
    assert list(made["took"]) == list(frame["took"].dt.total_seconds())
    for name in ("thousands", "object"):
        np.testing.assert_array_equal(made[name], frame["thousands"])
    assert list(made["money"]) == [float(cell.removesuffix(" €").replace(",", "")) for cell in frame[" money "]]
    assert own.dropped == {"name": "text that hardly ever repeats, such as 'n0'"} and own.path is None


@pytest.mark.usefixtures("quick")
def test_fitted_pipeline():
    frame = typed()
    model = agents.select(frame, target="y", evaluations=2, compare=False, progress=False)
    assert (model.predict(frame) == frame["y"]).mean() > 0.8 and set(model.classes_) == set(frame["y"])
    shuffled = frame[frame.columns[::-1]].drop(columns=["y", "name"]).assign(more=1)
    np.testing.assert_array_equal(model.predict_proba(shuffled), model.predict_proba(frame))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(frame), model.predict(frame))
    again = clone(model).fit(frame, frame["y"])
    np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))
    assert again.get_params()["columns__columns"] == model.get_params()["columns__columns"]
    scores = cross_val_score(model, frame.drop(columns="y"), frame["y"], cv=5)
    found = model.selection_
    assert scores.shape == (5,) and scores.mean() == pytest.approx(found.best.mean, abs=0.1)
    table = found.to_frame()
    assert list(table["algorithm"]) == [each.name for each in found.ranking]
    assert table["accuracy"][0] == found.best.mean >= table["accuracy"][1]
    assert found.confusion.sum() == 120 and found.confusion.trace() / 120 == pytest.approx(found.best.mean)
    assert list(found.confusion.sum(1)) == [(frame["y"] == name).sum() for name in found.classes]
    assert found.expected.n_candidates == 2 and found.excluded == {
        "name": "text that hardly ever repeats, such as 'n0'"
    }
    for broken, message in (
        (frame.drop(columns="size").rename(columns={"colour": "color"}), "missing columns 'size', 'colour'"),
        (frame.to_numpy(), "expected a DataFrame"),
        (frame[:0], "the frame has no rows"),
        (pd.concat([frame, frame["size"]], axis=1), "two columns are named 'size'"),
    ):
        with pytest.raises(UsageError, match=message):
            model.predict(broken)


@pytest.mark.usefixtures("quick")
def test_the_same_selection_as_on_the_command_line(file):
    assert run_select(file, "--target", "y", "--evaluations", "2", "--no-compare", "--rows", "100", "--out", "o") == 0
    best = json.loads(Path("o/best.json").read_text())
    options = {"target": "y", "evaluations": 2, "compare": False, "progress": False, "rows": 100}
    for data in (file, str(file), pd.read_csv(file)):
        found = agents.select(data, **options).selection_
        table = json.loads(json.dumps(found.to_json()))
        for part in ("ranking", "screening"):
            for each in [*table[part], *best[part]]:
                each["seconds"] = 0
        assert table["ranking"] == best["ranking"] and table["screening"] == best["screening"]
        assert table["confusion"] == best["confusion"] and table["meta_features"] == best["meta_features"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("make", "labels"),
    [
        (lambda y: (y == "small").astype(int), [0, 1]),
        (lambda y: y == "small", [False, True]),
        (lambda y: (y == "small").astype(object).mask(y == "large", None), [False, True]),
        (lambda y: (y == "small").astype("Int64"), [0, 1]),
        (lambda y: pd.Categorical(y), ["large", "middle", "small"]),
        (lambda y: pd.Categorical((y == "small").astype(int)), [0, 1]),
        (lambda y: pd.Categorical(y == "small"), [False, True]),
        (lambda y: y + " ", ["large ", "middle ", "small "]),
        (lambda y: y + np.where(np.arange(len(y)) % 2, " ", ""), ["large", "middle", "small"]),
        (lambda y: np.where(y == "small", 0.5, 1.5), ["0.5", "1.5"]),
        (lambda y: np.where(y == "small", 10.0, np.where(y == "large", np.nan, 2.0)), [2, 10]),
    ],
)
def test_labels_are_those_of_the_frame(make, labels):
    frame = rows()
    frame["y"] = make(frame["y"])
    model = agents.select(frame, target="y", evaluations=1, compare=False, progress=False)
    found = np.unique(model.predict(frame))
    assert found.tolist() == labels and [type(each) for each in found.tolist()] == [type(each) for each in labels]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "Y"}, "the frame: unknown column 'Y'; did you mean 'y'"),
        ({"metric": "acuracy"}, "metric: expected one of .*; did you mean 'accuracy'"),
        ({"evaluations": 0}, "^evaluations must be at least 1"),
        ({"evaluations": 15}, "^evaluations must be at most 14"),
        ({"time_budget": 0.0}, "^time_budget must be positive"),
        ({"ignore": "size"}, "^ignore: expected a list"),
        ({"ignore": ["y"]}, "ignore=y: the target is never an input"),
        ({"target": "noise"}, "only classification is supported; bins=4 predicts quartiles"),
        ({"selector": "nowhere"}, "nowhere: no such run folder"),
        ({"data": "nowhere.csv"}, "nowhere.csv: No such file"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(UsageError, match=message):
        agents.select(**{"data": rows(), "target": "y", "progress": False, **change})
