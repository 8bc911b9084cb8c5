"""RL^2: the network's input at each step: observation, action, reward and episode end."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from agents import rl2
from agents.core.context import build
from agents.core.spec import Spec
from agents.experiment.evaluation import adaptation_curve
from agents.experiment.loop import Training
from agents.experiment.returns import EvaluationPlan
from envs import bandit, pendulum
from tests.support.rl2_training import learner, played, short


class Recording:
    """Act like the learner and record the network's inputs and outputs."""

    def __init__(self, agent):
        self.agent, self.trial_episodes = agent, agent.trial_episodes
        self.begin, self.to_environment, self.observe, self.adapt = (
            agent.begin,
            agent.to_environment,
            agent.observe,
            agent.adapt,
        )
        self.inputs, self.log_probs = [], []

    def act(self, state, observation, generator):
        inputs = self.agent.policy.inputs(observation, state.transition).flatten(0, 1)
        distribution, _ = self.agent.policy.act(state.bound, inputs, state.hidden.flatten(0, 1), None)
        action, state = self.agent.act(state, observation, generator)
        self.inputs.append(inputs)
        self.log_probs.append(self.agent.policy.head.log_prob(distribution, action.flatten(0, 1)))
        return action, state


@pytest.mark.parametrize("options", [{}, {"previous_observation": True}, {"readout": "bilinear"}])
@pytest.mark.parametrize("env", ["bandit", "cartpole_target", "navigation"])
def test_update_uses_the_inputs_and_log_probabilities_of_the_rollout(env, options):
    training = learner(env, env_config=None if env == "bandit" else short(env), **options)
    assert bool(training.agent.policy.actor.n_bilinear) == ("readout" in options)
    recording = Recording(training.agent)
    rollout = played(training, adapter=recording)
    data, _ = training.agent.trials(rollout)
    torch.testing.assert_close(data.inputs, torch.stack(recording.inputs), atol=0, rtol=0)
    valid = data.valid
    stored = torch.stack(recording.log_probs)
    torch.testing.assert_close(data.old_log_prob[valid], stored[valid], atol=1e-6, rtol=0)


def test_next_input_has_action_reward_and_end_across_episodes():
    """Episodes of two pulls, three arms: columns are the observation, action one-hot, reward, ended."""
    training = learner(env_config=bandit.Config(arms=3, horizon=2))
    rollout = played(training)
    inputs = training.agent.inputs(rollout)
    assert inputs.shape == (6, 6, 1 + 3 + 2)
    assert inputs[0].tolist() == [[0.0, 0.0, 0.0, 0.0, 0.0, 1.0]] * 6
    for t, lane in itertools.product(range(1, 6), range(6)):
        action = [float(rollout.action[t - 1, lane, 0] == arm) for arm in range(3)]
        expected = [0.0, *action, float(rollout.reward[t - 1, lane, 0]), float(t % 2 == 0)]
        assert inputs[t, lane].tolist() == expected


def test_previous_observation_is_carried_across_episodes():
    training = learner("cartpole_target", short("cartpole_target"), previous_observation=True)
    policy = training.agent.policy
    rollout = played(training)
    inputs = training.agent.inputs(rollout)
    assert inputs.shape[-1] == 4 + 4 + 2 + 2
    assert (inputs[0, :, 4:8] == 0).all()
    torch.testing.assert_close(inputs[1:, :, 4:8], inputs[:-1, :, :4], atol=0, rtol=0)
    torch.testing.assert_close(inputs[..., :4], policy.normalised(rollout.observation).flatten(1, 2))


def test_rewards_and_values_are_scaled_to_the_units_of_the_family():
    training = learner("pendulum", env_config=pendulum.Config(horizon=4), discount=0.5)
    assert training.distribution.reward_scale == 8.0
    assert training.agent.value_scale == pytest.approx(8 * (1 - 0.5**12) / (1 - 0.5))
    rollout = played(training)
    scaled = training.agent.inputs(rollout)[1:, :, -2]
    torch.testing.assert_close(scaled, rollout.reward[:-1].flatten(1) / 8)


class WinStay(rl2.RL2):
    """Repeat the arm that just paid, else switch; uses only the network's input."""

    def act(self, state, observation, generator):
        last, reward = state.transition[..., :2], state.transition[..., 2]
        first = last.sum(-1) == 0
        other = 1 - last.argmax(-1)
        return torch.where(first, 0, torch.where(reward > 0, last.argmax(-1), other)), state


@pytest.mark.slow
def test_scripted_win_stay_policy_beats_chance_on_one_step_episodes():
    """With two arms win-stay, lose-shift earns E[(p + q - 2 p q) ...] > 0.5 per pull after the first reward."""
    training = learner(env_config=bandit.Config(arms=2), episodes=20)
    agent = training.agent
    win_stay = WinStay(agent.config, agent.policy, 1, 1.0)
    curve = adaptation_curve(win_stay, training.distribution, EvaluationPlan(n_tasks=2000, episodes=1))
    # In the long run p' = E[(p + q - 2 p q) / (2 - p - q)] of p, q ~ U[0, 1], 0.6137 by quadrature.
    assert curve.mean[0] == pytest.approx(0.5, abs=0.03)
    assert np.mean(curve.mean[5:]) == pytest.approx(quadrature(), abs=0.015)


def quadrature():
    x = (np.arange(1000) + 0.5) / 1000
    p, q = np.meshgrid(x, x)
    return float(((p + q - 2 * p * q) / (2 - p - q)).mean())


def test_running_normalisation_follows_the_data_and_is_saved():
    spec = Spec.default(env="pendulum", agent="rl2", model="gru", threads=1, env_config=pendulum.Config(horizon=4))
    policy = dataclasses.replace(spec.policy, normalisation="running")
    config = dataclasses.replace(spec.agent_config, meta_batch=6, minibatches=1)
    training = Training(spec := dataclasses.replace(spec, policy=policy, agent_config=config), *build(spec))
    rollout = played(training)
    rollout = dataclasses.replace(rollout, valid=rollout.valid & (torch.arange(12) < 7)[:, None, None])
    training.agent.update([rollout], [training.agent.begin(6, 1)], 1.0)
    seen = rollout.observation[:7].flatten(0, 2)
    saved = training.agent.state_dict()
    torch.testing.assert_close(saved["buffers/shift"], seen.mean(0))
    torch.testing.assert_close(saved["buffers/scale"], seen.std(0, correction=0))
    inputs = training.agent.inputs(rollout)[:7, :, : seen.shape[1]].flatten(0, 1)
    torch.testing.assert_close(inputs, (seen - seen.mean(0)) / seen.std(0, correction=0))
