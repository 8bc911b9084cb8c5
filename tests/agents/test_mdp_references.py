"""Optimal policies of known MDPs by enumeration, posterior sampling by its counts; means against other code."""

import itertools

import numpy as np
import pytest
import torch

import envs
from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.evaluation import adaptation_curve
from agents.experiment.references import references
from agents.experiment.returns import EvaluationPlan
from agents.references import oracle, psrl
from agents.references.shared.mdp import best_actions
from envs import Tasks
from envs.tabular_mdp import Config as MDPConfig
from qrl.common.errors import UsageError


def agent_of(module, name, env="tabular_mdp", **options):
    config = MDPConfig(**options) if options else None
    fields = {"env_config": config} if config else {}
    return build(Spec.default(env=env, agent=name, agent_config=module.Config(episodes=3), threads=1, **fields))[1]


def test_backward_induction_finds_the_best_policy():
    """Two states, two actions, three steps: 64 time-dependent policies, for eight MDPs at once."""
    rng = np.random.default_rng(0)
    reward = torch.from_numpy(rng.normal(size=(8, 2, 2)))
    transition = torch.from_numpy(rng.dirichlet([1, 1], size=(8, 2, 2)))
    actions, value = best_actions(reward, transition, 3)
    assert (actions[:, 0] != actions[:, 2]).any(), "what is best depends on the time"
    for process in range(8):
        values = {}
        for flat in itertools.product(range(2), repeat=6):
            policy, v = torch.tensor(flat).reshape(3, 2), torch.zeros(2, dtype=torch.float64)
            for t in (2, 1, 0):
                rows = (torch.arange(2), policy[t])
                v = reward[process][rows] + transition[process][rows] @ v
            values[flat] = v
        best = torch.stack(list(values.values())).max(0).values
        torch.testing.assert_close(value[process], best)
        torch.testing.assert_close(values[tuple(actions[process].flatten().tolist())], best)


def test_optimum_of_known_tasks_matches_an_independent_implementation():
    """21.84 per episode on average; here on other tasks, within four standard errors."""
    family = envs.make("tabular_mdp")
    curve = adaptation_curve(agent_of(oracle, "oracle"), family, EvaluationPlan(n_tasks=1000, episodes=1))
    values = np.asarray(curve.per_task)
    assert values.mean() == pytest.approx(21.84, abs=4 * values.mean(1).std() / 1000**0.5)
    tasks = family.sample(1000, "test")
    expected = best_actions(tasks.mean_reward, tasks.transition, 10)[1][:, 0].numpy()
    error = (values.mean(1) - expected).std() / 1000**0.5
    assert (values.mean(1) - expected).mean() == pytest.approx(0, abs=4 * error)


def test_optimal_policy_of_a_known_task_is_time_dependent():
    """Action 1 pays 1 less now but leads to a state with reward 3: best in the first step, never in the last."""
    agent = agent_of(oracle, "oracle", states=2, actions=2, horizon=2)
    reward = torch.tensor([[[1.0, 0.0], [3.0, 3.0]]], dtype=torch.float64)
    transition = torch.eye(2, dtype=torch.float64)[None, None].expand(1, 2, 2, 2)
    state = agent.reveal_tasks(agent.begin(1, 1), Tasks({"mean_reward": reward, "transition": transition}))
    start, nothing = torch.tensor([[[1.0, 0.0]]]), torch.zeros(1, 1)
    taken = []
    for step in range(4):  # two episodes; the observed state is always the first one
        action, state = agent.act(state, start, torch.Generator())
        taken.append(int(action))
        state = agent.observe(state, action, nothing, torch.full((1, 1), step % 2 == 1), start)
    assert taken == [1, 0, 1, 0]


def test_oracle_pulls_the_best_arm():
    family = envs.make("bandit")
    curve = adaptation_curve(agent_of(oracle, "oracle", env="bandit"), family, EvaluationPlan(n_tasks=2000, episodes=1))
    best = family.sample(2000, "test").p.max(-1).values.mean()
    np.testing.assert_allclose(curve.mean, float(best), atol=4 * 0.4 / 2000**0.5)


def test_posterior_sampling_counts_observed_transitions():
    agent = agent_of(psrl, "psrl", states=3, actions=2, horizon=2)
    belief = agent.begin(1, 2)
    generator = torch.Generator().manual_seed(0)
    one_hot = torch.eye(3)
    # Lane 0 moves 0 -> 2 -> 1, lane 1 stays in 0; actions as sampled.
    taken = []
    for now, after, ended in (([0, 0], [2, 0], False), ([2, 0], [1, 0], True)):
        action, belief = agent.act(belief, one_hot[now][None], generator)
        taken.append(action[0].tolist())
        reward, over = torch.tensor([[0.5, -1.0]]), torch.full((1, 2), ended)
        belief = agent.observe(belief, action, reward, over, one_hot[after][None])
    expected = torch.zeros(1, 2, 3, 2, 3, dtype=torch.float64)
    sums = torch.zeros(1, 2, 3, 2, dtype=torch.float64)
    for lane, path in enumerate(((0, 2, 1), (0, 0, 0))):
        for t in range(2):
            expected[0, lane, path[t], taken[t][lane], path[t + 1]] += 1
            sums[0, lane, path[t], taken[t][lane]] += (0.5, -1.0)[lane]
    assert torch.equal(belief.transitions, expected) and torch.equal(belief.rewards, sums)
    assert (belief.step == 0).all()


def test_mdps_are_sampled_from_the_posterior(monkeypatch):
    """After 98 rewards summing to 49 in one state: mean 50/99, variance 1/99; transitions Dirichlet(1 + counts)."""
    agent = agent_of(psrl, "psrl", states=2, actions=1, horizon=1)
    belief = agent.begin(20_000, 1)
    belief.transitions[:, :, 0, 0] = torch.tensor([90.0, 8.0])
    belief.rewards[:, :, 0, 0] = 49.0
    worlds = []
    monkeypatch.setattr(psrl, "best_actions", lambda *world: worlds.append(world) or best_actions(*world))
    agent.act(belief, torch.tensor([1.0, 0.0]).expand(20_000, 1, 2), torch.Generator().manual_seed(0))
    ((mean_reward, transition, horizon),) = worlds
    assert horizon == 1
    for place, mean, std in ((0, 50 / 99, 99**-0.5), (1, 1.0, 1.0)):
        drawn = mean_reward[:, 0, place, 0]
        assert float(drawn.mean()) == pytest.approx(mean, abs=4 * std / 20_000**0.5)
        assert float(drawn.std()) == pytest.approx(std, rel=0.03)
    first = transition[:, 0, :, 0, 0].mean(0)
    np.testing.assert_allclose(first, [91 / 100, 1 / 2], atol=0.01)


def test_posterior_sampling_improves_with_every_episode():
    """134 to 139 over ten episodes (138.1 in Duan et al. 2016, on 1000 other tasks), from 10 in the first one."""
    family = envs.make("tabular_mdp")
    built = references(family, 10)
    assert list(built) == ["oracle", "psrl"]
    curve = adaptation_curve(built["psrl"], family, EvaluationPlan(n_tasks=600, episodes=1))
    best = adaptation_curve(built["oracle"], family, EvaluationPlan(n_tasks=600, episodes=1))
    assert 132 < sum(curve.mean) < 140
    assert curve.mean[0] == pytest.approx(10, abs=1) and curve.mean[9] > 15 and (np.diff(curve.mean)[:4] > 0).all()
    assert max(curve.mean) < min(best.mean)


def test_references_reject_unsupported_families():
    with pytest.raises(UsageError, match="agent psrl: supports only tabular_mdp, not 'bandit'"):
        agent_of(psrl, "psrl", env="bandit")
    with pytest.raises(
        UsageError, match="agent oracle: supports only bandit, tabular_mdp, lookup tasks, not 'cartpole'"
    ):
        agent_of(oracle, "oracle", env="cartpole")
