"""Tasks: indexing, rows, keys and JSON."""

import copy
import math
import pickle

import pytest
import torch

from envs import Tasks
from qrl.common.errors import UsageError
from tests.support.double_precision import f64

pytestmark = pytest.mark.filterwarnings("error")


def test_tasks_index_repeat_and_hash() -> None:
    tasks = Tasks({"a": f64(1, 2, 3), "b": f64(-0.0, 5, 6)})
    assert len(tasks) == 3 and tasks.names == ("a", "b")
    assert tasks.a is tasks["a"]
    assert tasks.rows() == [{"a": 1.0, "b": 0.0}, {"a": 2.0, "b": 5.0}, {"a": 3.0, "b": 6.0}]
    assert tasks[-1].rows() == tasks[2].rows() == [{"a": 3.0, "b": 6.0}]
    assert tasks[1:].rows() == tasks[torch.tensor([False, True, True])].rows() == tasks[torch.tensor([1, 2])].rows()
    assert tasks.repeat_interleave(2).a.tolist() == [1, 1, 2, 2, 3, 3]
    # SHA-256 of '{"a":1.0,"b":0.0}', from sha256sum; it must not change, as saved runs refer to it
    assert tasks.key(0) == "d4bbbac5a1a3152e40c88f1b22b2b216344d4d0a69388013046a8f2a4af50a60"
    assert Tasks.from_rows([{"b": 0.0, "a": 1.0}]).key(0) == tasks.key(0) != tasks.key(1)
    assert Tasks.from_json(tasks.to_json()).rows() == tasks.rows()
    for other in (copy.deepcopy(tasks), pickle.loads(pickle.dumps(tasks)), tasks.to("cpu")):
        assert other.rows() == tasks.rows()
    with pytest.raises(IndexError):
        tasks[3]
    with pytest.raises(AttributeError, match="no parameter or attribute 'c'"):
        _ = tasks.c


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Tasks({}), "at least one parameter"),
        (lambda: Tasks({"a": torch.zeros(2)}), "float64"),
        (lambda: Tasks({"a": f64(1)[0]}), "shape"),
        (lambda: Tasks({"a": f64(1), "b": f64(1, 2)}), "length"),
        (lambda: Tasks.from_rows([]), "at least one row"),
        (lambda: Tasks.from_rows([{"a": 1.0}, {"b": 1.0}]), "row 1"),
        (lambda: Tasks.from_rows([{"a": math.nan}]), "task 0: a must be finite"),
        (lambda: Tasks.from_rows([{"a": "x"}]), "must be a number"),
        (lambda: Tasks.from_json("{"), "not JSON"),
        (lambda: Tasks.from_json('{"a": 1}'), "list"),
        (lambda: Tasks.from_json('[{"a": NaN}]'), "finite"),
        (lambda: Tasks({"alpha": f64(1)})["alpa"], "did you mean 'alpha'"),
    ],
)
def test_invalid_tasks_are_rejected(build, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()
