"""Probability of improvement, by enumeration, by SciPy's statistic of Mann and Whitney, and by the jackknife."""

import numpy as np
import pytest
from scipy import stats

from agents.compare.improvement import improvement_interval, placements
from agents.compare.intervals import analyse
from agents.compare.statistics import probability_of_improvement
from qrl.common.errors import UsageError


def test_two_seeds_on_two_tasks_by_enumeration():
    scores, reference = np.array([[1.0, 3.0], [2.0, 5.0]]), np.array([[1.0, 4.0], [0.0, 5.0]])
    # First task: 1 = 1, 1 > 0, 2 > 1, 2 > 0; second: 3 < 4, 3 < 5, 5 > 4, 5 = 5.
    assert probability_of_improvement(scores, reference).value == pytest.approx((3.5 / 4 + 1.5 / 4) / 2)
    assert probability_of_improvement(reference, scores).value == pytest.approx((0.5 / 4 + 2.5 / 4) / 2)


def test_value_is_mann_and_whitneys_statistic():
    rng = np.random.default_rng(0)
    for n_seeds, n_others in ((7, 4), (5, 5), (3, 9)):
        scores, others = (rng.integers(6, size=(n, 8)).astype(float) for n in (n_seeds, n_others))  # with ties
        u = [stats.mannwhitneyu(x, y, method="asymptotic").statistic for x, y in zip(scores.T, others.T, strict=True)]
        expected = np.mean(u) / (n_seeds * n_others)
        assert probability_of_improvement(scores, others).value == pytest.approx(expected)


def test_variance_over_seeds_is_that_of_the_jackknife():
    rng = np.random.default_rng(1)
    scores, others = rng.normal(size=(7, 5)) + rng.normal(size=(7, 1)), rng.normal(size=(6, 5))
    for mine, theirs in ((scores, others), (others, scores)):
        left_out = [probability_of_improvement(np.delete(mine, i, 0), theirs).value for i in range(len(mine))]
        expected = (len(mine) - 1) * np.var(left_out)
        assert analyse(placements(mine, theirs)).seed.variance == pytest.approx(expected)


def test_interval_is_mirrored_if_the_groups_change_places():
    rng = np.random.default_rng(2)
    scores, others = rng.normal(size=(8, 6)) + rng.normal(size=(8, 1)), rng.normal(size=(5, 6)) - 1
    found, mirrored = probability_of_improvement(scores, others), probability_of_improvement(others, scores)
    assert (found.value, found.low, found.high) == pytest.approx(
        (1 - mirrored.value, 1 - mirrored.high, 1 - mirrored.low)
    )
    assert 0 < found.low < found.value < found.high < 1


def test_equal_groups_are_even():
    scores = np.random.default_rng(3).normal(size=(6, 4))
    found = probability_of_improvement(scores, scores)
    assert found.value == pytest.approx(0.5) and found.high - 0.5 == pytest.approx(0.5 - found.low)


def test_interval_of_constant_scores_by_hand():
    """Without any variance the size is 3 · 5 · 5 / 11, and Student's quantile 2.776445 that of 4 degrees of freedom."""
    found = probability_of_improvement(np.ones((5, 3)), np.zeros((5, 3)))
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(1 / (1 + 2.776445**2 / (75 / 11)), rel=1e-6)
    even = probability_of_improvement(np.ones((5, 3)), np.ones((5, 3)))
    assert even.value == 0.5 and even.low < 0.3 and even.high > 0.7


def test_both_groups_need_the_least_number_of_seeds():
    scores = np.random.default_rng(4).normal(size=(9, 3))
    assert probability_of_improvement(scores, scores[:5]).low is not None
    assert (
        probability_of_improvement(scores, scores[:4]).low
        is None
        is probability_of_improvement(scores[:4], scores).high
    )


@pytest.mark.parametrize(("shift", "truth"), [(0.0, 0.5), (2.0, 0.91679)])
def test_coverage_where_seeds_dominate(shift, truth):
    """P(X > Y) of normal scores with variances 1.04, Φ(shift / sqrt(2.08)); near 1 as well as in the middle."""
    rng = np.random.default_rng(5)
    scores, others = (rng.normal(size=(1500, 5, 1)) + 0.2 * rng.normal(size=(1500, 5, 10)) for _ in range(2))
    assert truth == pytest.approx(stats.norm.cdf(shift / 2.08**0.5), abs=1e-3)
    found = improvement_interval(scores + shift, others)
    assert ((found.low <= truth) & (truth <= found.high)).mean() > 0.94


@pytest.mark.usefixtures("unchecked")
def test_bad_scores_are_refused():
    with pytest.raises(
        UsageError, match=r"^reference: expected the same tasks as the scores, 5 seeds × 3 tasks; found 6"
    ):
        probability_of_improvement(np.ones((5, 3)), np.ones((6, 2)))
    with pytest.raises(UsageError, match=r"^reference: expected finite numbers, found nan at seed 0, task 1$"):
        probability_of_improvement(np.ones((1, 2)), np.array([[1.0, np.nan]]))
