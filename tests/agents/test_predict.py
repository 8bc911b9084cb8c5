"""A trained policy where a Stable-Baselines3 model is expected."""

import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.adapted_policy import AdaptedPolicy
from qrl.common.errors import UsageError


def adapted(agent: str, env: str = "cartpole", **options) -> AdaptedPolicy:
    spec = Spec.default(agent=agent, env=env, threads=1)
    spec = dataclasses.replace(spec, agent_config=dataclasses.replace(spec.agent_config, **options))
    distribution, built = build(spec)
    state = built.begin(1, 1)
    return AdaptedPolicy(built, state, torch.Generator().manual_seed(0), distribution.observation_space.shape)


@pytest.mark.parametrize("agent", ["maml", "reinforce", "sb3_ppo"])
def test_evaluate_policy_accepts_the_policy(agent):
    """The returns equal those of the same actions taken one at a time."""
    policy = adapted(agent)
    env = gymnasium.make("CartPole-v1")
    returns, lengths = evaluate_policy(policy, make_vec_env("CartPole-v1", 2, seed=3), 4, return_episode_rewards=True)
    assert returns == lengths and len(returns) == 4
    observation, _ = env.reset(seed=3)
    total, over = 0.0, False
    while not over:
        action, state = policy.predict(observation, deterministic=True)
        assert action.shape == () and state is None
        observation, reward, terminated, truncated, _ = env.step(action)
        total, over = total + float(reward), terminated or truncated
    assert total in returns


def test_deterministic_and_sampled_actions():
    """Deterministic: the most probable action; otherwise sampled with its probability. Batches are row by row."""
    policy = adapted("maml")
    agent, observations = policy._agent, np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    probabilities = agent.policy(torch.as_tensor(observations))["log_probs"].exp().detach()
    batch, state = policy.predict(observations, state=(np.ones(1),), episode_start=np.ones(5), deterministic=True)
    assert batch.tolist() == probabilities.argmax(1).tolist() and state == (np.ones(1),)
    assert [int(policy.predict(row, deterministic=True)[0]) for row in observations] == batch.tolist()
    drawn, _ = policy.predict(np.repeat(observations[:1], 20_000, axis=0))
    assert drawn.mean() == pytest.approx(float(probabilities[0, 1]), abs=0.015)


def test_continuous_action_is_the_clipped_mean():
    policy = adapted("maml", "navigation")
    action, _ = policy.predict(np.zeros(2, dtype=np.float32), deterministic=True)
    agent = policy._agent
    mean = agent.policy(torch.zeros(1, 2))["mean"].detach()
    np.testing.assert_allclose(action, agent.to_environment(mean[None])[0, 0].numpy(), rtol=1e-6)


def test_agents_without_predict_raise_a_clear_error():
    observation = np.zeros(2, dtype=np.float32)
    with pytest.raises(UsageError, match="counts steps, which predict does not receive; use act and observe"):
        adapted("cross_entropy", "navigation").predict(observation)
    _, agent = build(Spec.default(agent="rl2", env="navigation", model="gru"))
    remembering = AdaptedPolicy(agent, agent.begin(1, 1), torch.Generator(), (2,))
    with pytest.raises(UsageError, match="adapts from rewards, which predict does not receive"):
        remembering.predict(observation)
    with pytest.raises(UsageError, match="a Random has no most probable action: use deterministic=False"):
        adapted("random", "navigation").predict(observation, deterministic=True)
    with pytest.raises(UsageError, match="an observation is \\(2,\\) finite numbers"):
        adapted("maml", "navigation").predict(np.zeros(3, dtype=np.float32))
