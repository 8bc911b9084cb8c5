"""RL^2: what the network is told, its advantages and gradients, and that trials do not touch each other."""

import copy
import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch

from agents import rl2
from agents.cli.options import parse_train
from agents.core.agent import InContextAgent
from agents.core.context import build
from agents.core.pytree import leaves
from agents.core.rollout import Rollout
from agents.core.spec import Spec, default_config
from agents.experiment.evaluation import EvaluationPlan, adaptation_curve
from agents.experiment.loop import Training, collect_and_adapt
from agents.experiment.memory_ablation import MemoryAblation
from agents.rl.memory import saved_bytes
from agents.rl.returns import generalised_advantages, returns_to_go
from envs import bandit, cartpole_target, navigation, pendulum
from qrl.common.errors import UsageError
from qrl.models import gru, mlp, qgru


def learner(env="bandit", env_config=None, model="gru", model_config=None, **options):
    config = dataclasses.replace(rl2.Config(meta_batch=6, minibatches=1, episodes=3), **options)
    parts = {"env_config": env_config, "model_config": model_config}
    given = {name: part for name, part in parts.items() if part is not None}
    spec = Spec.default(env=env, agent="rl2", model=model, agent_config=config, threads=1, **given)
    return Training(spec, *build(spec))


def played(training, seed=0, adapter=None):
    """A rollout of the learner, or of another adapter, on train tasks."""
    agent = adapter or training.agent
    rngs = [np.random.default_rng(seed + i) for i in (0, 1)]
    tasks = training.distribution.sample(training.agent.n_tasks, "train", rngs[0])
    generator = torch.Generator().manual_seed(seed)
    (rollout,), _ = collect_and_adapt(training.env, agent, tasks, 1, rngs[1], generator)
    return rollout


class Recording:
    """Plays as the learner does and writes down what its network was given and what it said."""

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


# --- what the network is told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"previous_observation": True}, {"readout": "bilinear"}])
@pytest.mark.parametrize("env", ["bandit", "cartpole_target", "navigation"])
def test_inputs_and_log_probabilities_of_the_update_are_those_of_the_rollout(env, options):
    training = learner(env, env_config=None if env == "bandit" else short(env), **options)
    assert bool(training.agent.policy.actor.n_bilinear) == ("readout" in options)
    recording = Recording(training.agent)
    rollout = played(training, adapter=recording)
    data, _ = training.agent.trials(rollout)
    torch.testing.assert_close(data.inputs, torch.stack(recording.inputs), atol=0, rtol=0)
    valid = data.valid
    stored = torch.stack(recording.log_probs)
    torch.testing.assert_close(data.old_log_prob[valid], stored[valid], atol=1e-6, rtol=0)


def short(env):
    plugin = {"cartpole_target": cartpole_target, "navigation": navigation}[env]
    return dataclasses.replace(plugin.Config(), horizon=7)


def test_the_next_input_holds_action_reward_and_end_also_over_the_end_of_an_episode():
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


def test_the_previous_observation_is_that_of_the_step_before_also_over_the_end_of_an_episode():
    training = learner("cartpole_target", short("cartpole_target"), previous_observation=True)
    policy = training.agent.policy
    rollout = played(training)
    inputs = training.agent.inputs(rollout)
    assert inputs.shape[-1] == 4 + 4 + 2 + 2
    assert (inputs[0, :, 4:8] == 0).all()
    torch.testing.assert_close(inputs[1:, :, 4:8], inputs[:-1, :, :4], atol=0, rtol=0)
    torch.testing.assert_close(inputs[..., :4], policy.normalised(rollout.observation).flatten(1, 2))


def test_rewards_are_told_and_values_predicted_in_units_of_the_familys_own():
    training = learner("pendulum", env_config=pendulum.Config(horizon=4), discount=0.5)
    assert training.distribution.reward_scale == 8.0
    assert training.agent.value_scale == pytest.approx(8 * (1 - 0.5**12) / (1 - 0.5))
    rollout = played(training)
    told = training.agent.inputs(rollout)[1:, :, -2]
    torch.testing.assert_close(told, rollout.reward[:-1].flatten(1) / 8)


class WinStay(rl2.RL2):
    """Chooses by what the network is told alone: the arm that just paid again, else the other one."""

    def act(self, state, observation, generator):
        last, reward = state.transition[..., :2], state.transition[..., 2]
        first = last.sum(-1) == 0
        other = 1 - last.argmax(-1)
        return torch.where(first, 0, torch.where(reward > 0, last.argmax(-1), other)), state


@pytest.mark.slow
def test_a_scripted_win_stay_player_beats_chance_on_one_step_episodes():
    """With two arms win-stay, lose-shift earns E[(p + q - 2 p q) ...] > 0.5 a pull once it has seen a reward."""
    training = learner(env_config=bandit.Config(arms=2), episodes=20)
    agent = training.agent
    player = WinStay(agent.config, agent.policy, 1, 1.0)
    curve = adaptation_curve(player, training.distribution, EvaluationPlan(n_tasks=2000, episodes=1))
    # In the long run p' = E[(p + q - 2 p q) / (2 - p - q)] of p, q ~ U[0, 1], 0.6137 by quadrature.
    assert curve.mean[0] == pytest.approx(0.5, abs=0.03)
    assert np.mean(curve.mean[5:]) == pytest.approx(quadrature(), abs=0.015)


def quadrature():
    x = (np.arange(1000) + 0.5) / 1000
    p, q = np.meshgrid(x, x)
    return float(((p + q - 2 * p * q) / (2 - p - q)).mean())


# --- advantages -------------------------------------------------------------------------------------------------------


def test_right_values_leave_no_advantage():
    """Reward 1 at every step and V_t = (1 - gamma^(T-t)) / (1 - gamma): nothing is better than expected."""
    discount, lengths = 0.9, torch.tensor([5, 3])
    time = torch.arange(5).unsqueeze(1)
    valid = time < lengths
    value = torch.where(valid, (1 - discount ** (lengths - time).double()) / (1 - discount), 7.0)
    for decay in (0.0, 0.3, 1.0):
        found = generalised_advantages(valid.double(), value, valid, discount, decay)
        torch.testing.assert_close(found, torch.zeros_like(found), atol=1e-12, rtol=0)


def test_advantages_equal_the_sum_that_defines_them():
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


def test_trials_of_a_task_are_read_against_the_others():
    """The same rollout with and without: what is taken off is the mean over the other trials of the task."""
    training = learner(trials=3)
    agent = training.agent
    assert (agent.n_tasks, agent.n_envs) == (2, 3)
    rollout = played(training)
    found, explained = agent.trials(rollout)
    alone = copy.copy(agent)
    alone.n_envs = 1
    plain, same = alone.trials(rollout)
    assert explained == same and torch.equal(found.target, plain.target)
    worth, against = (data.advantage.unflatten(1, (2, 3)) for data in (plain, found))
    assert plain.valid.all()
    expected = worth - torch.stack([worth[..., [1, 2]], worth[..., [0, 2]], worth[..., [0, 1]]], dim=-2).mean(-1)
    expected = (expected - expected.mean()) / expected.std(correction=0)
    torch.testing.assert_close(against, expected, atol=1e-5, rtol=1e-4)


def test_the_second_episodes_reward_counts_for_the_first_ones_actions():
    training = learner(episodes=2)
    rollout = played(training)
    before, _ = training.agent.trials(rollout)
    reward = rollout.reward.clone()
    reward[1, 0] += 1
    after, _ = training.agent.trials(dataclasses.replace(rollout, reward=reward))
    # Targets of values are not standardised: gamma times the new reward, and the value of a step told of none of it.
    scale, config = training.agent.value_scale, training.agent.config
    difference = (after.target - before.target)[0] * scale
    assert float(difference[0]) == pytest.approx(config.discount * config.gae_lambda, abs=1e-5)
    assert difference[1:].abs().max() < 1e-6


def test_how_an_episode_ended_makes_no_difference():
    """An end of either kind within a trial is none of the trial's."""
    training = learner("cartpole_target", short("cartpole_target"))
    rollout = played(training)
    swapped = dataclasses.replace(rollout, terminated=rollout.truncated, truncated=rollout.terminated)
    one, other = (training.agent.trials(each)[0] for each in (rollout, swapped))
    for mine, theirs in zip(leaves(one), leaves(other), strict=True):
        assert torch.equal(mine, theirs)


# --- the gradient -----------------------------------------------------------------------------------------------------


def test_the_gradient_enumerated_over_all_trials_is_that_of_the_expected_return():
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


def test_the_objective_is_surrogate_bonus_and_squared_error():
    """All sums computed again from logits and values, at other parameters than those that played."""
    env_config = dataclasses.replace(cartpole_target.Config(), horizon=11)
    training = learner("cartpole_target", env_config, entropy_bonus=0.3, value_weight=0.7, clip=0.1)
    agent = training.agent
    data, _ = agent.trials(played(training))
    assert not data.valid.all()
    # Padded steps lie beyond the clip range, so that counting them is seen.
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
def test_the_error_of_predicted_rewards_is_taken_off_the_objective(env, memories):
    """Of the action that was taken: an output of its own if discrete, else linear in it."""
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
def test_predicting_rewards_teaches_the_memory_what_pays():
    """Random pulls of two arms, with nothing but the prediction to learn from."""
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
    # Blind, a pull's reward has a variance of 1/4; known odds leave E[p (1 - p)] = 1/6.
    assert 1 / 6 < metrics["reward_loss"] < 0.23


def test_no_gradient_goes_from_one_trial_to_another():
    agent = learner(model="qgru").agent
    inputs = torch.randn(5, 4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    distribution, value, _ = agent.policy.unroll(agent.policy.bind(), inputs, None)
    loss = distribution["log_probs"][:, 1].square().sum() + value[:, 1].sum()
    seen = torch.autograd.grad(loss, inputs)[0].abs().sum((0, 2))
    assert seen[1] > 0 and seen[[0, 2, 3]].tolist() == [0.0, 0.0, 0.0]


def test_shuffled_trials_and_smaller_chunks_give_the_same_gradient():
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


def test_padding_counts_for_nothing():
    """Other observations, actions and rewards after a trial's end leave gradient and metrics as they are."""
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


def test_an_update_equals_one_written_out_trial_by_trial():
    """The whole of it, from what was played to where the parameters go and what is reported, without any padding."""
    env_config = dataclasses.replace(cartpole_target.Config(), horizon=11)
    config = {"meta_batch": 4, "minibatches": 2, "epochs": 2}
    config |= {"entropy_bonus": 0.02, "discount": 0.97, "gae_lambda": 0.9}
    config |= {"lr_angles": 0.003, "lr_scales": 0.001, "lr_heads": 0.01}
    training = learner("cartpole_target", env_config, "qgru", qgru.Config(n_wires=2, n_hidden=4), **config)
    agent = training.agent
    rollout = played(training)
    lengths = rollout.valid.sum(0).flatten().tolist()
    assert len(set(lengths)) > 1
    params = {name: value.detach().clone().requires_grad_() for name, value in agent.theta.items()}
    scale = training.distribution.reward_scale * sum(0.97**t for t in range(33))

    def network(name, inputs):
        """Outputs at each step of one trial, of the features and the read-out as modules."""
        own = {key.removeprefix(f"{name}."): value for key, value in params.items() if key.startswith(f"{name}.")}
        features = {k.removeprefix("features."): value for k, value in own.items() if k.startswith("features.")}
        module = getattr(agent.policy, name).features
        memory, rows = torch.zeros(1, module.n_memory), []
        for each in inputs:
            seen, memory = torch.func.functional_call(module, features, (each[None], memory))
            rows.append(seen[0] @ own["readout.weight"].T + own["readout.bias"])
        return torch.stack(rows)

    def trial(lane):
        """Log-probabilities of all actions, and values."""
        inputs, told = [], torch.tensor([0.0, 0.0, 0.0, 1.0])
        for t in range(lengths[lane]):
            inputs.append(torch.cat([rollout.observation[t, lane, 0] / training.distribution.observation_scale, told]))
            push = int(rollout.action[t, lane, 0])
            ended = float(rollout.terminated[t, lane, 0] | rollout.truncated[t, lane, 0])
            reward = float(rollout.reward[t, lane, 0]) / training.distribution.reward_scale
            told = torch.tensor([float(push == 0), float(push == 1), reward, ended])
        logits = network("actor", inputs) * params["head.log_inverse_temperature"].exp()
        return logits.log_softmax(-1), network("critic", inputs)[:, 0]

    lanes = range(4)
    with torch.no_grad():
        old, values = zip(*map(trial, lanes), strict=True)
    advantages, targets = [], []
    for lane in lanes:
        value = np.append(scale * values[lane].numpy(), 0.0)
        reward = rollout.reward[: lengths[lane], lane, 0].numpy()
        delta = reward + 0.97 * value[1:] - value[:-1]
        advantage = [sum((0.97 * 0.9) ** k * d for k, d in enumerate(delta[t:])) for t in range(len(delta))]
        advantages.append(np.array(advantage))
        targets.append(torch.as_tensor((advantages[-1] + value[:-1]) / scale, dtype=torch.float32))
    pooled = np.concatenate(advantages)
    explained = 1 - pooled.var() / (scale * torch.cat(targets).numpy()).var()

    def objective(lanes):
        """Means over the steps of these trials."""
        sums = dict.fromkeys(("surrogate", "entropy", "value_loss", "kl", "clipped"), 0.0)
        for lane in lanes:
            log_probs, value = trial(lane)
            taken = rollout.action[: lengths[lane], lane, 0].long()[:, None]
            ratio = (log_probs - old[lane]).gather(1, taken)[:, 0].exp()
            advantage = torch.as_tensor((advantages[lane] - pooled.mean()) / pooled.std(), dtype=torch.float32)
            sums["surrogate"] += torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).sum()
            sums["entropy"] -= (log_probs.exp() * log_probs).sum()
            sums["value_loss"] += (value - targets[lane]).square().sum()
            sums["kl"] += (old[lane].exp() * (old[lane] - log_probs)).sum()
            sums["clipped"] += float(((ratio > 1.2) | (ratio < 0.8)).sum())
        mean = {name: value / sum(lengths[lane] for lane in lanes) for name, value in sums.items()}
        mean["loss"] = -mean.pop("surrogate") - 0.02 * mean["entropy"] + 0.5 * mean["value_loss"]
        return mean

    options = agent.config
    rates = {"angles": options.lr_angles, "scales": options.lr_scales, "heads": options.lr_heads}
    adam = torch.optim.Adam([{"params": [value], "lr": 0.7 * rates[group_of(name)]} for name, value in params.items()])
    for half in (0, 1, 0, 1):
        adam.zero_grad()
        expected = objective(lanes[half::2])
        expected["loss"].backward()
        norm = torch.nn.utils.clip_grad_norm_(params.values(), options.max_grad_norm)
        adam.step()
    expected |= {"kl": objective(lanes)["kl"], "grad_norm": norm, "explained_variance": explained}

    found = agent.update([rollout], [agent.begin(4, 1)], 0.7)
    assert 0 < found["kl"] < options.target_kl  # nothing was taken back
    assert found == pytest.approx(
        {name: float(torch.as_tensor(value).detach()) for name, value in expected.items()}, abs=1e-5, rel=1e-4
    )
    for name, value in params.items():
        torch.testing.assert_close(agent.theta[name], value, atol=1e-5, rtol=0, msg=name)


def group_of(name):
    """Learning-rate group by what a parameter is called: circuits' angles, what scales their inputs, and the rest."""
    if name.endswith((".projection", ".scales")):
        return "scales"
    return "angles" if name.endswith(".weights") else "heads"


def test_running_normalisation_is_of_what_was_seen_and_is_saved():
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


def test_truncation_reaches_the_gradient():
    training = learner(truncation=1)
    agent = training.agent
    data, _ = agent.trials(played(training))
    cut, _ = agent.gradient(data)
    agent.config = dataclasses.replace(agent.config, truncation=0)
    whole, _ = agent.gradient(data)
    names = [name for name, a, b in zip(agent.theta, cut, whole, strict=True) if not torch.allclose(a, b)]
    assert "actor.features.gates.memory" in names


def test_actions_are_drawn_and_not_the_likeliest_ones():
    training = learner(meta_batch=300)
    state = training.agent.begin(300, 1)
    action, _ = training.agent.act(state, torch.zeros(300, 1, 1), torch.Generator().manual_seed(0))
    counts = torch.bincount(action.flatten(), minlength=5)
    assert counts.min() > 30 and counts.max() < 90  # 60 each, as all arms are alike before anything is learned


def test_the_memory_that_a_gradient_takes_is_known_before():
    agent = learner(model="qgru").agent
    few, more = (
        saved_bytes(agent.policy, lambda n=n: agent.policy.unroll(agent.policy.bind(), torch.zeros(12, n, 8), None))
        for n in (20, 70)
    )
    assert agent.step_bytes * 12 * 50 == pytest.approx(more - few, rel=0.1)
    with pytest.raises(UsageError, match=r"the gradient of one trial needs about .* GiB, this machine has"):
        learner(episodes=10**8, meta_batch=1)
    with pytest.raises(UsageError, match="playing 1000000 trials of 10,000 steps needs about"):
        learner(episodes=10**4, meta_batch=10**6)


# --- trials -----------------------------------------------------------------------------------------------------------


class FirstLaneFalls(rl2.RL2):
    """Pushes one way in the first lane, so that its episodes end soon."""

    def act(self, state, observation, generator):
        action, state = super().act(state, observation, generator)
        action[0] = 0
        return action, state


@pytest.mark.parametrize("seed", range(4))
def test_a_lane_whose_trial_ends_leaves_the_others_to_the_last_bit(seed):
    """The same trials beside a lane whose episodes end at other times."""
    training = learner("cartpole_target", dataclasses.replace(cartpole_target.Config(), horizon=40), meta_batch=4)
    agent = training.agent
    falls = FirstLaneFalls(agent.config, agent.policy, 40, 1.0)
    one, other = (played(training, seed, adapter) for adapter in (agent, falls))
    ends = [(rollout.terminated | rollout.truncated)[:, 0].flatten().nonzero().tolist() for rollout in (one, other)]
    assert all(later[0] > sooner[0] for later, sooner in zip(*ends, strict=True))
    length = int(one.valid[:, 1:].sum(0).max())
    for name in ("observation", "action", "reward", "valid", "episode"):
        a, b = (getattr(each, name)[:length, 1:] for each in (one, other))
        assert torch.equal(a[one.valid[:length, 1:]], b[one.valid[:length, 1:]]), name


def test_memory_lasts_over_episodes_and_not_over_trials():
    training = learner(episodes=4)
    agent = training.agent
    state = agent.begin(2, 3)
    assert isinstance(agent, InContextAgent) and isinstance(MemoryAblation(agent), InContextAgent)
    assert not state.hidden.any() and state.transition[..., -1].all() and state.transition.sum() == 6
    generator = torch.Generator().manual_seed(0)
    action, acted = agent.act(state, torch.zeros(2, 3, 1), generator)
    ended = torch.tensor([[True, False, True], [False, True, False]])
    after = agent.observe(acted, action, torch.ones(2, 3), ended, torch.zeros(2, 3, 1))
    assert after.hidden.any(-1).all() and torch.equal(after.transition[..., -1], ended.float())
    forgotten = agent.forget(after, ended)
    assert torch.equal(forgotten.hidden.any(-1), ~ended)
    assert torch.equal(forgotten.transition[ended], state.transition[ended])
    assert torch.equal(forgotten.transition[~ended], after.transition[~ended])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "config", "iterations"),
    [("gru", gru.Config(n_hidden=8), 25), ("qgru", qgru.Config(n_hidden=16, n_wires=2), 20)],
)
def test_learns_to_find_the_paying_arm_and_forgets_it_with_its_memory(model, config, iterations):
    """Two arms, ten pulls: a player without a memory earns 0.5 a pull, this one comes to 0.6."""
    two = bandit.Config(arms=2)
    rates = {"lr_angles": 0.01, "lr_scales": 0.01, "lr_heads": 0.01}  # fast: the trials are short
    training = learner(env_config=two, model=model, model_config=config, episodes=10, meta_batch=256, **rates)
    for _ in range(iterations):
        training.step()
    curves = [
        adaptation_curve(agent, training.distribution, EvaluationPlan(n_tasks=1000, episodes=1))
        for agent in (training.agent, MemoryAblation(training.agent))
    ]
    learned, forgetful = (np.array(curve.mean) for curve in curves)
    assert learned[-3:].mean() > learned[0] + 0.06
    assert abs(forgetful[-3:].mean() - forgetful[0]) < 0.04


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"minibatches": 300}, r"200 trials \(meta_batch\) cannot be 300 minibatches"),
        ({"discount": 1.5}, r"discount must be in \(0, 1\]"),
        ({"gae_lambda": -0.1}, r"gae_lambda must be in \[0, 1\]"),
        ({"value_weight": float("inf")}, "value_weight must be finite and not negative"),
        ({"truncation": -1}, "truncation must be not negative"),
        ({"memory_budget": 0.0}, "memory_budget must be finite and positive"),
        ({"trials": 0}, "trials must be at least 1"),
        ({"trials": 3}, r"200 trials \(meta_batch\) are not 3 \(trials\) of each task"),
        ({"clip": 0.0}, "clip must be finite and positive"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(UsageError, match=f"agent rl2: {message}"):
        rl2.Config(**options)


def test_the_model_is_the_agents_own_unless_another_is_named():
    assert Spec.default(agent="rl2").model == "qgru" == Spec.from_json({"agent": "rl2"}).model
    assert Spec.default(agent="rl2", model="gru").model == "gru"
    assert Spec.default(agent="maml").model == "reuploading"
    with pytest.raises(UsageError, match="model 'mlp' has no memory"):
        learner(model="mlp", model_config=mlp.Config())


def test_trials_are_longer_where_episodes_are_short():
    import agents.rl2 as plugin

    assert default_config(plugin, "bandit").episodes == 10
    assert default_config(plugin, "navigation") == rl2.Config()


def test_minibatches_are_all_trials_in_turn(monkeypatch):
    training = learner(minibatches=3, epochs=2, target_kl=0.0)
    seen = []
    original = rl2.RL2.gradient
    monkeypatch.setattr(rl2.RL2, "gradient", lambda self, data: seen.append(data) or original(self, data))
    rollout = played(training)
    training.agent.update([rollout], [training.agent.begin(6, 1)], 1.0)
    assert len(seen) == 6 and all(data.valid.shape == (3, 2) for data in seen)
    together = torch.stack([data.action for data in seen[:3]], dim=-1).flatten(1)
    assert torch.equal(together, rollout.action.flatten(1, 2))


def test_actor_and_critic_share_a_memory_or_do_not():
    separate, shared = (learner(memories=kind).agent.policy for kind in ("separate", "shared"))
    assert shared.critic is None and separate.critic is not None
    assert not any("critic" in name for name, _ in shared.named_parameters())
    critic_too = [name for name, _ in separate.named_parameters() if name.startswith("critic.")]
    assert critic_too and shared.n_parameters < separate.n_parameters
    inputs = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0))
    for policy in (separate, shared):
        _, value, _ = policy.unroll(policy.bind(), inputs, None)
        gradients = torch.autograd.grad(value.sum(), list(policy.parameters()), allow_unused=True)
        touched = {
            n for (n, _), g in zip(policy.named_parameters(), gradients, strict=True) if g is not None and g.any()
        }
        actors = {name for name in touched if name.startswith("actor.features")}
        assert bool(actors) == (policy.critic is None)


def test_options_saved_for_the_agents_own_model_stay_when_it_is_named(tmp_path):
    saved = tmp_path / "saved.json"
    saved.write_text(json.dumps({"agent": "rl2", "model_config": {"n_hidden": 8}}))
    spec, _ = parse_train(["--config", str(saved), "--model", "qgru"])
    assert spec.model == "qgru" and spec.model_config.n_hidden == 8
