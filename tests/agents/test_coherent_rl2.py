"""RL^2 on registers: recorded outcomes, exact gradients through the objective, and a critic that sees no state."""

import dataclasses

import pytest
import torch

from agents import rl2
from agents.core.rollout import Rollout
from envs.quantum_memory import Config
from qrl.common.errors import UsageError
from qrl.models import coherent
from tests.support.double_precision import normal
from tests.support.register_trials import (
    PAIR,
    every_history,
    exact_success,
    haar_states,
    inputs_of,
    policy,
    replayed,
)
from tests.support.rl2_training import learner, played

FRAME = Config(mode="symmetry", frame="rz")


def on_registers(env_config=FRAME, episodes=10, n_hidden=8, **options):
    model = coherent.Config(**{"n_layers": 1, "n_hidden": n_hidden, **options})
    return learner("quantum_memory", env_config, "coherent", model, episodes=episodes, meta_batch=40)


@pytest.mark.parametrize(
    ("env_config", "options"),
    [
        (FRAME, {}),
        (FRAME, {"memory": "dephased", "dephasing": 0.5}),
        (FRAME, {"memory": "measured"}),
        (Config(mode="one_shot"), {"measured_wires": (1,)}),
        (Config(mode="match", n_qubits=2), {}),
    ],
)
def test_replayed_trials_have_the_probabilities_of_acting(env_config, options, monkeypatch):
    """Ten episodes. The weights of every outcome are recorded while acting; nothing underflows in float32."""
    training = on_registers(env_config, **options)
    agent = training.agent
    cell, acted = agent.policy.cell, []
    original = type(cell).evolve

    def evolve(self, *args):
        evolved = original(self, *args)
        acted.append(evolved.weights.double() / evolved.weights.double().sum(-1, keepdim=True))
        return evolved

    monkeypatch.setattr(type(cell), "evolve", evolve)
    rollout = played(training)
    monkeypatch.undo()
    data, _ = agent.trials(rollout)
    assert len(acted) == len(data.action) == 10 * training.distribution.horizon
    for t, probabilities in enumerate(acted):
        found = data.old_distribution["outcome_probs"][t, :, : probabilities.shape[-1]].double()
        torch.testing.assert_close(found, probabilities, atol=2e-6, rtol=1e-4)
        chosen = probabilities.gather(-1, data.action[t, :, 1:2]).squeeze(-1).log().float()
        torch.testing.assert_close(data.old_distribution["outcome_log_prob"][t], chosen, atol=1e-4, rtol=1e-3)
    gradient, metrics = agent.gradient(data)
    assert all(each.isfinite().all() for each in gradient)
    assert metrics["kl"] == pytest.approx(0, abs=1e-6) and metrics["clipped"] == 0


def recorded_rollout(recorded):
    """Rollout of recorded trials, one lane per task."""
    valid, ended = torch.ones_like(recorded.reward, dtype=torch.bool), recorded.ended.bool()
    episode = torch.arange(len(valid))[:, None].expand(valid.shape) // 2
    fields = (recorded.observation, recorded.action, recorded.reward, valid, ended, torch.zeros_like(valid), episode)
    return Rollout(*(each.unsqueeze(2) for each in fields))


@pytest.mark.parametrize("memory", ["coherent", "measured"])
def test_gradient_of_the_objective_is_that_of_the_exact_success_rate(memory):
    """All histories on the eigenvectors of both cases, weighted by their probabilities; finite differences."""
    training = on_registers(Config(mode="symmetry"), episodes=1, n_hidden=2, memory=memory)
    agent = training.agent
    agent.policy.double()
    agent.theta = dict(agent.policy.named_parameters())
    agent.config = dataclasses.replace(agent.config, value_weight=0.0, entropy_bonus=0.0)
    exact = exact_success(agent.policy, training.distribution.case_states())
    data, _ = agent.trials(recorded_rollout(exact.recorded))
    torch.testing.assert_close(data.inputs, inputs_of(agent.policy, exact.recorded))
    probability = exact.weight * data.old_log_prob.sum(0).exp()
    found, _ = agent.gradient(dataclasses.replace(data, advantage=probability.expand_as(data.valid)))
    theta = {name: value.detach().clone() for name, value in agent.theta.items()}
    step, largest = 1e-6, 0.0
    for i, (name, gradient) in enumerate(zip(theta, found, strict=True)):
        direction = normal(*gradient.shape, seed=i)
        ahead, behind = (float(exact({**theta, name: theta[name] + s * step * direction})) for s in (1, -1))
        numeric = (ahead - behind) / (2 * step)
        # The objective is a mean over all steps.
        slope = float((gradient * direction).sum()) * data.valid.numel()
        assert slope == pytest.approx(numeric, abs=1e-8), name
        largest = max(largest, abs(numeric))
    assert largest > 1e-3


def test_divergence_is_unbiased_and_exact_for_whole_trials():
    """By the chain rule, the mean over histories of the sum over steps is KL(old || new) of the trial's law."""
    made = policy(PAIR, episodes=1, n_hidden=2, n_layers=1)
    other = {name: value.detach() + 0.1 for name, value in made.named_parameters()}
    recorded = every_history(made, haar_states(PAIR, 1), [0])
    with torch.no_grad():
        old, new = replayed(made, recorded), replayed(made, recorded, other)
        log_p, log_q = (made.head.log_prob(each, recorded.action).sum(0) for each in (old, new))
        # Answers before the last register are equally likely; only answer 0 is recorded.
        p = 2 * log_p.exp()
        assert float(p.sum()) == pytest.approx(1)
        expected = float((p * (log_p - log_q)).sum())
        assert float((p * made.head.kl(old, new).sum(0)).sum()) == pytest.approx(expected, rel=1e-10)
        assert expected > 0.01 and made.head.kl(old, old).abs().max() == 0


def test_entropy_is_that_of_the_answer():
    """Uniform outcomes do not count: the entropy is recomputed from the answers' probabilities."""
    agent = on_registers().agent
    data, _ = agent.trials(played(on_registers()))
    entropy = agent.policy.head.entropy(data.old_distribution)
    answers = data.old_distribution["log_probs"].double()
    torch.testing.assert_close(entropy.double(), -(answers.exp() * answers).sum(-1), atol=1e-6, rtol=1e-5)
    assert entropy.max() <= torch.tensor(2.0).log() + 1e-6


def test_critic_sees_no_amplitudes():
    """Other states with the same records: the same values, and other log-probabilities."""
    training = on_registers()
    agent = training.agent
    data, _ = agent.trials(played(training))
    shuffled = data.inputs.clone()
    amplitudes = agent.policy.registers.amplitudes
    shuffled[..., amplitudes] = data.inputs[..., amplitudes].roll(1, 1)
    before = agent.outputs(agent.theta, data)
    after = agent.outputs(agent.theta, dataclasses.replace(data, inputs=shuffled))
    assert torch.equal(before.value, after.value) and before.value.std() > 0
    name = "outcome_log_prob"
    assert not torch.allclose(before.distribution[name], after.distribution[name])


def test_predicted_reward_is_that_of_the_answer_and_sees_no_amplitudes():
    """At the last register, the entry of the answer given; other states with the same records change nothing."""
    training = learner(
        "quantum_memory", FRAME, "coherent", coherent.Config(n_layers=1, n_hidden=8),
        episodes=3, meta_batch=40, reward_prediction=0.5,
    )  # fmt: skip
    agent, policy = training.agent, training.agent.policy
    data, _ = agent.trials(played(training))
    predicted = agent.outputs(agent.theta, data).reward_outputs
    last = data.inputs[..., policy.registers.amplitudes.stop + policy.registers.n_registers - 1] == 1
    assert predicted.shape[-1] == 2 and (predicted[last] != 0).all() and not predicted[~last].any()
    expected = predicted.gather(-1, data.action[..., :1]).squeeze(-1)
    assert torch.equal(policy.expected_reward(predicted, data.action), expected)
    assert not torch.equal(expected, predicted.gather(-1, 1 - data.action[..., :1]).squeeze(-1))
    shuffled = data.inputs.clone()
    shuffled[..., policy.registers.amplitudes] = data.inputs[..., policy.registers.amplitudes].roll(1, 1)
    again = agent.outputs(agent.theta, dataclasses.replace(data, inputs=shuffled)).reward_outputs
    assert torch.equal(again, predicted)


def test_answers_do_not_depend_on_recorded_errors():
    """Neither policy nor critic observes what happened to the stored register."""
    agent = on_registers(memory="dephased", dephasing=0.5).agent
    action = torch.zeros(1, 2, 3, dtype=torch.int64)
    action[0, 1, 2] = 1
    observation = torch.zeros(1, 2, len(agent.policy.scale))
    reward, ended = torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool)
    one, other = agent.policy.transition_input(observation, action, reward, ended)[0]
    assert torch.equal(one, other)


def test_trials_begin_with_an_empty_memory_and_episodes_with_an_empty_register():
    """The second of two equal episodes has the same outcome probabilities as the first, without a classical memory."""
    training = on_registers(episodes=2, n_hidden=0)
    agent = training.agent
    data, _ = agent.trials(played(training))
    again = rl2.select_trials(data, slice(None))
    amplitudes = agent.policy.registers.arriving.stop
    inputs = data.inputs.clone()
    inputs[2:, :, :amplitudes] = inputs[:2, :, :amplitudes]
    action = torch.cat([data.action[:2], data.action[:2]])
    distribution = agent.outputs(agent.theta, dataclasses.replace(again, inputs=inputs, action=action)).distribution
    for value in distribution.values():
        assert torch.equal(value[:2], value[2:])


def test_truncation_within_an_episode_is_refused():
    """Between episodes it leaves the log-probabilities of outcomes exact, and stops the classical memory's gradient."""
    training = on_registers(episodes=3)
    agent = training.agent
    data, _ = agent.trials(played(training))
    whole, _ = agent.gradient(data)
    agent.config = dataclasses.replace(agent.config, truncation=2)
    cut, _ = agent.gradient(data)
    changed = {n for n, a, b in zip(agent.theta, whole, cut, strict=True) if not torch.allclose(a, b, atol=1e-7)}
    assert "cell.classical.gates.memory" in changed and "cell.angles" not in changed
    agent.config = dataclasses.replace(agent.config, truncation=3)
    with pytest.raises(UsageError, match="truncation must be a multiple of 2, the steps of an episode, not 3"):
        agent.gradient(data)
