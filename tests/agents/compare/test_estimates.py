"""Mean, interquartile mean and difference, and their intervals, by hand and by other implementations."""

import numpy as np
import pytest
from scipy import stats

from agents.compare.estimates import iqm_interval, mean_interval
from agents.compare.statistics import CONFIDENCE, MIN_SEEDS, Estimate, difference, iqm, mean
from qrl.common.errors import UsageError

ONE_TO_FIVE = np.arange(1.0, 6.0)


def crossed(rng, *size, seed, task, residual=0.2):
    """Scores [*batch, seed, task] of normal effects with these standard deviations."""
    *batch, n_seeds, n_tasks = size
    return (
        seed * rng.normal(size=(*batch, n_seeds, 1))
        + task * rng.normal(size=(*batch, 1, n_tasks))
        + residual * rng.normal(size=size)
    )


def ends(estimate):
    return pytest.approx((estimate.low, estimate.high), rel=1e-9)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[1, 2, 3], [4, 5, 100]], 3.5),  # 6 scores: one goes at each end
        ([[1, 2, 3, 4, 100]], 3),  # 5 scores: one
        ([[7, 1], [100, -5], [2, 3], [4, 4]], 3.25),  # 8 scores: two; 2, 3, 4, 4 stay
        ([[1, 2, 6]], 3),  # 3 scores: none
        ([[-4]], -4),
    ],
)
def test_iqm_by_hand(scores, expected):
    assert iqm(np.array(scores, dtype=float)).value == pytest.approx(expected)


def test_iqm_is_scipys_trimmed_mean():
    rng = np.random.default_rng(0)
    for size in ((5, 7), (6, 3), (9, 9), (4, 8), (10, 1)):
        scores = rng.normal(size=size) ** 3
        assert iqm(scores).value == pytest.approx(stats.trim_mean(scores, 0.25, axis=None))


def test_interval_is_students_of_the_seeds_if_tasks_do_not_differ():
    # Standard deviation 1.581139 over sqrt(5), times t(0.975, 4) = 2.776445.
    found = mean(np.repeat(ONE_TO_FIVE[:, None], 7, axis=1))
    assert (found.value, found.low, found.high) == pytest.approx((3, 3 - 1.963243, 3 + 1.963243), rel=1e-6)
    assert ends(found) == stats.t.interval(CONFIDENCE, 4, loc=3, scale=stats.sem(ONE_TO_FIVE))


def test_interval_is_students_of_the_tasks_if_seeds_do_not_differ():
    tasks = np.array([1.0, 4.0, 9.0])
    expected = stats.t.interval(CONFIDENCE, 2, loc=tasks.mean(), scale=stats.sem(tasks))
    assert ends(mean(np.repeat(tasks[None], 6, axis=0))) == expected


def test_interval_is_students_of_the_seeds_on_a_single_task():
    expected = stats.t.interval(CONFIDENCE, 4, loc=3, scale=stats.sem(ONE_TO_FIVE))
    assert ends(mean(ONE_TO_FIVE[:, None])) == expected


def projected(indicators, scores):
    """Sum of squares of the projection of centred scores onto the span of indicator columns."""
    centred = scores.ravel() - scores.mean()
    columns = indicators - indicators.mean(0)
    return float(((columns @ np.linalg.lstsq(columns, centred, rcond=None)[0]) ** 2).sum())


@pytest.mark.parametrize(("seed", "task"), [(1.0, 1.0), (1.0, 0.5), (0.3, 2.0)])
def test_interval_is_satterthwaites_of_an_analysis_of_variance_by_projections(seed, task):
    scores = crossed(np.random.default_rng(1), 6, 9, seed=seed, task=task)
    seeds, tasks = np.indices(scores.shape)
    by_seed = projected(np.eye(6)[seeds.ravel()], scores) / 5
    by_task = projected(np.eye(9)[tasks.ravel()], scores) / 8
    residual = (scores.size * scores.var() - 5 * by_seed - 8 * by_task) / 40
    assert min(by_seed, by_task) > residual
    total = by_seed + by_task - residual
    dof = total**2 / (by_seed**2 / 5 + by_task**2 / 8 + residual**2 / 40)
    expected = stats.t.interval(CONFIDENCE, dof, loc=scores.mean(), scale=(total / scores.size) ** 0.5)
    assert ends(mean(scores)) == expected


@pytest.mark.parametrize("axis", [0, 1])
def test_interval_is_never_narrower_than_that_over_one_factor(axis):
    """Negatively dependent scores have residuals that exceed the differences between tasks, or seeds."""
    scores = crossed(np.random.default_rng(2), 6, 6, seed=1.0, task=0.0)
    scores -= scores.mean(0) - 0.01 * np.arange(6.0)
    scores = scores if axis else scores.T
    expected = stats.t.interval(CONFIDENCE, 5, loc=scores.mean(), scale=stats.sem(scores.mean(axis)))
    assert ends(mean(scores)) == expected


def test_interval_of_the_iqm_by_hand():
    """Kept are 3 to 6; winsorised 3, 3, 3, 4, 5, 6, 6, 6 with variance 2; t(0.975, 7) = 2.364624."""
    found = iqm(np.arange(1.0, 9.0)[:, None])
    half = 2.364624 * (2 / (0.5**2 * 8) * 7 / 6) ** 0.5
    assert (found.value, found.low, found.high) == pytest.approx((4.5, 4.5 - half, 4.5 + half), rel=1e-6)


def test_interval_of_the_iqm_ignores_how_far_outliers_are():
    scores = crossed(np.random.default_rng(3), 8, 10, seed=1.0, task=1.0)
    far = np.where(scores == scores.max(), 1e6, scores)
    assert iqm(far) == iqm(scores) and mean(far).high > 1000 * mean(scores).high


def test_difference_is_paired_by_seed_and_task():
    rng = np.random.default_rng(4)
    reference = crossed(rng, 5, 4, seed=100.0, task=100.0)
    scores = reference + np.array([1.0, 2.0, 3.0, 4.0, 5.0])[:, None]
    found = difference(scores, reference)
    assert (found.value, found.low, found.high) == pytest.approx((3, 3 - 1.963243, 3 + 1.963243), rel=1e-6)


@pytest.mark.parametrize("statistic", [mean, iqm, lambda scores: difference(scores, 0 * scores)])
def test_no_interval_below_the_least_number_of_seeds(statistic):
    scores = np.random.default_rng(5).normal(size=(MIN_SEEDS, 3))
    few, enough = statistic(scores[:-1]), statistic(scores)
    assert few.low is None is few.high and np.isfinite(few.value)
    assert enough.low < enough.value < enough.high


def test_equal_scores_have_an_interval_of_width_zero():
    scores = np.full((6, 4), 0.5)
    assert mean(scores) == iqm(scores) == Estimate(0.5, 0.5, 0.5)
    assert difference(scores, scores) == Estimate(0.0, 0.0, 0.0)


def bootstrapped(table, rng):
    """Percentile two-level bootstrap interval of the mean."""
    rows, columns = (rng.multinomial(n, np.full(n, 1 / n), size=400) / n for n in table.shape)
    return np.quantile(((rows @ table) * columns).sum(1), [0.025, 0.975])


@pytest.mark.parametrize(("seed", "task"), [(1.0, 0.2), (0.2, 1.0)])
def test_coverage_at_five_seeds(seed, task):
    """Monte Carlo error 0.4 percentage points; the percentile bootstrap fails the same check where seeds dominate."""
    rng = np.random.default_rng(6)
    tables, reference = (crossed(rng, 3000, 5, 20, seed=seed, task=task) for _ in range(2))
    for found in (mean_interval(tables), iqm_interval(tables), mean_interval(tables - reference)):
        assert 0.93 < ((found.low < 0) & (found.high > 0)).mean() < 0.97
    low, high = np.transpose([bootstrapped(table, rng) for table in tables[:600]])
    assert (((low < 0) & (high > 0)).mean() < 0.90) == (seed > task)


@pytest.mark.usefixtures("unchecked")  # the checks would extend the message
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    scores = np.ones((5, 4))
    scores[1, 2] = bad
    message = f"expected finite numbers, found {bad} at seed 1, task 2$"
    for statistic in (mean, iqm, lambda scores: difference(scores, np.ones((5, 4)))):
        with pytest.raises(UsageError, match=f"^scores: {message}"):
            statistic(scores)
    with pytest.raises(UsageError, match=f"^reference: {message}"):
        difference(np.ones((5, 4)), scores)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.ones((0, 4)), "scores: expected at least one seed and one task, found 0 seeds × 4 tasks"),
        (np.ones((4, 0)), "scores: expected at least one seed and one task, found 4 seeds × 0 tasks"),
        (np.ones(4), r"scores: expected a table \[seed, task\], found 1 axes"),
        ([[1.0], [1.0, 2.0]], r"scores: expected a table of numbers \[seed, task\]"),
        ([["a"]], r"scores: expected a table of numbers \[seed, task\]"),
        ([[1.0, -1e200]], r"scores: expected numbers of magnitude 1e\+100 at most, found 1e\+200"),
    ],
)
def test_tables_that_are_none_are_refused(scores, message):
    for statistic in (mean, iqm):
        with pytest.raises(UsageError, match=f"^{message}$"):
            statistic(scores)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("size", [(4, 3), (5, 2)])
def test_differences_of_unlike_tables_are_refused(size):
    message = f"reference: expected the same seeds and tasks as the scores, 5 seeds × 3 tasks; found {size[0]} seeds"
    with pytest.raises(UsageError, match=message):
        difference(np.ones((5, 3)), np.ones(size))
