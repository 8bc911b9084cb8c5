"""RL^2: advantages over the episodes of a trial, by their definition and by hand."""

import copy
import dataclasses

import pytest
import torch

from agents.core.pytree import leaves
from agents.rl.returns import generalised_advantages, returns_to_go
from tests.support.rl2_training import learner, played, short


def test_exact_values_give_zero_advantages():
    """Reward 1 at every step and V_t = (1 - gamma^(T-t)) / (1 - gamma) give zero advantages."""
    discount, lengths = 0.9, torch.tensor([5, 3])
    time = torch.arange(5).unsqueeze(1)
    valid = time < lengths
    value = torch.where(valid, (1 - discount ** (lengths - time).double()) / (1 - discount), 7.0)
    for decay in (0.0, 0.3, 1.0):
        found = generalised_advantages(valid.double(), value, valid, discount, decay)
        torch.testing.assert_close(found, torch.zeros_like(found), atol=1e-12, rtol=0)


def test_advantages_equal_their_definition():
    generator = torch.Generator().manual_seed(0)
    reward, value = (torch.randn(6, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    valid = torch.arange(6).unsqueeze(1) < torch.tensor([6, 4, 1, 5])
    reward = reward * valid
    found = generalised_advantages(reward, value, valid, 0.8, 0.7)
    for lane, length in enumerate((6, 4, 1, 5)):
        v = [*value[:length, lane].tolist(), 0.0]
        delta = [float(reward[t, lane]) + 0.8 * v[t + 1] - v[t] for t in range(length)]
        for t in range(6):
            expected = sum((0.8 * 0.7) ** k * delta[t + k] for k in range(length - t)) if t < length else 0.0
            assert float(found[t, lane]) == pytest.approx(expected, abs=1e-12)
    returns = generalised_advantages(reward, value, valid, 0.8, 1.0) + value
    torch.testing.assert_close(returns[valid], returns_to_go(reward[:, None], 0.8)[:, 0][valid])


def test_baseline_is_the_mean_over_other_trials_of_the_task():
    """The difference with and without the baseline is the mean over the other trials of the task."""
    training = learner(trials=3)
    agent = training.agent
    assert (agent.n_tasks, agent.n_envs) == (2, 3)
    rollout = played(training)
    found, explained = agent.trials(rollout)
    single_env = copy.copy(agent)
    single_env.n_envs = 1
    plain, same = single_env.trials(rollout)
    assert explained == same and torch.equal(found.target, plain.target)
    raw, against = (data.advantage.unflatten(1, (2, 3)) for data in (plain, found))
    assert plain.valid.all()
    expected = raw - torch.stack([raw[..., [1, 2]], raw[..., [0, 2]], raw[..., [0, 1]]], dim=-2).mean(-1)
    expected = (expected - expected.mean()) / expected.std(correction=0)
    torch.testing.assert_close(against, expected, atol=1e-5, rtol=1e-4)


def test_rewards_of_later_episodes_are_credited_to_earlier_actions():
    training = learner(episodes=2)
    rollout = played(training)
    before, _ = training.agent.trials(rollout)
    reward = rollout.reward.clone()
    reward[1, 0] += 1
    after, _ = training.agent.trials(dataclasses.replace(rollout, reward=reward))
    # Value targets are not standardised: the first rises by gamma lambda times the new reward.
    scale, config = training.agent.value_scale, training.agent.config
    difference = (after.target - before.target)[0] * scale
    assert float(difference[0]) == pytest.approx(config.discount * config.gae_lambda, abs=1e-5)
    assert difference[1:].abs().max() < 1e-6


def test_termination_and_truncation_are_treated_alike():
    """An episode's end of either kind within a trial does not end the trial."""
    training = learner("cartpole_target", short("cartpole_target"))
    rollout = played(training)
    swapped = dataclasses.replace(rollout, terminated=rollout.truncated, truncated=rollout.terminated)
    one, other = (training.agent.trials(each)[0] for each in (rollout, swapped))
    for mine, theirs in zip(leaves(one), leaves(other), strict=True):
        assert torch.equal(mine, theirs)
