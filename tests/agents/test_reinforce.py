"""REINFORCE and the published read-outs: numbers by hand, the gradient by an independent computation."""

import dataclasses

import pytest
import torch

from agents.core.context import build
from agents.core.registry import AGENTS
from agents.core.spec import Spec
from agents.experiment.evaluation import adaptation_curve
from agents.experiment.loop import Training
from agents.experiment.returns import EvaluationPlan
from agents.rl.returns import standard_scores
from envs.core.registry import ENVS
from qrl.common.errors import TrainingError, UsageError
from qrl.models import MODELS
from qrl.policies.actor import PolicyConfig
from tests.support.trained_parameters import trained

PUBLISHED = PolicyConfig(readout_start="alternating", readout_bias=False, inverse_temperature="fixed")


def small(standardise="episode", discount=1.0, meta_batch=1, **changes) -> Spec:
    env = ENVS.load("cartpole").Config(horizon=30, varies=False)
    agent = AGENTS.load("reinforce").Config(
        episodes=4, standardise_returns=standardise, discount=discount, meta_batch=meta_batch, **changes
    )
    spec = Spec.default(env="cartpole", agent="reinforce", model="jerbi", env_config=env, agent_config=agent)
    return dataclasses.replace(spec, policy=PUBLISHED, threads=1, iterations=2)


def test_standard_scores_by_hand():
    """Two episodes of one task, with three steps and two; padding is ignored."""
    returns = torch.tensor([[[3.0, 2.0, 1.0], [2.0, 0.0, 9.0]]])
    valid = torch.tensor([[[True, True, True], [True, True, False]]])
    third = 1.5**0.5
    by_episode = standard_scores(returns, valid, per_episode=True)
    torch.testing.assert_close(by_episode, torch.tensor([[[third, 0.0, -third], [1.0, -1.0, 0.0]]]))
    # All five: mean 1.6, variance 1.04.
    of_all = torch.tensor([[[1.4, 0.4, -0.6], [0.4, -1.6, 0.0]]]) / 1.04**0.5
    torch.testing.assert_close(standard_scores(returns, valid, per_episode=False), of_all)
    assert standard_scores(torch.ones(1, 1, 1), valid[:, :1, :1], per_episode=True).item() == 0  # one step only


@pytest.mark.parametrize(
    ("standardise", "discount", "meta_batch"), [("episode", 1.0, 1), ("batch", 0.9, 2), ("none", 1.0, 2)]
)
def test_gradient_equals_the_formula(standardise, discount, meta_batch):
    """Sum over episodes and steps, from the policy's own probabilities."""
    spec = small(standardise, discount, meta_batch)
    training = Training(spec, *build(spec))
    agent, seen = training.agent, []
    agent.update = lambda rollouts, states, remaining: seen.extend(rollouts) or {}
    training.step()
    (rollout,) = seen
    gradient, metrics = agent.gradient(rollout)

    episodes = []
    for task in range(meta_batch):
        for env in range(4):
            length = int(rollout.valid[:, task, env].sum())
            rewards = rollout.reward[:length, task, env].tolist()
            returns = [sum(discount ** (u - t) * rewards[u] for u in range(t, length)) for t in range(length)]
            episodes.append((task, env, torch.tensor(returns)))
    whole = torch.cat([returns for *_, returns in episodes])
    policy = agent.policy
    objective = 0.0
    for task, env, returns in episodes:
        if standardise != "none":
            among = returns if standardise == "episode" else whole
            returns = (returns - among.mean()) / (among.std(correction=0) + 1e-8)
        steps = len(returns)
        probabilities = policy(rollout.observation[:steps, task, env])["log_probs"]
        taken = probabilities[torch.arange(steps), rollout.action[:steps, task, env]]
        objective = objective + (taken * returns).sum() / len(episodes)
    objective.backward()
    assert metrics["loss"] == pytest.approx(-float(objective.detach()), rel=1e-4, abs=1e-5)
    for each, parameter in zip(gradient, policy.parameters(), strict=True):
        torch.testing.assert_close(each, parameter.grad, rtol=1e-3, atol=1e-5)


def test_update_is_an_adam_step_with_the_group_rates():
    """Adam's first step equals its learning rate for any gradient; the rate is not annealed."""
    spec = small()
    agent = Training(spec, *build(spec)).agent
    before = {name: value.detach().clone() for name, value in trained(agent).items()}
    Training(spec, build(spec)[0], agent).step()
    rates = {"features.weights": 0.01, "features.scales": 0.1, "readout.weight": 0.1}
    assert set(before) == set(rates)
    for name, rate in rates.items():
        moved = (trained(agent)[name].detach() - before[name]).abs()
        assert moved.max().item() == pytest.approx(rate, rel=1e-3), name
        assert sum(v.numel() for v in before.values()) == 94


def test_published_readout_is_the_softmax_of_signed_weights():
    """w = [+1, -1], no bias, beta = 1: the log odds are twice the expectation value."""
    _, agent = build(small())
    policy, observations = agent.policy, torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    values = policy.features(policy.normalised(observations))[:, 0]
    log_probs = policy(observations)["log_probs"]
    torch.testing.assert_close(log_probs[:, 0] - log_probs[:, 1], 2 * values)
    assert policy.scale.tolist() == pytest.approx([2.4, 2.5, 0.21, 2.5])


def test_budget_counts_the_readout_parameters():
    """4 inputs, one hidden layer of w: 7 w without biases of the read-out and temperature, 7 w + 3 with them."""
    spec = small()
    model = MODELS.load("mlp").Config(budget=95, depth=1)
    for policy, expected in ((PUBLISHED, 98), (PolicyConfig(), 94)):
        _, agent = build(dataclasses.replace(spec, model="mlp", model_config=model, policy=policy))
        assert agent.policy.n_parameters == expected


def test_evaluation_repeats_the_single_task():
    distribution, agent = build(small())
    curve = adaptation_curve(agent, distribution, EvaluationPlan(n_tasks=3, steps=1, episodes=2))
    assert curve.n_tasks == 3 and len({tuple(row) for row in curve.per_task}) == 3
    tasks = distribution.sample(3, "test")
    assert tasks.rows() == [{"force": 10.0, "gravity": 9.8, "length": 0.5, "masscart": 1.0, "masspole": 0.1}] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"readout_start": "alternate"}, "unknown readout_start 'alternate'; did you mean 'alternating'"),
        ({"inverse_temperature": "free"}, "unknown inverse_temperature 'free'"),
    ],
)
def test_invalid_options_of_the_readout(options, message, unchecked):
    with pytest.raises(UsageError, match=message):
        PolicyConfig(**options)


def test_temperature_requires_discrete_actions():
    spec = dataclasses.replace(Spec.default(env="navigation"), policy=PUBLISHED)
    with pytest.raises(UsageError, match="inverse_temperature applies to discrete actions only"):
        build(spec)


@pytest.mark.parametrize("value", [0.441213, 0.97, 1e-6, 500.0])
@pytest.mark.parametrize("per_episode", [True, False])
def test_equal_returns_have_zero_standard_scores(value, per_episode):
    """This occurs with a reward only at the end: the mean of equal numbers differs from them by rounding."""
    returns, valid = torch.full((2, 3, 20), value), torch.ones(2, 3, 20, dtype=torch.bool)
    assert not standard_scores(returns, valid, per_episode=per_episode).any()
    returns[..., 0] *= 1.01
    assert standard_scores(returns, valid, per_episode=per_episode).any()


def test_standardising_within_episodes_is_rejected_for_terminal_rewards():
    agent = AGENTS.load("reinforce").Config(standardise_returns="episode", episodes=3)
    spec = Spec.default(env="qubit_control", agent="reinforce", model="jerbi", agent_config=agent)
    with pytest.raises(TrainingError, match=r"^all returns within an episode are equal.*batch$"):
        Training(spec, *build(spec)).step()
