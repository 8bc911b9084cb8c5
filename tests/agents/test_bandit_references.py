"""The Bernoulli bandit: its optimum against brute force, reference agents against exact means and other code."""

import functools
import math

import numpy as np
import pytest
import torch

from agents.core.collect import collect
from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.references import references
from agents.references import bayes, gittins, greedy, thompson, ucb1
from agents.references.shared.bernoulli import beliefs, indices, n_beliefs, optimum, rank
from envs.bandit import Bandit
from envs.bandit import Config as BanditConfig
from qrl.common.errors import UsageError

AGENTS = {"bayes": bayes, "gittins": gittins, "greedy": greedy, "thompson": thompson, "ucb1": ucb1}


def brute_force(k: int, n: int) -> float:
    """Compute the optimal value by recursion over beliefs as tuples."""

    @functools.cache
    def value(counts: tuple[int, ...], left: int) -> float:
        if left == 0:
            return 0.0
        best = 0.0
        for arm in range(k):
            paid, failed = counts[2 * arm], counts[2 * arm + 1]
            after = [tuple(c + (place == 2 * arm + i) for place, c in enumerate(counts)) for i in (0, 1)]
            p = (1 + paid) / (2 + paid + failed)
            best = max(best, p * (1 + value(after[0], left - 1)) + (1 - p) * value(after[1], left - 1))
        return best

    return value((0,) * (2 * k), n)


def built(name: str, n: int, arms: int = 5, **options):
    config = AGENTS[name].Config(episodes=n, **options)
    return build(Spec.default(env="bandit", env_config=BanditConfig(arms=arms), agent=name, agent_config=config))


@functools.cache
def returns(name: str, n: int = 10, n_tasks: int = 20_000) -> torch.Tensor:
    """Return of one trial in each test task."""
    distribution, agent = built(name, n)
    env, tasks = distribution.vectorise(n_tasks, 1), distribution.sample(n_tasks, "test")
    generator = torch.Generator().manual_seed(1)
    state = agent.begin(n_tasks, 1)
    options = {"tasks": tasks}
    rollout, _ = collect(env, agent, state, generator, seed=3, n_tasks=n_tasks, n_episodes=n, options=options)
    return rollout.returns_by_episode(n).squeeze(-1).double()


@pytest.mark.parametrize(("k", "t"), [(1, 0), (1, 3), (2, 4), (3, 3)])
def test_beliefs_are_complete_and_ordered_by_rank(k, t):
    counts = beliefs(k, t)
    assert len({tuple(row) for row in counts.tolist()}) == len(counts)
    assert (counts.sum(1) == t).all() and (counts >= 0).all()
    assert rank(counts).tolist() == list(range(len(counts)))
    assert sum(len(beliefs(k, u)) for u in range(t + 1)) == n_beliefs(k, t + 1)


@pytest.mark.parametrize(("k", "n"), [(1, 4), (2, 6), (3, 4), (4, 3)])
def test_optimum_equals_brute_force(k, n):
    solved = optimum(k, n)
    assert solved.value == pytest.approx(brute_force(k, n), abs=1e-12)
    assert sum(solved.by_pull) == pytest.approx(solved.value, abs=1e-12)


def test_optimum_of_five_arms_and_ten_pulls():
    """6.660 to 3 decimals; all first pulls are equal, and a second pull of an arm that paid has expected reward 2/3."""
    solved = optimum(5, 10)
    assert round(solved.value, 3) == 6.660
    assert solved.by_pull[0] == pytest.approx(0.5) and solved.by_pull[1] == pytest.approx(0.5 * 2 / 3 + 0.5 * 0.5)


@pytest.mark.parametrize(("episodes", "horizon"), [(10, 1), (5, 2), (2, 5), (1, 10)])
def test_expected_reward_per_episode_of_the_optimal_policy(episodes, horizon):
    agent = references(Bandit(BanditConfig(horizon=horizon)), episodes)["bayes"]
    expected = np.reshape(optimum(5, 10).by_pull, (episodes, horizon)).sum(1)
    np.testing.assert_allclose(agent.expected_returns, expected, atol=1e-12)


def test_optimal_policy_attains_the_optimum():
    means, solved = returns("bayes").mean(1), optimum(5, 10)
    np.testing.assert_allclose(means, solved.by_pull, atol=0.014)  # 4 standard errors of a pull
    assert float(means.sum()) == pytest.approx(solved.value, abs=4 * 2.22 / 20_000**0.5)


@pytest.mark.parametrize(("name", "expected"), [("greedy", 6.626), ("thompson", 5.833)])
def test_reference_agents_attain_their_known_returns(name, expected):
    total = returns(name).sum(0)
    assert float(total.mean()) == pytest.approx(expected, abs=4 * float(total.std()) / len(total) ** 0.5)


def test_no_policy_beats_the_optimum_and_index_policies_come_close():
    best = returns("bayes").sum(0)
    for name in sorted(AGENTS.keys() - {"bayes"}):
        loss = best - returns(name).sum(0)
        error = float(loss.std()) / len(loss) ** 0.5
        assert float(loss.mean()) > -4 * error, name
        if name == "gittins":
            assert float(loss.mean()) < 0.01 + 4 * error


def test_gittins_indices_by_hand():
    """With one pull left, the posterior mean. For a new arm with two left: 2 l = 1/2 (1 + 2/3) + 1/2 l, so l = 5/9.

    A known arm yields 2 l; the new arm, pulled again only if it paid, yields 1/2 (1 + 2/3) + 1/2 l.
    """
    table = indices(3)
    assert table[1, 0, 0] == pytest.approx(1 / 2, abs=1e-6)
    assert table[1, 1, 1] == pytest.approx(1 / 2, abs=1e-6) and table[1, 2, 0] == pytest.approx(3 / 4, abs=1e-6)
    assert table[2, 0, 0] == pytest.approx(5 / 9, abs=1e-4)
    assert table[3, 0, 0] > table[2, 0, 0]


def test_indices_depend_on_the_remaining_pulls():
    """After one failure two of three pulls are left: 5/9 for arms never pulled, less for the other."""
    _, agent = built("gittins", 3, arms=3)
    counts = agent.begin(1, 1)
    counts[0, 0, 0, 1] = 1
    arm_index = agent.index(counts, torch.Generator())[0, 0]
    np.testing.assert_allclose(arm_index[1:], 5 / 9, atol=1e-4)
    assert arm_index[0] == indices(3)[2, 0, 1] < 1 / 2


def test_observed_outcomes_are_counted():
    _, agent = built("greedy", 2, arms=3)
    counts = agent.begin(1, 2)
    nothing = torch.zeros(1, 2, 1)
    for action, reward in (([0, 2], [1.0, 0.0]), ([0, 2], [0.0, 0.0])):
        ended = torch.ones(1, 2, dtype=torch.bool)
        counts = agent.observe(counts, torch.tensor([action]), torch.tensor([reward]), ended, nothing)
    assert counts.tolist() == [[[[1, 1], [0, 0], [0, 0]], [[0, 0], [0, 0], [0, 2]]]]
    arm_index = agent.index(counts, torch.Generator())
    np.testing.assert_allclose(arm_index, [[[0.5, 0.5, 0.5], [0.5, 0.5, 0.25]]])


def test_ties_between_arms_are_broken_at_random():
    _, agent = built("greedy", 1, arms=3)
    arms, _ = agent.act(agent.begin(3000, 1), torch.zeros(3000, 1, 1), torch.Generator().manual_seed(0))
    assert torch.bincount(arms.flatten(), minlength=3).min() > 900


def test_implausibly_many_arms_are_rejected():
    with pytest.raises(UsageError, match="bandit: arms must be at most 10000, not 100000000"):
        BanditConfig(arms=10**8)


def test_bandit_agents_reject_other_families():
    with pytest.raises(UsageError, match="agent thompson: supports only bandit, not 'navigation'"):
        build(Spec.default(env="navigation", agent="thompson"))
    with pytest.raises(UsageError, match=r"5 arms and 100 pulls have 4.3e\+13 posteriors.*use agent gittins"):
        built("bayes", 100)
    with pytest.raises(UsageError, match="episodes of a trial must be at least 1, not 0"):
        built("greedy", 0)


@pytest.mark.parametrize("name", ["bayes", "gittins"])
def test_index_beyond_the_trial_is_the_posterior_mean(name):
    """This occurs when a trained agent continues in a custom environment."""
    _, agent = built(name, 3, arms=2)
    counts = torch.tensor([[[[4.0, 1.0], [0.0, 2.0]]]])
    np.testing.assert_allclose(agent.index(counts, torch.Generator()), [[[5 / 7, 1 / 4]]])


@pytest.mark.parametrize(("arms", "pulls"), [(5, 500), (10, 100), (50, 500), (20, 30)])
def test_bandits_too_large_to_solve_are_rejected_and_have_no_reference(arms, pulls):
    assert n_beliefs(arms, pulls) == math.comb(pulls - 1 + 2 * arms, 2 * arms)
    other = "gittins" if pulls <= 100 else "thompson, ucb1 or greedy"
    with pytest.raises(UsageError, match=f"use agent {other}$"):
        built("bayes", pulls, arms=arms)
    names = references(Bandit(BanditConfig(arms=arms)), pulls)
    assert list(names) == (["gittins", "thompson"] if pulls <= 100 else ["thompson"])


def test_indices_of_long_trials_are_rejected():
    with pytest.raises(UsageError, match="up to 200 pulls, not 201"):
        built("gittins", 201)
