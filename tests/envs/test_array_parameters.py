"""Array-valued task parameters and their ranges; the bandit and the tabular MDP, which use them."""

import numpy as np
import pytest
import torch

import envs
from envs import Dirichlet, Normal, Tasks, Uniform
from qrl.common.errors import UsageError
from tests.support.double_precision import f64
from tests.support.environments import Counter


def test_normal_range_has_the_quantiles_of_the_normal_distribution() -> None:
    range_ = Normal(1, 2)
    u = np.array([0.0, 0.025, 0.5, 0.8413447460685429])
    np.testing.assert_allclose(range_.ppf(u)[1:], [1 - 2 * 1.959963984540054, 1, 3], rtol=1e-12)
    assert range_.contains(range_.ppf(u)).all() and range_.describe() == "N(1, 2)"


def test_dirichlet_range_gives_uniform_probabilities() -> None:
    """Each of three is Beta(1, 2): mean 1/3, variance 1/18, below 1/2 with probability 3/4; covariances -1/36."""
    range_ = Dirichlet(shape=(2, 3))
    assert range_.describe() == "2 × 3 × Dirichlet(1)"
    values = range_.ppf(np.random.default_rng(0).random((100_000, 2, 3)))
    np.testing.assert_allclose(values.sum(-1), 1.0)
    assert range_.contains(values).all() and not range_.contains(values + 0.1).any()
    np.testing.assert_allclose(np.cov(values[:, 0].T), (np.eye(3) - 1 / 3) / 12, atol=1e-3)
    np.testing.assert_allclose((values < 0.5).mean((0, 1)), 0.75, atol=5e-3)
    np.testing.assert_allclose(range_.ppf(np.zeros((1, 2, 3))), 1 / 3)


def test_parameters_may_be_arrays() -> None:
    """A row's uniform numbers are assigned to parameters in order, and to array entries in order."""
    family = Counter(
        parameters={"rate": Uniform(1, 2), "table": Uniform(0, 1, shape=(2, 3))}, nominal={"rate": 1, "table": 0.5}
    )
    tasks = family.sample(4, "train", np.random.default_rng(0))
    u = np.random.default_rng(0).random((4, 7))
    np.testing.assert_array_equal(tasks.table.numpy(), u[:, 1:].reshape(4, 2, 3))
    np.testing.assert_array_equal(tasks.rate.numpy(), 1 + u[:, 0])
    assert family.nominal == {"rate": 1.0, "table": [[0.5] * 3] * 2}
    again = Tasks.from_json(tasks.to_json())
    assert again.rows() == tasks.rows() and again.key(2) == tasks.key(2) != tasks.key(1)
    assert tasks[1:3].repeat_interleave(2).table.shape == (4, 2, 3)
    assert family.task({"table": 0.25}).rows() == [{"rate": 1.0, "table": [[0.25] * 3] * 2}]
    for values, message in (
        ({"table": [1.0, 2.0]}, r"task 0: table must be numbers of shape \(2, 3\), not \[1.0, 2.0\]"),
        ({"table": float("nan")}, "task 0: table must be finite"),
        ({"table": [[1], [2, 3]]}, "must be numbers of shape"),
    ):
        with pytest.raises(UsageError, match=message):
            family.task(values)
    with pytest.raises(UsageError, match=r"table of a task must have shape \(2, 3\), not \(3,\)"):
        family.check_tasks(Tasks({"rate": f64(1.0), "table": f64(1, 2, 3)[None]}), 1)
    with pytest.raises(UsageError, match=r"task 0: table must be an array of numbers, not \[\[1\], \[2, 3\]\]"):
        Tasks.from_rows([{"table": [[1], [2, 3]]}])
    with pytest.raises(UsageError, match="task 1: table must be numbers of shape"):
        Tasks.from_rows([{"table": [1, 2]}, {"table": [1, 2, 3]}])
    with pytest.raises(UsageError, match="shape must be a tuple of whole numbers of at least 1"):
        Uniform(0, 1, shape=(2, 0))
    with pytest.raises(UsageError, match="Dirichlet: needs a shape"):
        Dirichlet()
    with pytest.raises(UsageError, match="std must be above 0"):
        Normal(0, 0)


def run_episode(family, tasks, actions, seed=0):
    """Next observations and rewards of one episode in each lane [time, lane, ...]."""
    env = family.vectorise(len(tasks), 1)
    env.reset(seed=seed, options={"tasks": tasks})
    steps = [env.step(action)[:2] for action in actions]
    return torch.stack([step[0] for step in steps]), torch.stack([step[1] for step in steps])


def test_bandit_arms_pay_with_their_probability():
    family = envs.make("bandit", arms=3, horizon=2)
    tasks = Tasks({"p": f64(0.0, 0.3, 1.0).expand(60_000, 3)})
    actions = torch.arange(60_000) % 3
    _, reward = run_episode(family, tasks, [actions, actions])
    assert set(reward.unique().tolist()) == {0.0, 1.0}
    for arm, p in enumerate((0.0, 0.3, 1.0)):
        np.testing.assert_allclose(reward[:, actions == arm].mean(1), [p, p], atol=0.015)  # 4.6 standard errors
    both = reward[:, actions == 1].prod(0).mean()
    assert float(both) == pytest.approx(0.09, abs=0.01), "pulls are independent"


def test_tabular_mdp_follows_the_task_transitions_and_rewards():
    family = envs.make("tabular_mdp", states=3, actions=2, horizon=2)
    transition = f64(0.2, 0.5, 0.3, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0.5, 0, 0.5, 0, 1, 0).reshape(1, 3, 2, 3)
    mean_reward = f64(1, 2, 3, 4, 5, 6).reshape(1, 3, 2)
    n = 50_000
    tasks = Tasks({"transition": transition.expand(n, -1, -1, -1), "mean_reward": mean_reward.expand(n, -1, -1)})
    state, reward = run_episode(family, tasks, [torch.zeros(n, dtype=torch.int64), torch.ones(n, dtype=torch.int64)])
    np.testing.assert_allclose(state[0].mean(0), [0.2, 0.5, 0.3], atol=0.01)
    assert float(reward[0].mean()) == pytest.approx(1, abs=0.02) and float(reward[0].std()) == pytest.approx(
        1, abs=0.02
    )
    # The second action leads from 0 to 1, from 1 to 2 and from 2 to 1.
    first, second = state[0].argmax(1), state[1].argmax(1)
    assert torch.equal(second, torch.tensor([1, 2, 1])[first])
    for s, mean in enumerate((2, 4, 6)):
        assert float(reward[1, first == s].mean()) == pytest.approx(mean, abs=0.05)
    np.testing.assert_allclose(np.corrcoef(reward.numpy() - np.array([[1.0], [0.0]]))[0, 1], 0, atol=0.02)


def test_tabular_mdp_tasks_follow_duan_et_al():
    tasks = envs.make("tabular_mdp").sample(2000, "test")
    assert tasks.mean_reward.shape == (2000, 10, 5) and tasks.transition.shape == (2000, 10, 5, 10)
    assert float(tasks.mean_reward.mean()) == pytest.approx(1, abs=0.02)
    assert float(tasks.mean_reward.std()) == pytest.approx(1, abs=0.02)
    # Each of ten probabilities of Dirichlet(1, ..., 1) is Beta(1, 9): variance 9 / (100 * 11).
    assert float(tasks.transition.var()) == pytest.approx(9 / 1100, rel=0.02)
