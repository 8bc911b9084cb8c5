"""Stable-Baselines3's PPO as an agent: its update is SB3's own, and tasks are fine-tuned separately."""

import dataclasses

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger

from agents.core.collect import collect, collect_episodes
from agents.core.context import build
from agents.core.registry import AGENTS
from agents.core.rollout import Rollout
from agents.core.spec import Spec
from agents.experiment.loop import Training
from envs.core.registry import ENVS
from qrl.models import MODELS
from qrl.sb3 import QuantumActorCriticPolicy


def small(env: str = "cartpole", of_env: dict | None = None, **changes) -> Training:
    env_config = ENVS.load(env).Config(**{"horizon": 12} | (of_env or {}))
    options = {"meta_batch": 2, "episodes": 3, "n_epochs": 2, "batch_size": 16, "fine_batch_size": 8}
    agent = AGENTS.load("sb3_ppo").Config(**options | changes)
    model = MODELS.load("reuploading").Config(n_wires=3, n_layers=2)
    spec = Spec.default(env=env, agent="sb3_ppo", model="reuploading", env_config=env_config, model_config=model)
    spec = dataclasses.replace(spec, agent_config=agent, threads=1, iterations=2)
    return Training(spec, *build(spec))


def rollout_of(training: Training) -> Rollout:
    """Rollout of a training step, without its update."""
    seen: list[Rollout] = []
    update, training.agent.update = training.agent.update, lambda rollouts, *_: seen.extend(rollouts) or {}
    training.step()
    training.agent.update = update
    return seen[0]


@pytest.mark.parametrize("env", ["cartpole", "navigation"])
def test_update_equals_stable_baselines3(env):
    """The same steps, added one by one to a buffer of an ordinary PPO with equal weights."""
    options = {"learning_rate": 1e-3, "clip_range": 0.05, "ent_coef": 0.1, "vf_coef": 0.3, "max_grad_norm": 0.4}
    training = small(env, {"horizon": 20}, gamma=0.9, gae_lambda=0.7, **options)
    agent, rollout = training.agent, rollout_of(training)
    assert rollout.truncated.any() and (env == "navigation" or rollout.terminated.any()), "episodes end either way"
    space = training.distribution
    other = PPO(
        QuantumActorCriticPolicy,
        training.distribution.make(),
        policy_kwargs={
            "model": "reuploading",
            "n_wires": 3,
            "n_layers": 2,
            "observation_scale": space.observation_scale,
        },
        n_epochs=2,
        batch_size=16,
        n_steps=16,
        device="cpu",
        **options,
    )
    other.policy.load_state_dict(agent.policy.state_dict())
    lanes = [(task, lane) for task in range(2) for lane in range(3)]
    length = int(rollout.valid.sum())
    buffer = RolloutBuffer(length, space.observation_space, space.action_space, gae_lambda=0.7, gamma=0.9)
    for task, lane in lanes:
        for t in range(int(rollout.valid[:, task, lane].sum())):
            observation, action = rollout.observation[t, task, lane][None], rollout.action[t, task, lane][None]
            with torch.no_grad():
                value, log_prob, _ = other.policy.evaluate_actions(observation, action)
            reward = rollout.reward[t, task, lane][None]
            if rollout.truncated[t, task, lane] and not rollout.terminated[t, task, lane]:
                with torch.no_grad():
                    reward = reward + 0.9 * other.policy.predict_values(rollout.final[task, lane][None])[0]
            buffer.add(observation.numpy(), action.numpy(), reward.numpy(), np.array([t == 0]), value, log_prob)
    buffer.compute_returns_and_advantage(torch.zeros(1), np.array([True]))
    other.rollout_buffer = buffer
    other.set_logger(Logger(folder=None, output_formats=[]))
    np.random.seed(0)
    other.train()

    state = np.random.get_state()[1].tolist()
    metrics = agent.update([rollout], [agent.begin(2, 3)], 1.0)
    assert np.random.get_state()[1].tolist() == state, "the caller's random numbers are left alone"
    expected, found = other.policy.state_dict(), agent.policy.state_dict()
    assert set(found) == set(expected)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6, msg=name)
    assert metrics["loss"] == pytest.approx(other.logger.name_to_value["train/loss"], rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(("env", "options"), [("cartpole", {}), ("CartPole-v1", {"vary": ("gravity=5:15",)})])
def test_rollouts_include_the_final_observation(env, options, monkeypatch):
    """Native lanes and Gymnasium lanes, which only a reset restarts."""
    training = small(env, {"horizon": 25} | options)
    seen: list[list[torch.Tensor]] = [[] for _ in range(6)]
    lanes = training.distribution.vectorise(2, 3)
    step = lanes.step

    def watched(actions):
        result = step(actions)
        for lane, row in enumerate(result[0]):
            seen[lane].append(row.clone())
        return result

    monkeypatch.setattr(lanes, "step", watched)
    agent = training.agent
    rollout, _ = collect(lanes, agent, agent.begin(2, 3), torch.Generator().manual_seed(3), seed=0, n_tasks=2)
    lengths = rollout.valid.sum(0).flatten().tolist()
    assert min(lengths) < max(lengths) == 25, "episodes of different lengths"
    expected = torch.stack([seen[lane][length - 1] for lane, length in enumerate(lengths)])
    assert torch.equal(rollout.final, expected.unflatten(0, (2, 3)))

    env = training.distribution.make()
    transitions, last = [], env.step

    def watched_single(action):
        result = last(action)
        transitions.append(result)
        return result

    monkeypatch.setattr(env, "step", watched_single)
    limits = {"n_episodes": 3, "max_steps": 25, "seed": 0}
    rollout, _ = collect_episodes(env, agent, agent.begin(1, 1), torch.Generator().manual_seed(3), **limits)
    ends = rollout.valid.sum(0).flatten().cumsum(0).tolist()
    assert np.array_equal(rollout.final[0].numpy(), [transitions[end - 1][0] for end in ends])


def test_tasks_are_fine_tuned_separately_from_the_unchanged_policy():
    training = small()
    agent, rollout = training.agent, rollout_of(training)
    trained = {name: value.clone() for name, value in agent.state_dict().items()}
    both = agent.adapt(agent.adapt(agent.begin(2, 3), rollout), rollout)
    assert all(torch.equal(value, trained[name]) for name, value in agent.state_dict().items())
    for task in range(2):
        columns = {name: column[:, task : task + 1] for name, column in vars(rollout).items() if name != "final"}
        own = Rollout(**columns, final=rollout.final[task : task + 1])
        separate = agent.adapt(agent.adapt(agent.begin(1, 3), own), own)
        for name, value in separate.policies[0][0].items():
            assert torch.equal(value, both.policies[task][0][name]), name
        weights = separate.policies[0][0]
        assert not torch.equal(weights["action_net.weight"], trained["params/action_net.weight"])
    observation = torch.zeros(2, 3, 4)
    with agent._trained_state_restored():
        agent._load(*both.policies[1])
        expected = agent._draw(observation[1], torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    first, _ = agent.act(dataclasses.replace(both, policies=both.policies[1:]), observation[1:], generator)
    assert torch.equal(first[0], expected)


def test_states_are_immutable_values():
    """Including optimiser moments: continuing from a state twice gives the same result."""
    training = small()
    agent, rollout = training.agent, rollout_of(training)
    once = agent.adapt(agent.begin(2, 3), rollout)
    first, second = (agent.adapt(once, rollout).policies[1][0] for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_actions_follow_the_policys_distribution():
    """Mean and standard deviation of continuous actions over many samples; clipped only for the environment."""
    agent = small("navigation").agent
    with torch.no_grad():
        agent.policy.log_std.fill_(-1.0)
    observation = torch.tensor([0.3, -0.2]).expand(1, 20_000, 2)
    action, _ = agent.act(agent.begin(1, 20_000), observation, torch.Generator().manual_seed(0))
    mean = agent.policy.get_distribution(observation[0, :1]).distribution.mean[0]
    torch.testing.assert_close(action[0].mean(0), mean, rtol=0, atol=0.012)
    torch.testing.assert_close(action[0].std(0), torch.full((2,), float(np.exp(-1))), rtol=0.03, atol=0)
    low, high = agent.space.low, agent.space.high
    assert np.allclose(agent.to_environment(torch.full((1, 1, 2), 50.0)).numpy(), high) and (low < 0).all()
