"""RL^2: its objective and gradient by enumeration, finite differences and independent sums."""

import dataclasses
import itertools

import pytest
import torch

from agents import rl2
from agents.core.rollout import Rollout
from agents.rl.memory import saved_bytes
from agents.rl.returns import returns_to_go
from envs import bandit, cartpole_target
from qrl.common.errors import UsageError
from qrl.models import gru
from tests.support.rl2_training import learner, played, short


def test_gradient_enumerated_over_trials_is_that_of_the_expected_return():
    """Two arms, two pulls: sixteen trials with their probabilities; finite differences of the trial's return."""
    training = learner(
        env_config=bandit.Config(arms=2), episodes=2, model_config=gru.Config(n_hidden=3), value_weight=0.0
    )
    agent = training.agent
    agent.policy.double()
    agent.theta = dict(agent.policy.named_parameters())
    pays = torch.tensor([0.3, 0.8], dtype=torch.float64)
    every = torch.tensor(list(itertools.product([0, 1], [0, 1], [0, 1], [0, 1])))
    action, reward = every[:, :2].T.unsqueeze(-1), every[:, 2:].T.double().unsqueeze(-1)
    of_rewards = torch.where(reward > 0, pays[action], 1 - pays[action]).prod(0)[:, 0]
    shape = (2, 16, 1)
    rollout = Rollout(
        torch.zeros(*shape, 1, dtype=torch.float64),
        action,
        reward,
        torch.ones(shape, dtype=torch.bool),
        torch.zeros(shape, dtype=torch.bool),
        torch.ones(shape, dtype=torch.bool),
        torch.arange(2)[:, None, None].expand(shape),
    )
    data, _ = agent.trials(rollout)
    probability = (of_rewards * data.old_log_prob.sum(0).exp()).detach()
    assert float(probability.sum()) == pytest.approx(1)
    data = dataclasses.replace(data, advantage=probability * returns_to_go(reward)[..., 0])
    found, metrics = agent.gradient(data)

    def expected_return(params):
        distribution = agent.outputs(params, data).distribution
        log_prob = agent.policy.head.log_prob(distribution, data.action)
        return float((of_rewards * log_prob.sum(0).exp() * reward.sum(0)[:, 0]).sum())

    step = 1e-6
    for index, name in enumerate(agent.theta):
        for position in range(min(5, agent.theta[name].numel())):
            values = []
            for sign in (1, -1):
                params = {key: value.detach().clone() for key, value in agent.theta.items()}
                params[name].view(-1)[position] += sign * step
                values.append(expected_return(params))
            numeric = (values[0] - values[1]) / (2 * step)
            # The objective is a mean over the 32 steps.
            assert float(found[index].view(-1)[position]) * 32 == pytest.approx(numeric, abs=1e-8), name
    assert metrics["kl"] == pytest.approx(0, abs=1e-12) and metrics["clipped"] == 0


def test_objective_is_surrogate_plus_bonus_minus_squared_error():
    """All sums recomputed from logits and values, at parameters other than those that collected the data."""
    env_config = dataclasses.replace(cartpole_target.Config(), horizon=11)
    training = learner("cartpole_target", env_config, entropy_bonus=0.3, value_weight=0.7, clip=0.1)
    agent = training.agent
    data, _ = agent.trials(played(training))
    assert not data.valid.all()
    # Padded steps lie beyond the clip range, so that counting them would be detected.
    shifted = torch.where(data.valid, data.old_log_prob, data.old_log_prob - 1)
    data = dataclasses.replace(data, old_log_prob=shifted)
    generator = torch.Generator().manual_seed(2)
    moved = {n: p.detach() + 0.2 * torch.randn(p.shape, generator=generator) for n, p in agent.theta.items()}
    found = agent.objective(moved, data)
    distribution, value, _ = agent.outputs(moved, data)
    new = torch.distributions.Categorical(logits=distribution["log_probs"])
    old = torch.distributions.Categorical(logits=data.old_distribution["log_probs"])
    valid = data.valid
    ratio = (new.log_prob(data.action) - data.old_log_prob).exp()
    unclipped, clipped = ratio * data.advantage, ratio.clamp(0.9, 1.1) * data.advantage
    expected = {
        "value_loss": (value - data.target)[valid].square().sum(),
        "entropy": new.entropy()[valid].sum(),
        "kl": torch.distributions.kl_divergence(old, new)[valid].sum(),
        "clipped": ((ratio > 1.1) | (ratio < 0.9))[valid].sum(),
    }
    surrogate = torch.minimum(unclipped, clipped)[valid].sum()
    expected["objective"] = surrogate + 0.3 * expected["entropy"] - 0.7 * expected["value_loss"]
    assert 0 < expected["clipped"] < valid.sum()
    assert found.keys() == expected.keys()
    for name, number in expected.items():
        torch.testing.assert_close(found[name], number, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("memories", ["separate", "shared"])
@pytest.mark.parametrize("env", ["cartpole_target", "navigation"])
def test_reward_prediction_error_is_subtracted_from_the_objective(env, memories):
    """Predict the reward of the action taken: one output per discrete action, else linear in the action."""
    training = learner(env, short(env), reward_prediction=0.3, memories=memories, entropy_bonus=0.1)
    agent, policy = training.agent, training.agent.policy
    rollout = played(training)
    data, _ = agent.trials(rollout)
    found = agent.objective(agent.theta, data)
    n_head = 2
    assert len(agent.theta["actor.readout.weight"]) == n_head + {"cartpole_target": 2, "navigation": 3}[env] + (
        memories == "shared"
    )
    policy.load_state_dict(agent.theta, strict=False)
    outputs = policy.actor.unroll(policy.actor.bind(), data.inputs).detach()
    loss = 0.0
    for t, lane in data.valid.nonzero().tolist():
        said, action = outputs[t, lane], data.action[t, lane]
        guess = (
            said[n_head + action] if env == "cartpole_target" else said[2] + said[3] * action[0] + said[4] * action[1]
        )
        reward = rollout.reward[t, lane, 0] / training.distribution.reward_scale
        loss += float(guess - reward) ** 2
    assert float(found["reward_loss"].detach()) == pytest.approx(loss, rel=1e-4)
    agent.config = dataclasses.replace(agent.config, reward_prediction=0.0)
    without = agent.objective(agent.theta, data)
    assert float((without["objective"] - found["objective"]).detach()) == pytest.approx(0.3 * loss, rel=1e-3)
    assert "reward_loss" not in without


@pytest.mark.slow
def test_reward_prediction_trains_the_memory():
    """Random pulls of two arms, with the prediction as the only learning signal."""
    training = learner(
        env_config=bandit.Config(arms=2), reward_prediction=1.0, value_weight=0.0, episodes=8, meta_batch=99
    )
    agent = training.agent
    adam = torch.optim.Adam(agent.theta.values(), lr=0.02)
    for seed in range(60):
        data, _ = agent.trials(played(training, seed))
        gradient, metrics = agent.gradient(dataclasses.replace(data, advantage=torch.zeros_like(data.advantage)))
        for p, each in zip(agent.theta.values(), gradient, strict=True):
            p.grad = -each
        adam.step()
    # The variance of a reward is 1/4; with known arms it is E[p (1 - p)] = 1/6.
    assert 1 / 6 < metrics["reward_loss"] < 0.23


def test_no_gradient_flows_between_trials():
    agent = learner(model="qgru").agent
    inputs = torch.randn(5, 4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    distribution, value, _ = agent.policy.unroll(agent.policy.bind(), inputs, None)
    loss = distribution["log_probs"][:, 1].square().sum() + value[:, 1].sum()
    seen = torch.autograd.grad(loss, inputs)[0].abs().sum((0, 2))
    assert seen[1] > 0 and seen[[0, 2, 3]].tolist() == [0.0, 0.0, 0.0]


def test_gradient_does_not_depend_on_trial_order_or_chunk_size():
    training = learner("cartpole_target", short("cartpole_target"))
    agent = training.agent
    data, _ = agent.trials(played(training))
    whole, metrics = agent.gradient(data)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled, again = agent.gradient(rl2.select_trials(data, order))
    agent.config = dataclasses.replace(
        agent.config, memory_budget=2 * agent.step_bytes * len(data.valid) / 2**30 + 1e-9
    )
    assert len(agent.chunks(*data.valid.shape)) == 3
    chunked, parts = agent.gradient(data)
    for one, two, three in zip(whole, shuffled, chunked, strict=True):
        torch.testing.assert_close(two, one, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(three, one, atol=1e-6, rtol=1e-4)
    for name, value in metrics.items():
        assert again[name] == pytest.approx(value, abs=1e-5) and parts[name] == pytest.approx(value, abs=1e-5)


def test_padding_has_no_effect():
    """Observations, actions and rewards after a trial's end do not change the gradient or metrics."""
    training = learner("cartpole_target", dataclasses.replace(cartpole_target.Config(), horizon=30), episodes=2)
    rollout = played(training)
    assert not rollout.valid.all()
    agent = training.agent
    noise = torch.randn(rollout.observation.shape, generator=torch.Generator().manual_seed(1))
    other = dataclasses.replace(
        rollout,
        observation=torch.where(rollout.valid.unsqueeze(-1), rollout.observation, noise),
        action=torch.where(
            rollout.valid.reshape(rollout.valid.shape + (1,) * (rollout.action.dim() - 3)), rollout.action, 0
        ),
    )
    data = agent.trials(rollout)[0]
    one, other = agent.gradient(data), agent.gradient(agent.trials(other)[0])
    assert one[1] == other[1]
    for metrics in (one[1], agent.evaluate(data)):
        mean = float(agent.objective(agent.theta, data)["entropy"].detach()) / int(data.valid.sum())
        assert metrics["entropy"] == pytest.approx(mean, rel=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True))


def test_truncated_backpropagation_changes_the_gradient():
    training = learner(truncation=1)
    agent = training.agent
    data, _ = agent.trials(played(training))
    cut, _ = agent.gradient(data)
    agent.config = dataclasses.replace(agent.config, truncation=0)
    whole, _ = agent.gradient(data)
    names = [name for name, a, b in zip(agent.theta, cut, whole, strict=True) if not torch.allclose(a, b)]
    assert "actor.features.gates.memory" in names


def test_memory_of_a_gradient_is_estimated_in_advance():
    agent = learner(model="qgru").agent
    few, more = (
        saved_bytes(agent.policy, lambda n=n: agent.policy.unroll(agent.policy.bind(), torch.zeros(12, n, 8), None))
        for n in (20, 70)
    )
    assert agent.step_bytes * 12 * 50 == pytest.approx(more - few, rel=0.1)
    with pytest.raises(UsageError, match=r"the gradient of one trial needs about .* GiB, this machine has"):
        learner(model="qgru", episodes=10**7, meta_batch=1)
    with pytest.raises(UsageError, match="a rollout of 1000000 trials of 10,000 steps needs about"):
        learner(episodes=10**4, meta_batch=10**6)
