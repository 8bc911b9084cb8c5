"""The package `envs` and its task distributions: creation, registration, splits and errors."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import envs
from envs import Choice, Uniform, navigation
from envs.core.registry import ENVS
from qrl.common.errors import UsageError
from tests.support.environments import Counter

pytestmark = pytest.mark.filterwarnings("error")


def test_every_public_name_exists() -> None:
    for name in envs.__all__:
        assert getattr(envs, name) is not None and name in dir(envs)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = envs.nonsense


def test_make_accepts_options_and_rejects_unknown_ones() -> None:
    assert envs.make("navigation", horizon=7).horizon == 7
    with pytest.raises(UsageError, match="did you mean 'horizon'"):
        envs.make("navigation", horizn=7)
    with pytest.raises(UsageError, match="did you mean 'navigation'"):
        envs.make("navigaton")


def test_register_makes_a_family_known_by_name() -> None:
    envs.register("my_navigation", SimpleNamespace(Config=navigation.Config, build=navigation.build, __doc__="Mine."))
    try:
        assert envs.make("my_navigation", horizon=3).horizon == 3
    finally:
        ENVS.unregister("my_navigation")


def test_datasheet_lists_the_ranges() -> None:
    lines = envs.datasheet(envs.make("cartpole")).splitlines()
    assert lines[2] == "| force | 10 | ±U[5, 15] | ±U[15, 20] |"
    assert lines[5] == "| masscart | 1 | U[0.5, 1.5] | U[0.5, 1.5] |"


@pytest.mark.parametrize(
    ("parameters", "n_distinct"),
    [
        ({"rate": Choice((1, 2, 3))}, 3),
        ({"rate": Choice((1, 2, 3)), "table": Choice((0, 1), shape=(2, 2))}, 48),
        ({"rate": Uniform(1, 2)}, None),
        ({"rate": Choice((1, 2, 3)), "table": Uniform(0, 1, shape=(2, 2))}, None),
    ],
)
def test_finite_families_know_how_many_tasks_they_have(parameters, n_distinct) -> None:
    family = Counter(parameters=parameters, nominal=dict.fromkeys(parameters, 1))
    assert family.n_distinct() == n_distinct
    if n_distinct is not None:
        tasks = family.sample(2 * n_distinct + 1, "test")
        keys = [tasks.key(i) for i in range(len(tasks))]
        assert len(set(keys[:n_distinct])) == n_distinct, "each before one comes again"
        assert keys[n_distinct : 2 * n_distinct] == keys[:n_distinct] and keys[-1] == keys[0]
        assert [family.sample(3, "test").key(i) for i in range(3)] == keys[:3]


def keys(family, n: int, split: str) -> list[str]:
    tasks = family.sample(n, split)
    return [tasks.key(i) for i in range(len(tasks))]


def test_validation_tasks_of_a_finite_family_are_its_test_tasks_in_reverse_order() -> None:
    family = Counter(parameters={"rate": Choice((1, 2, 3, 4, 5))}, nominal={"rate": 1})
    assert keys(family, 5, "validation") == keys(family, 5, "test")[::-1]
    assert keys(family, 12, "validation") == (keys(family, 5, "validation") * 3)[:12]
    assert keys(family, 2, "validation") == keys(family, 5, "validation")[:2]


def test_validation_tasks_come_from_their_own_ranges() -> None:
    own = {"validation": {"rate": Choice((4, 5))}, "test": {"rate": Choice((6, 7, 8))}}
    family = Counter(parameters={"rate": Choice((1, 2, 3))}, nominal={"rate": 1}, **own)
    assert sorted(row["rate"] for row in family.sample(2, "validation").rows()) == [4, 5]
    assert sorted(row["rate"] for row in family.sample(3, "test").rows()) == [6, 7, 8]
    assert family.n_distinct("validation") == 2
    drawn = family.sample(100, "train", np.random.default_rng(0)).rows()
    assert {row["rate"] for row in drawn} == {1, 2, 3}


def test_validation_does_not_change_the_other_splits() -> None:
    rows = envs.make("navigation").sample(2, "validation").rows()
    assert rows != envs.make("navigation").sample(2, "test").rows()
    assert rows == envs.make("navigation").sample(3, "validation", np.random.default_rng(1)).rows()[:2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": {"rate": Uniform(1.5, 3)}}, "the validation range of rate, .*, overlaps the train range"),
        (
            {"validation": {"rate": Uniform(3, 5)}, "test": {"rate": Uniform(4, 6)}},
            "the validation range of rate overlaps its test range",
        ),
        ({"validation": {"rat": Uniform(3, 5)}}, "did you mean 'rate'"),
        ({"horizon": 0}, "horizon"),
        ({"nominal": {}}, "nominal"),
        ({"nominal": {"rate": math.nan}}, "finite"),
        ({"ood": {"rat": Uniform(2, 3)}}, "did you mean 'rate'"),
        ({"positive": ("mass",)}, "no task parameter 'mass'"),
        ({"observation_scale": [1.0, 1.0]}, "observation_scale"),
        ({"observation_scale": [0.0]}, "positive"),
        ({"parameters": {"key": Uniform(1, 2)}, "nominal": {"key": 1.0}}, "cannot be named 'key'"),
    ],
)
def test_contradictory_definitions_are_rejected(changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Counter(**changes)


def test_invalid_requests_for_tasks_are_rejected() -> None:
    rng = np.random.default_rng(0)
    for call, message in [
        (lambda: Counter().sample(1, "ood"), "no ood split"),
        (lambda: Counter().sample(1, "tset"), "did you mean 'test'"),
        (lambda: Counter().sample(1), "need rng"),
        (lambda: Counter().sample(0, "train", rng), "at least 1"),
        (lambda: Counter().nominal_tasks(0), "at least 1"),
        (lambda: Counter().vectorise(0, 1), "n_tasks"),
        (lambda: Counter().vectorise(1, -1), "envs_per_task"),
        (lambda: Counter().make({"rat": 1.0}), "did you mean 'rate'"),
        (lambda: Counter().make({"rate": math.inf}), "finite"),
        (lambda: Counter().make(Counter().nominal_tasks(2)), "expected 1 tasks, not 2"),
        (lambda: envs.make("cartpole").make({"length": 0.0}), "length must be positive"),
    ]:
        with pytest.raises(UsageError, match=message):
            call()


def test_test_split_is_pinned() -> None:
    """Published numbers refer to these tasks: a change here makes every earlier evaluation incomparable."""
    row = envs.make("cartpole_target").sample(1, "test").rows()[0]
    assert row == {"target": pytest.approx(1.0192932202831877, abs=1e-12)}
