"""Heads, normalisation and action units against torch.distributions and numbers by hand."""

import gymnasium
import numpy as np
import pytest
import torch

from qrl.common.errors import UsageError
from qrl.models import MODELS
from qrl.models.mlp import Config as MlpConfig
from qrl.policies.actor import PolicyConfig
from qrl.policies.heads import Categorical, Gaussian
from qrl.policies.policy import make_policy
from qrl.policies.recurrent import make_recurrent_policy
from tests.support.double_precision import seeded

OBSERVATIONS = gymnasium.spaces.Box(-1.0, 1.0, (2,))


def make(action_space, **config):
    return make_policy("mlp", MlpConfig(), OBSERVATIONS, action_space, config=PolicyConfig(**config))


def test_categorical_equals_torch():
    logits = torch.tensor([[0.3, -1.0, 2.0], [0.0, 0.0, 1.0]])
    head, beta = Categorical(3), 1.7
    mine = head.distribution({"log_inverse_temperature": torch.tensor(beta).log()}, logits)
    reference = torch.distributions.Categorical(logits=beta * logits)
    other = head.distribution({"log_inverse_temperature": torch.tensor(0.0)}, logits.flip(1))
    action = torch.tensor([2, 0])
    torch.testing.assert_close(head.log_prob(mine, action), reference.log_prob(action))
    torch.testing.assert_close(head.entropy(mine), reference.entropy())
    torch.testing.assert_close(
        head.kl(mine, other),
        torch.distributions.kl_divergence(reference, torch.distributions.Categorical(logits=logits.flip(1))),
    )


def test_gaussian_equals_torch():
    head = Gaussian(2, 0.0)
    mean, log_std = torch.tensor([[0.5, -1.0]]), torch.tensor([0.2, -0.4])
    mine = head.distribution({"log_std": log_std}, mean)
    other = head.distribution({"log_std": -log_std}, mean + 1)
    reference = torch.distributions.Normal(mean, log_std.exp())
    action = torch.tensor([[0.1, 0.2]])
    torch.testing.assert_close(head.log_prob(mine, action), reference.log_prob(action).sum(-1))
    torch.testing.assert_close(head.entropy(mine), reference.entropy().sum(-1))
    kl = torch.distributions.kl_divergence(reference, torch.distributions.Normal(mean + 1, (-log_std).exp()))
    torch.testing.assert_close(head.kl(mine, other), kl.sum(-1))


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_samples_follow_the_distribution(kind):
    n = 40_000
    uniform = torch.rand(n, 2, generator=torch.Generator().manual_seed(0))
    if kind == "categorical":
        head = Categorical(2)
        distribution = {"log_probs": torch.tensor([0.8, 0.2]).log().expand(n, 2)}
        share = (head.sample(distribution, head.noise(uniform)) == 0).float().mean()
        assert abs(share - 0.8) < 5 * (0.16 / n) ** 0.5
    else:
        head = Gaussian(2, 0.0)
        distribution = {
            "mean": torch.tensor([1.0, -2.0]).expand(n, 2),
            "log_std": torch.tensor([0.5, 0.0]).expand(n, 2),
        }
        action = head.sample(distribution, head.noise(uniform))
        torch.testing.assert_close(action.mean(0), torch.tensor([1.0, -2.0]), atol=5 * 1.65 / n**0.5, rtol=0)
        torch.testing.assert_close(action.std(0), torch.tensor([1.6487, 1.0]), atol=0.03, rtol=0)


def test_noise_is_finite_at_the_ends_of_the_unit_interval():
    ends = torch.tensor([0.0, 1 - 2**-24])
    assert Categorical.noise(ends).isfinite().all() and Gaussian.noise(ends).isfinite().all()


def test_actions_are_in_units_of_half_the_range_and_clipped():
    policy = make(gymnasium.spaces.Box(np.array([0.0, -np.inf], np.float32), np.array([4.0, np.inf], np.float32)))
    actions = torch.tensor([[0.0, 3.0], [1.0, -3.0], [2.0, 0.0]])
    assert policy.to_environment(actions).tolist() == [[2.0, 3.0], [4.0, -3.0], [4.0, 0.0]]


def test_running_normalisation_standardises_and_is_saved():
    policy = make(gymnasium.spaces.Discrete(2), normalisation="running")
    data = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 0.1]) + 5
    policy.update_normalisation(data[:100])
    policy.update_normalisation(data[100:])
    torch.testing.assert_close(policy.shift, data.mean(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(policy.scale, data.std(0, correction=0), atol=1e-4, rtol=1e-4)
    copy = make(gymnasium.spaces.Discrete(2), normalisation="running")
    copy.load_state_dict(policy.state_dict())
    torch.testing.assert_close(copy(data)["log_probs"], policy(data)["log_probs"])


@pytest.mark.parametrize(
    ("space", "head", "message"),
    [
        (gymnasium.spaces.Box(-1.0, 1.0, (2,)), "categorical", "categorical head does not fit .* use gaussian"),
        (gymnasium.spaces.Discrete(3), "gaussian", "gaussian head does not fit .* use categorical"),
        (gymnasium.spaces.MultiBinary(3), "auto", "actions must be Discrete or a vector"),
        (gymnasium.spaces.Discrete(3, start=1), "auto", "must start at 0"),
    ],
)
def test_mismatched_heads_are_rejected(space, head, message):
    with pytest.raises(UsageError, match=message):
        make(space, head=head)


def test_observations_must_be_vectors():
    with pytest.raises(UsageError, match="observations must be a vector"):
        make_policy("mlp", MlpConfig(), gymnasium.spaces.Discrete(4), gymnasium.spaces.Discrete(2))


@pytest.mark.parametrize("normalisation", ["scale", "running"])
@pytest.mark.parametrize("model", ["mlp", "gru"])
def test_masked_actions_have_zero_probability_and_no_influence(model, normalisation):
    """The others have the probabilities of a head without the masked ones; all values and gradients are finite."""
    options = {"config": PolicyConfig(normalisation=normalisation), "invalid_action_slice": slice(1, 4)}
    spaces = (gymnasium.spaces.Box(-1, 1, (5,)), gymnasium.spaces.Discrete(3))
    config = MODELS.load(model).Config()
    if model == "gru":
        policy = make_recurrent_policy(model, config, *spaces, trial_steps=2, **options)
    else:
        policy = make_policy(model, config, *spaces, **options)
    policy.update_normalisation(torch.rand(50, 5, generator=seeded()))
    seen = torch.tensor([[0.3, 0.0, 1.0, 0.0, 0.2], [0.3, 0.0, 0.0, 0.0, 0.2]])

    def log_probs():
        if model == "mlp":
            return policy(seen)["log_probs"]
        inputs, mask = policy.inputs(seen, policy.initial_transition_input(2)), policy.action_mask(seen)
        first = policy.act(policy.bind(), inputs, torch.zeros(2, policy.actor.n_memory), mask)[0]["log_probs"]
        whole = policy.unroll(policy.bind(), inputs[None], None if mask is None else mask[None]).distribution
        assert torch.equal(whole["log_probs"][0], first)
        return first

    found = log_probs()
    policy.invalid_action_slice = None
    free = log_probs().exp()
    assert found[0, 1] < -1e5 and torch.allclose(found[1].exp(), free[1])
    torch.testing.assert_close(found[0, [0, 2]].exp(), free[0, [0, 2]] / free[0, [0, 2]].sum())
    entropy = policy.head.entropy({"log_probs": found})
    gradients = torch.autograd.grad(entropy.sum() + found[:, 0].sum(), list(policy.parameters()), allow_unused=True)
    assert entropy.isfinite().all() and all(g is None or g.isfinite().all() for g in gradients)


def test_model_options_may_be_a_mapping_or_left_out():
    actions = gymnasium.spaces.Discrete(2)
    assert make_policy("mlp", {"hidden": (5,)}, OBSERVATIONS, actions).features.n_features == 5
    by_default, given = (make_policy("mlp", config, OBSERVATIONS, actions) for config in (None, MlpConfig()))
    assert all(map(torch.equal, by_default.parameters(), given.parameters()))
    with pytest.raises(UsageError, match="no option 'hiden' of model 'mlp'; did you mean 'hidden'"):
        make_policy("mlp", {"hiden": (5,)}, OBSERVATIONS, actions)
