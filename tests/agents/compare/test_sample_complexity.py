"""Sample complexity of three short curves by hand, and its interval by enumeration."""

import itertools
import math

import numpy as np
import pytest

from agents.compare.statistics import SAMPLE_COMPLEXITY_CONFIDENCE, Estimate, sample_complexity
from qrl.common.errors import UsageError

STEPS = [10, 20, 40, 50]
CURVES = np.array([[0.1, 0.6, 0.7, 0.8], [0.2, 0.3, 0.6, 0.9], [0.3, 0.6, 0.8, 0.4]])
"""Above 0.5 are none, two, all and two of the seeds."""


@pytest.mark.parametrize(
    ("threshold", "delta", "expected"),
    [
        (0.5, 0.5, 10),
        (0.5, 2 / 3, 10),
        (0.5, 0.7, 10 + 10 + 10),  # only the third point succeeds
        (0.5, 1.0, 30),
        (0.05, 1.0, 0),
        (0.6, 0.3, 10 + 10),  # a performance equal to the threshold does not exceed it
        (0.75, 0.6, 40),
        (0.95, 0.1, math.inf),
    ],
)
def test_three_curves_by_hand(threshold, delta, expected):
    assert sample_complexity(STEPS, CURVES, threshold, delta) == Estimate(float(expected), None, None)


def test_equal_spacing_counts_the_points_below_delta():
    rng = np.random.default_rng(0)
    performance = np.sort(rng.random((20, 15)), axis=1)
    for threshold, delta in itertools.product((0.3, 0.5, 0.8), (0.25, 0.55, 0.7)):
        failing = sum(np.mean([curve[k] > threshold for curve in performance]) < delta for k in range(15))
        expected = 2000 * failing if failing < 15 else math.inf
        assert sample_complexity(2000 * np.arange(1.0, 16.0), performance, threshold, delta).value == expected


def test_evaluation_before_training_does_not_count():
    before = np.column_stack([np.ones(3), CURVES])
    assert sample_complexity([0, *STEPS], before, 0.5, 0.5).value == 10
    lost = np.column_stack([np.ones(3), np.zeros(3)])
    assert sample_complexity([0, 10], lost, 0.5, 0.5).value == math.inf


def test_share_that_equals_delta_succeeds():
    performance = np.zeros((20, 2))
    performance[:11, 1] = 1
    assert sample_complexity([1, 2], performance, 0.5, 0.55).value == 1


def enumerated(first, delta):
    """Interval over all 3125 resamples of five seeds that succeed for good from these points on."""
    success = np.asarray(first)[:, None] <= np.arange(4)
    found = sorted(
        math.inf if not (share := success[list(chosen)].mean(0) >= delta).any() else 10.0 * (~share).sum()
        for chosen in itertools.product(range(5), repeat=5)
    )
    tail = (1 - SAMPLE_COMPLEXITY_CONFIDENCE) / 2
    return found[math.ceil(tail * 3125) - 1], found[math.ceil((1 - tail) * 3125) - 1]


@pytest.mark.parametrize("delta", [0.5, 0.75])
@pytest.mark.parametrize("first", [(0, 1, 1, 2, 3), (0, 0, 1, 3, 9), (1, 1, 1, 1, 1), (3, 3, 9, 9, 9)])
def test_interval_is_that_of_all_resamples(first, delta):
    performance = (np.asarray(first)[:, None] <= np.arange(4)).astype(float)
    found = sample_complexity([10, 20, 30, 40], performance, 0.5, delta)
    low, high = enumerated(first, delta)
    assert (found.low, found.high) == (min(low, found.value), max(high, found.value))


def test_interval_is_the_same_at_every_call():
    performance = np.random.default_rng(1).random((9, 4))
    assert sample_complexity(STEPS, performance, 0.5, 0.5) == sample_complexity(STEPS, performance, 0.5, 0.5)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"env_steps": [10, 20, 20, 50]}, r"env_steps: expected increasing numbers from 0 on, found \[10"),
        ({"env_steps": [-1, 20, 40, 50]}, "env_steps: expected increasing numbers from 0 on"),
        ({"env_steps": [10, 20, 40, math.inf]}, "env_steps: expected a list of finite numbers"),
        ({"env_steps": [10, 20]}, "performance: expected a value for each of 2 points, found 4"),
        ({"env_steps": [0], "performance": np.ones((2, 1))}, "env_steps: expected increasing"),
        ({"env_steps": [], "performance": np.ones((2, 0))}, "env_steps: expected increasing"),
        ({"performance": np.ones((0, 4))}, "performance: expected at least one seed"),
        (
            {"performance": np.full((1, 4), np.nan)},
            "performance: expected finite numbers, found nan at seed 0, point 0",
        ),
        ({"threshold": math.nan}, "threshold must be finite"),
        ({"delta": 0.0}, r"delta: expected a probability in \(0, 1\], not 0.0"),
        ({"delta": 1.5}, r"delta: expected a probability in \(0, 1\], not 1.5"),
    ],
)
def test_bad_input_is_refused(changed, message):
    arguments = {"env_steps": STEPS, "performance": CURVES, "threshold": 0.5, "delta": 0.5, **changed}
    with pytest.raises(UsageError, match=f"^{message}"):
        sample_complexity(**arguments)
