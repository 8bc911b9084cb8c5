"""Performance profiles by hand, and their intervals."""

import numpy as np
import pytest
from scipy import stats

from agents.compare.intervals import Share, Spread, share_interval
from agents.compare.profiles import profile_interval
from agents.compare.statistics import performance_profile
from qrl.common.errors import UsageError

SCORES = np.array([[1.0, 2.0], [3.0, 4.0], [4.0, 6.0]])


def test_profile_by_hand():
    found = performance_profile(SCORES, [0, 1, 3.5, 4, 6])
    assert found.thresholds.tolist() == [0, 1, 3.5, 4, 6]
    assert found.values == pytest.approx([1, 5 / 6, 3 / 6, 1 / 6, 0])  # a score equal to the threshold is not above it
    assert found.low is None is found.high


def test_profile_is_the_share_of_scores_by_loops():
    rng = np.random.default_rng(0)
    scores, thresholds = rng.integers(5, size=(7, 6)).astype(float), np.arange(-1.0, 6.0)
    expected = [sum(score > at for row in scores for score in row) / 42 for at in thresholds]
    assert performance_profile(scores, thresholds).values == pytest.approx(expected)


def share(value, size, dof=1e9):
    return Share(np.array(value), Spread(np.array(value * (1 - value) / size), np.array(dof)))


@pytest.mark.parametrize(("count", "size"), [(6, 20), (1, 30), (10, 20)])
def test_interval_of_independent_observations_is_wilsons(count, size):
    found = share_interval(share(count / size, size), share(0.5, size), 1.0)
    expected = stats.binomtest(count, size).proportion_ci(method="wilson")
    assert (float(found.low), float(found.high)) == pytest.approx(tuple(expected))


def test_effective_size_is_the_smaller_of_two():
    expected = stats.binomtest(8, 10).proportion_ci(method="wilson")
    for size, central in ((10, 40), (40, 10)):
        found = share_interval(share(0.8, size), share(0.5, central), 1.0)
        assert (float(found.low), float(found.high)) == pytest.approx(tuple(expected))


def test_profile_near_its_ends_is_as_uncertain_as_in_the_middle():
    """Five seeds that do not vary over tasks are five observations: all above says little more than most above."""
    scores = np.repeat(np.arange(5.0)[:, None], 100, axis=1)
    found = performance_profile(scores, [-1, 0.5, 2.5, 9])
    assert found.values == pytest.approx([1, 0.8, 0.4, 0])
    # At the median, a share of 0.4 has a variance of 0.3 / 5: a size of 4; t(0.975, 4) = 2.776445.
    assert found.low[0] == pytest.approx(1 / (1 + 2.776445**2 / 4), rel=1e-6)
    assert found.high[3] == pytest.approx(1 - found.low[0])
    assert (found.low <= found.values).all() and (found.values <= found.high).all()


def test_equal_scores_count_as_one_observation_per_seed():
    found = performance_profile(np.ones((5, 3)), [0.0, 1.0])
    assert found.values.tolist() == [1, 0]
    assert found.low[0] == pytest.approx(1 / (1 + 2.776445**2 / 5), rel=1e-6) and found.low[1] == 0


def test_scores_of_two_values_are_split_between_them():
    """Four of five seeds have the larger score, which is the median: it is the share from the median on that counts."""
    scores = np.repeat(np.array([0.0, 1.0, 1.0, 1.0, 1.0])[:, None], 10, axis=1)
    found = performance_profile(scores, [-1.0, 0.5])
    # A share of 0.8 with a variance of 0.2 / 5: again a size of 4.
    assert found.low[0] == pytest.approx(1 / (1 + 2.776445**2 / 4), rel=1e-6)


@pytest.mark.parametrize(("seed", "task"), [(1.0, 0.2), (0.2, 1.0)])
def test_coverage_at_five_seeds(seed, task):
    rng = np.random.default_rng(1)
    tables = (
        seed * rng.normal(size=(1500, 5, 1))
        + task * rng.normal(size=(1500, 1, 20))
        + 0.2 * rng.normal(size=(1500, 5, 20))
    )
    thresholds = stats.norm.ppf([0.5, 0.1]) * 1.08**0.5
    found = profile_interval(tables, thresholds)
    covered = ((found.low <= [0.5, 0.9]) & (found.high >= [0.5, 0.9])).mean(0)
    assert (covered > 0.94).all()


@pytest.mark.parametrize("thresholds", [[0.0, np.nan], [[1.0]]])
@pytest.mark.usefixtures("unchecked")
def test_bad_thresholds_are_refused(thresholds):
    with pytest.raises(UsageError, match=r"^thresholds: expected a list of finite numbers$"):
        performance_profile(SCORES, thresholds)
