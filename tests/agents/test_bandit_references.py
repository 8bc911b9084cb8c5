"""The Bernoulli bandit: its optimum against brute force, reference agents against exact means and other programs."""

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
    """The optimum by recursion over beliefs as tuples."""

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
    """Of one trial of each of the test tasks."""
    distribution, agent = built(name, n)
    env, tasks = distribution.vectorise(n_tasks, 1), distribution.sample(n_tasks, "test")
    generator = torch.Generator().manual_seed(1)
    state = agent.begin(n_tasks, 1)
    options = {"tasks": tasks}
    rollout, _ = collect(env, agent, state, generator, seed=3, n_tasks=n_tasks, n_episodes=n, options=options)
    return rollout.returns_by_episode(n).squeeze(-1).double()


@pytest.mark.parametrize(("k", "t"), [(1, 0), (1, 3), (2, 4), (3, 3)])
def test_beliefs_are_all_there_are_in_the_order_of_their_rank(k, t):
    counts = beliefs(k, t)
    assert len({tuple(row) for row in counts.tolist()}) == len(counts)
    assert (counts.sum(1) == t).all() and (counts >= 0).all()
    assert rank(counts).tolist() == list(range(len(counts)))
    assert sum(len(beliefs(k, u)) for u in range(t + 1)) == n_beliefs(k, t + 1)


@pytest.mark.parametrize(("k", "n"), [(1, 4), (2, 6), (3, 4), (4, 3)])
def test_the_optimum_is_that_of_brute_force(k, n):
    solved = optimum(k, n)
    assert solved.value == pytest.approx(brute_force(k, n), abs=1e-12)
    assert sum(solved.by_pull) == pytest.approx(solved.value, abs=1e-12)


def test_the_optimum_of_five_arms_and_ten_pulls():
    """6.660 in 3 decimals; the first pull tells nothing, and a second one of an arm that paid is worth 2/3."""
    solved = optimum(5, 10)
    assert round(solved.value, 3) == 6.660
    assert solved.by_pull[0] == pytest.approx(0.5) and solved.by_pull[1] == pytest.approx(0.5 * 2 / 3 + 0.5 * 0.5)


@pytest.mark.parametrize(("episodes", "horizon"), [(10, 1), (5, 2), (2, 5), (1, 10)])
def test_what_optimal_play_earns_an_episode(episodes, horizon):
    agent = references(Bandit(BanditConfig(horizon=horizon)), episodes)["bayes"]
    expected = np.reshape(optimum(5, 10).by_pull, (episodes, horizon)).sum(1)
    np.testing.assert_allclose(agent.expected_returns, expected, atol=1e-12)


def test_optimal_play_earns_the_optimum():
    means, solved = returns("bayes").mean(1), optimum(5, 10)
    np.testing.assert_allclose(means, solved.by_pull, atol=0.014)  # 4 standard errors of a pull
    assert float(means.sum()) == pytest.approx(solved.value, abs=4 * 2.22 / 20_000**0.5)


@pytest.mark.parametrize(("name", "expected"), [("greedy", 6.626), ("thompson", 5.833)])
def test_reference_agents_earn_what_they_are_known_to(name, expected):
    total = returns(name).sum(0)
    assert float(total.mean()) == pytest.approx(expected, abs=4 * float(total.std()) / len(total) ** 0.5)


def test_nobody_beats_the_optimum_and_indices_come_close():
    best = returns("bayes").sum(0)
    for name in sorted(AGENTS.keys() - {"bayes"}):
        loss = best - returns(name).sum(0)
        error = float(loss.std()) / len(loss) ** 0.5
        assert float(loss.mean()) > -4 * error, name
        if name == "gittins":
            assert float(loss.mean()) < 0.01 + 4 * error


def test_indices_worked_out_by_hand():
    """With one pull left the posterior mean. A new arm with two left: l = (1/2) (1 + 2/3) + (1/2) l, less l: 5/9.

    Pulled for sure it is worth 2 l; pulled once, then again only after it paid, 1/2 (1 + 2/3) + 1/2 l.
    """
    table = indices(3)
    assert table[1, 0, 0] == pytest.approx(1 / 2, abs=1e-6)
    assert table[1, 1, 1] == pytest.approx(1 / 2, abs=1e-6) and table[1, 2, 0] == pytest.approx(3 / 4, abs=1e-6)
    assert table[2, 0, 0] == pytest.approx(5 / 9, abs=1e-4)
    assert table[3, 0, 0] > table[2, 0, 0]


def test_indices_are_those_for_the_pulls_that_are_left():
    """Of three pulls two are left after one that failed: 5/9 for arms never pulled, below it for the other."""
    _, agent = built("gittins", 3, arms=3)
    counts = agent.begin(1, 1)
    counts[0, 0, 0, 1] = 1
    worth = agent.index(counts, torch.Generator())[0, 0]
    np.testing.assert_allclose(worth[1:], 5 / 9, atol=1e-4)
    assert worth[0] == indices(3)[2, 0, 1] < 1 / 2


def test_what_is_received_is_counted():
    _, agent = built("greedy", 2, arms=3)
    counts = agent.begin(1, 2)
    nothing = torch.zeros(1, 2, 1)
    for action, reward in (([0, 2], [1.0, 0.0]), ([0, 2], [0.0, 0.0])):
        ended = torch.ones(1, 2, dtype=torch.bool)
        counts = agent.observe(counts, torch.tensor([action]), torch.tensor([reward]), ended, nothing)
    assert counts.tolist() == [[[[1, 1], [0, 0], [0, 0]], [[0, 0], [0, 0], [0, 2]]]]
    worth = agent.index(counts, torch.Generator())
    np.testing.assert_allclose(worth, [[[0.5, 0.5, 0.5], [0.5, 0.5, 0.25]]])


def test_equal_arms_are_all_pulled():
    _, agent = built("greedy", 1, arms=3)
    arms, _ = agent.act(agent.begin(3000, 1), torch.zeros(3000, 1, 1), torch.Generator().manual_seed(0))
    assert torch.bincount(arms.flatten(), minlength=3).min() > 900


def test_more_arms_than_anybody_means():
    with pytest.raises(UsageError, match="bandit: arms must be at most 10000, not 100000000"):
        BanditConfig(arms=10**8)


def test_an_agent_of_the_bandit_plays_nothing_else():
    with pytest.raises(UsageError, match="agent thompson: supports only bandit, not 'navigation'"):
        build(Spec.default(env="navigation", agent="thompson"))
    with pytest.raises(UsageError, match=r"5 arms and 100 pulls have 4.3e\+13 posteriors.*use agent gittins"):
        built("bayes", 100)
    with pytest.raises(UsageError, match="episodes of a trial must be at least 1, not 0"):
        built("greedy", 0)


@pytest.mark.parametrize("name", ["bayes", "gittins"])
def test_beyond_a_trial_arms_are_worth_their_means(name):
    """As when a trained agent goes on in an environment of one's own."""
    _, agent = built(name, 3, arms=2)
    counts = torch.tensor([[[[4.0, 1.0], [0.0, 2.0]]]])
    np.testing.assert_allclose(agent.index(counts, torch.Generator()), [[[5 / 7, 1 / 4]]])


@pytest.mark.parametrize(("arms", "pulls"), [(5, 500), (10, 100), (50, 500), (20, 30)])
def test_what_is_too_large_to_solve_is_refused_and_not_a_reference(arms, pulls):
    assert n_beliefs(arms, pulls) == math.comb(pulls - 1 + 2 * arms, 2 * arms)
    other = "gittins" if pulls <= 100 else "thompson, ucb1 or greedy"
    with pytest.raises(UsageError, match=f"use agent {other}$"):
        built("bayes", pulls, arms=arms)
    names = references(Bandit(BanditConfig(arms=arms)), pulls)
    assert list(names) == (["gittins", "thompson"] if pulls <= 100 else ["thompson"])


def test_indices_of_long_trials_are_refused():
    with pytest.raises(UsageError, match="up to 200 pulls, not 201"):
        built("gittins", 201)
