"""RL^2: a whole update, written out trial by trial, and its minibatches."""

import dataclasses

import numpy as np
import pytest
import torch

from agents import rl2
from envs import cartpole_target
from qrl.models import qgru
from tests.support.rl2_training import learner, played


def test_update_equals_a_reference_implementation_trial_by_trial():
    """The whole update without padding: from rollout to new parameters and metrics."""
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
        inputs, transition = [], torch.tensor([0.0, 0.0, 0.0, 1.0])
        for t in range(lengths[lane]):
            inputs.append(
                torch.cat([rollout.observation[t, lane, 0] / training.distribution.observation_scale, transition])
            )
            push = int(rollout.action[t, lane, 0])
            ended = float(rollout.terminated[t, lane, 0] | rollout.truncated[t, lane, 0])
            reward = float(rollout.reward[t, lane, 0]) / training.distribution.reward_scale
            transition = torch.tensor([float(push == 0), float(push == 1), reward, ended])
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
    assert 0 < found["kl"] < options.target_kl  # no backtracking
    assert found == pytest.approx(
        {name: float(torch.as_tensor(value).detach()) for name, value in expected.items()}, abs=1e-5, rel=1e-4
    )
    for name, value in params.items():
        torch.testing.assert_close(agent.theta[name], value, atol=1e-5, rtol=0, msg=name)


def group_of(name):
    """Learning-rate group by parameter name: circuit angles, input scales, and the rest."""
    if name.endswith((".projection", ".scales")):
        return "scales"
    return "angles" if name.endswith(".weights") else "heads"


def test_minibatches_cover_all_trials(monkeypatch):
    training = learner(minibatches=3, epochs=2, target_kl=0.0)
    seen = []
    original = rl2.RL2.gradient
    monkeypatch.setattr(rl2.RL2, "gradient", lambda self, data: seen.append(data) or original(self, data))
    rollout = played(training)
    training.agent.update([rollout], [training.agent.begin(6, 1)], 1.0)
    assert len(seen) == 6 and all(data.valid.shape == (3, 2) for data in seen)
    together = torch.stack([data.action for data in seen[:3]], dim=-1).flatten(1)
    assert torch.equal(together, rollout.action.flatten(1, 2))


@pytest.mark.parametrize(("schedule", "expected"), [("constant", [0.3, 0.3]), ("linear", [0.3, 0.15])])
def test_entropy_bonus_follows_its_schedule(schedule, expected):
    """The weight of the entropy in the objective, at the beginning and in the middle of the training."""
    training = learner(entropy_bonus=0.3, entropy_schedule=schedule)
    agent, config, weights = training.agent, training.agent.config, []
    for progress_remaining in (1.0, 0.5):
        rollout = played(training)
        agent.update([rollout], [agent.begin(1, 1)], progress_remaining)
        data, _ = agent.trials(rollout)
        objectives = []
        for bonus in (0.3, 0.0):
            agent.config = dataclasses.replace(config, entropy_bonus=bonus)
            with torch.no_grad():
                terms = agent.objective(agent.theta, data)
            objectives.append(float(terms["objective"]))
        weights.append((objectives[0] - objectives[1]) / float(terms["entropy"]))
        agent.config = config
    assert weights == pytest.approx(expected, rel=1e-3)
