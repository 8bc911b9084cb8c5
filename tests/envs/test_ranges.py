"""Ranges: quantiles, parsing and sampling."""

import math

import numpy as np
import pytest

import envs
from envs import Choice, Drawn, Integer, LogUniform, Sign, SignedUniform, Uniform
from envs.core.notation import parse_range
from qrl.common.errors import UsageError

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(
    ("text", "range_"),
    [
        ("5:15", Uniform(5, 15)),
        ("-11:-6", Uniform(-11, -6)),
        ("1e-3:2.5", Uniform(0.001, 2.5)),
        ("log:0.1:10", LogUniform(0.1, 10)),
        ("±5:15", SignedUniform(5, 15)),
        ("+-5:15", SignedUniform(5, 15)),
        ("int:1:6", Integer(1, 6)),
        ("1,2.5,-3", Choice((-3, 1, 2.5))),
        ("sign", Choice((-1, 1))),
        ("True, False", Choice((0, 1))),
    ],
)
def test_text_is_parsed_to_a_range(text: str, range_: envs.Range) -> None:
    assert parse_range(text, "--vary x") == range_


@pytest.mark.parametrize("text", ["", "5", "a:b", "5:", ":5", "1:2:3", "lag:1:2", "1,b", "int:1.5:2", "log:-1:2", "2:1",
                                  "1:1", "nan:1", "1:inf", "±-1:2", "int:3:3", "1,1"])  # fmt: skip
def test_invalid_text_is_rejected(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--vary x: ") as caught:
        parse_range(text, "--vary x")
    assert "\n" not in str(caught.value)


def test_integers_are_all_equally_likely() -> None:
    values = Integer(-1, 3).ppf(np.linspace(0, 1, 1000, endpoint=False))
    assert np.unique(values, return_counts=True)[1].tolist() == [200] * 5 and set(values) == {-1, 0, 1, 2, 3}
    assert Integer(0, 2**52).ppf(np.array([np.nextafter(1, 0)])) <= 2**52
    assert Integer(1, 3).contains(np.array([1, 3, 2.5, 0, 4])).tolist() == [True, True, False, False, False]


def test_sign() -> None:
    assert Sign().ppf(np.array([0.0, 0.49, 0.5, 0.99])).tolist() == [-1, -1, 1, 1]


def test_function_of_a_generator_is_reproducible_per_task() -> None:
    gamma = Drawn(lambda rng: rng.gamma(2.0, 3.0))
    u = np.random.default_rng(0).random(20_000)
    values = gamma.ppf(u)
    assert values.mean() == pytest.approx(6, rel=0.02) and values.var() == pytest.approx(18, rel=0.05)
    np.testing.assert_array_equal(gamma.ppf(u[5:9]), values[5:9])
    array = Drawn(lambda rng: rng.normal(size=(2, 3)), shape=(2, 3))
    u = np.random.default_rng(0).random((4, 2, 3))
    assert array.ppf(u).shape == (4, 2, 3) and len(np.unique(array.ppf(u))) == 24
    with pytest.raises(UsageError, match="must be a number"):
        Drawn(lambda rng: "x").ppf(u[:, 0, 0])


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (Uniform(0, 1), Uniform(1, 2), False),
        (Uniform(0, 1.1), Uniform(1, 2), True),
        (Uniform(0, 3), Uniform(1, 2), True),
        (Uniform(1, 2), Uniform(0, 3), True),
        (SignedUniform(5, 15), SignedUniform(15, 20), False),
        (Choice((1, 2)), Choice((3, 4)), False),
        (Choice((1, 2)), Choice((2, 3)), True),
        (Choice((1, 2)), Uniform(0, 3), True),
        (Integer(1, 3), Integer(4, 5), False),
        (Drawn(lambda rng: 1.0), Uniform(0, 3), False),
    ],
)
def test_overlaps(one: envs.Range, other: envs.Range, overlap: bool) -> None:
    assert one.overlaps(other) is other.overlaps(one) is overlap


@pytest.mark.parametrize(
    ("range_", "expected", "text"),
    [
        (Uniform(-1, 3), [-1, 0, 1, 2], "U[-1, 3]"),
        (LogUniform(1, 16), [1, 2, 4, 8], "logU[1, 16]"),
        (SignedUniform(5, 15), [-15, -10, 5, 10], "±U[5, 15]"),
        (Choice((7, 1, 3, 5)), [1, 3, 5, 7], "{1, 3, 5, 7}"),
    ],
)
def test_ranges_at_the_quartiles(range_: envs.Range, expected: list[float], text: str) -> None:
    np.testing.assert_allclose(range_.ppf(np.array([0.0, 0.25, 0.5, 0.75])), expected, rtol=1e-14)
    assert range_.describe() == text
    u = np.linspace(0, 1, 1000, endpoint=False)
    values = range_.ppf(u)
    assert (np.diff(values) >= 0).all() and range_.contains(values).all()
    assert range_.contains(range_.ppf(np.array([np.nextafter(1.0, 0.0)]))).all()
    assert not range_.contains(np.array([-99.0, 99.0, 4.75])).all()


def test_signed_uniform_excludes_the_middle() -> None:
    assert SignedUniform(5, 15).contains(np.array([-16.0, -15.0, -4.9, 0.0, 5.0, 15.1])).tolist() == [
        *(False, True, False, False, True, False)
    ]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Uniform(1, 1), "low must be below high"),
        (lambda: Uniform(2, 1), "low must be below high"),
        (lambda: Uniform(0, math.inf), "high must be finite"),
        (lambda: Uniform(math.nan, 1), "low must be finite"),
        (lambda: Uniform("a", 1), "low must be a number"),
        (lambda: LogUniform(0, 1), "above 0"),
        (lambda: SignedUniform(-1, 1), "must not be negative"),
        (lambda: Choice(()), "one or more"),
        (lambda: Choice((1, 1)), "distinct"),
        (lambda: Choice((1, math.nan)), "finite"),
        (lambda: Uniform(0, 1, shape=2.5), "shape must be a tuple of whole numbers of at least 1, not 2.5"),
        (lambda: Choice(3), "Choice: needs one or more distinct values, not 3"),
    ],
)
def test_invalid_ranges_are_rejected(build, message: str, unchecked: None) -> None:
    with pytest.raises(UsageError, match=message):
        build()
