"""Quantum policies inside Stable-Baselines3."""

import functools

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.utils import update_learning_rate

from qrl.common.errors import UsageError
from qrl.sb3 import (
    ExplorationByEpisode,
    QuantumActorCriticPolicy,
    QuantumFeaturesExtractor,
    QuantumQPolicy,
)
from qrl.sb3.policies import with_factors
from tests.support.random_observations import RandomObservations

SMALL = {"model": "reuploading", "n_layers": 2, "n_wires": 4}


def learner(algorithm, policy, **options):
    more = {
        PPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 2},
        A2C: {"n_steps": 8},
        DQN: {"learning_starts": 8, "buffer_size": 100, "batch_size": 8, "train_freq": 4, "target_update_interval": 8},
    }[algorithm]
    kwargs = {"policy_kwargs": {**SMALL, **options.pop("policy_kwargs", {})}, "device": "cpu", "seed": 0}
    return algorithm(policy, "CartPole-v1", **more, **kwargs, **options)


ALGORITHMS = [(PPO, QuantumActorCriticPolicy), (A2C, QuantumActorCriticPolicy), (DQN, QuantumQPolicy)]


def parameters(model) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.policy.named_parameters()}


@pytest.mark.parametrize(("algorithm", "policy"), ALGORITHMS)
def test_trains_every_parameter_saves_and_loads(algorithm, policy, tmp_path):
    model = learner(algorithm, policy)
    before = parameters(model)
    model.learn(64)
    after = parameters(model)
    assert all(not torch.equal(before[name], after[name]) for name in before)
    model.save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model", device="cpu")
    observations = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    assert all(torch.equal(value, parameters(loaded)[name]) for name, value in after.items())
    np.testing.assert_array_equal(*(m.predict(observations, deterministic=True)[0] for m in (model, loaded)))
    model.policy.save(tmp_path / "policy")
    loaded = policy.load(tmp_path / "policy", device="cpu")
    np.testing.assert_array_equal(*(m.predict(observations, deterministic=True)[0] for m in (model.policy, loaded)))


@pytest.mark.parametrize(("algorithm", "policy"), ALGORITHMS)
def test_group_learning_rates_follow_the_algorithms_schedule(algorithm, policy):
    """At each update the algorithm sets its rate, here falling to half, in all groups."""
    rates = {"lr_angles": 1e-3, "lr_scales": 0.0, "lr_heads": 1e-1}
    model = learner(algorithm, policy, policy_kwargs=rates, learning_rate=lambda left: 1e-2 * (0.5 + left / 2))
    before = parameters(model)
    model.learn(64)
    after = parameters(model)
    moved = {name: float((after[name] - before[name]).abs().max()) for name in before if "target" not in name}
    scales = [value for name, value in moved.items() if name.endswith("scales")]
    angles = [value for name, value in moved.items() if name.endswith("weights")]
    heads = [value for name, value in moved.items() if "features_extractor" not in name]
    assert scales and max(scales) == 0
    assert angles and heads and min(heads) > 5 * max(angles) > 0


def test_adam_with_factors_equals_adam_with_scaled_rates():
    values = [torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(4)]
    groups = [{"params": [values[0]], "factor": 0.5}, {"params": [values[1]], "factor": 3.0}]
    ours = with_factors(torch.optim.Adam)(groups, lr=0.1)
    theirs = torch.optim.Adam([{"params": [values[2]], "lr": 0.1}, {"params": [values[3]], "lr": 0.6}], lr=0.2)
    for rate in (0.2, 0.2):
        update_learning_rate(ours, rate)
        for value in values:
            value.grad = value.detach() ** 2
        ours.step()
        theirs.step()
    assert [group["lr"] for group in ours.param_groups] == [0.2, 0.2]
    torch.testing.assert_close(values[0], values[2])
    torch.testing.assert_close(values[1], values[3])
    assert ours.state_dict()["param_groups"][1]["factor"] == 3.0


def test_rollout_cache_follows_the_parameters():
    """Also if these are changed through `data`, as in a target network."""
    extractor = QuantumFeaturesExtractor(gymnasium.spaces.Box(-1, 1, (3,)), **SMALL, observation_scale=[1.0, 2.0, 4.0])
    observations = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        kept = extractor(observations)
    torch.testing.assert_close(kept, extractor(observations).detach())
    torch.testing.assert_close(kept, extractor.features(observations / torch.tensor([1.0, 2.0, 4.0])).detach())
    next(extractor.features.parameters()).data.add_(0.5)
    with torch.no_grad():
        changed = extractor(observations)
    assert not torch.allclose(changed, kept)
    torch.testing.assert_close(changed, extractor(observations).detach())


@pytest.mark.parametrize("n_inputs", [4, 30])
def test_actor_and_critic_are_evaluated_in_one_batch(n_inputs):
    """The batched call equals each extractor alone, including gradients, with and without a projection."""
    space, actions = gymnasium.spaces.Box(-1, 1, (n_inputs,)), gymnasium.spaces.Discrete(2)
    policy = QuantumActorCriticPolicy(space, actions, lambda _: 0.01, **SMALL)
    observations = torch.randn(6, n_inputs, generator=torch.Generator().manual_seed(0))
    extractors = (policy.pi_features_extractor, policy.vf_features_extractor)
    assert policy._joint is not None
    both = policy.extract_features(observations)
    for expected, found in zip((each(observations) for each in extractors), both, strict=True):
        torch.testing.assert_close(found, expected)
        parameters = [p for each in extractors for p in each.parameters()]
        options = {"allow_unused": True, "materialize_grads": True, "retain_graph": True}
        gradients = (torch.autograd.grad(v.square().sum(), parameters, **options) for v in (found, expected))
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other)
    with torch.no_grad():
        before = policy.extract_features(observations)
        next(extractors[1].parameters()).add_(0.3)
        after = policy.extract_features(observations)
    torch.testing.assert_close(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_every_memoryless_model_is_supported():
    model = PPO(QuantumActorCriticPolicy, "CartPole-v1", policy_kwargs={"model": "mlp", "budget": 50}, device="cpu")
    assert model.policy.pi_features_extractor is not model.policy.vf_features_extractor


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_layer": 3}, "sb3: no option 'n_layer' of model 'reuploading' or the policy; did you mean 'n_layers'"),
        ({"model": "reuploding"}, "did you mean 'reuploading'"),
        (
            {"observation_scale": [1, 2]},
            "observation_scale must be one positive number, or 4, one per entry of an observation",
        ),
        ({"observation_scale": [1, 0, 1, 1]}, "observation_scale must be one positive number"),
        ({"observation_scale": float("nan")}, "observation_scale must be one positive number"),
        ({"lr_angles": -1.0}, "lr_angles must be finite and not negative, not -1.0"),
        ({"model": "qgru"}, "no option 'n_layers'|has a memory"),
    ],
)
def test_invalid_policies(options, message):
    with pytest.raises(UsageError, match=message):
        PPO(QuantumActorCriticPolicy, "CartPole-v1", policy_kwargs={**options}, device="cpu")


class Foreign(FlattenExtractor):
    pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features_extractor_kwargs": {"n_layers": 3}}, r"features_extractor_kwargs directly: policy_kwargs=dict\("),
        ({"features_extractor_class": Foreign}, "extractor QuantumFeaturesExtractor, not Foreign; use Foreign with"),
    ],
)
def test_options_that_a_quantum_policy_would_drop(options, message):
    with pytest.raises(UsageError, match=message):
        PPO(QuantumActorCriticPolicy, "CartPole-v1", policy_kwargs={**SMALL, **options}, device="cpu")


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Discrete(5),
        gymnasium.spaces.MultiDiscrete([3, 4]),
        gymnasium.spaces.MultiBinary(6),
        gymnasium.spaces.Box(-1, 1, (3, 5), np.float32),
    ],
    ids=["discrete", "multi_discrete", "multi_binary", "matrix"],
)
@pytest.mark.parametrize(("algorithm", "policy"), ALGORITHMS[::2])
def test_observations_are_preprocessed_as_by_mlp_policy(algorithm, policy, space):
    options = {"model": "reuploading", "n_wires": 2, "n_layers": 1}
    env = RandomObservations(space)
    model, reference = (
        algorithm(each, env, policy_kwargs=kwargs, learning_starts=1, buffer_size=50, device="cpu", seed=0)
        if algorithm is DQN
        else algorithm(each, env, policy_kwargs=kwargs, n_steps=8, batch_size=8, device="cpu", seed=0)
        for each, kwargs in ((policy, options), ("MlpPolicy", {}))
    )
    model.learn(8)
    observations = torch.as_tensor(np.stack([space.sample() for _ in range(3)]))
    net, mlp = (m.q_net if algorithm is DQN else m for m in (model.policy, reference.policy))
    flat = mlp.extract_features(observations, mlp.features_extractor)
    extractor = net.features_extractor if algorithm is DQN else net.pi_features_extractor
    expected = extractor.features(flat)
    found = net.extract_features(observations, extractor) if algorithm is DQN else net.extract_features(observations)[0]
    torch.testing.assert_close(found, expected)


NESTED = [
    gymnasium.spaces.Dict(a=gymnasium.spaces.Discrete(2)),
    gymnasium.spaces.Tuple((gymnasium.spaces.Discrete(2), gymnasium.spaces.Box(-1, 1, (3,)))),
]


@pytest.mark.parametrize("space", [*NESTED, gymnasium.spaces.Text(3)])
def test_observations_that_are_no_vector_name_a_wrapper(space):
    with pytest.raises(UsageError, match=r"gymnasium\.(wrappers\.FlattenObservation|ObservationWrapper)"):
        QuantumFeaturesExtractor(space)


@pytest.mark.parametrize("space", NESTED)
def test_nested_observations_can_be_flattened(space):
    env = gymnasium.wrappers.FlattenObservation(RandomObservations(space))
    PPO(QuantumActorCriticPolicy, env, n_steps=8, batch_size=8, policy_kwargs=dict(SMALL), device="cpu").learn(8)


def test_shifted_spaces_can_be_transformed():
    """The way out that the refusals of a `start` name."""
    shifted = gymnasium.spaces.Discrete(3, start=-1)
    env = RandomObservations(shifted, shifted)
    env = gymnasium.wrappers.TransformObservation(env, lambda seen: seen + 1, gymnasium.spaces.Discrete(3))
    env = gymnasium.wrappers.TransformAction(env, lambda action: action - 1, gymnasium.spaces.Discrete(3))
    PPO(QuantumActorCriticPolicy, env, n_steps=8, batch_size=8, policy_kwargs=dict(SMALL), device="cpu").learn(8)


@pytest.mark.parametrize(("algorithm", "policy"), ALGORITHMS[::2])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            ({"net_arch": x}, "net_arch must be a list of positive sizes")
            for x in ("x", 4, [0], ["4"], [True], {"a": [4]})
        ),
        ({"net_arch": {"pi": "x"}}, "net_arch must be a list of positive sizes"),
        ({"activation_fn": "tanh"}, "activation_fn must be a class such as torch.nn.Tanh, not 'tanh'"),
        ({"optimizer_class": "adam"}, "optimizer_class must be a class such as torch.optim.Adam, not 'adam'"),
    ],
)
def test_networks_that_cannot_be_built(algorithm, policy, options, message):
    with pytest.raises(UsageError, match=message):
        learner(algorithm, policy, policy_kwargs=options)


@pytest.mark.parametrize("sizes", [None, [4], (4,), {"pi": [4]}, {"pi": [], "vf": [np.int64(4)]}])
def test_forms_of_net_arch(sizes):
    options = {"net_arch": sizes, "activation_fn": functools.partial(torch.nn.LeakyReLU, 0.2)}
    learner(PPO, QuantumActorCriticPolicy, policy_kwargs=options)
    if not isinstance(sizes, dict):
        learner(DQN, QuantumQPolicy, policy_kwargs=options)


SHIFTED = "discrete actions must start at 0, .*TransformAction"


@pytest.mark.parametrize(
    ("algorithm", "policy", "actions", "message"),
    [
        *((*each, gymnasium.spaces.Discrete(3, start=-1), SHIFTED) for each in ALGORITHMS),
        (*ALGORITHMS[0], gymnasium.spaces.MultiDiscrete([2, 3], start=[0, 1]), SHIFTED),
        (*ALGORITHMS[0], gymnasium.spaces.MultiDiscrete([[2, 3], [2, 2]]), r"must have one axis, not shape \(2, 2\)"),
    ],
)
def test_actions_that_the_environment_would_not_get_are_refused(algorithm, policy, actions, message):
    env = RandomObservations(gymnasium.spaces.Discrete(2), actions)
    with pytest.raises(UsageError, match=message):
        algorithm(policy, env, policy_kwargs=dict(SMALL), device="cpu")


def test_invalid_extractor():
    with pytest.raises(UsageError, match="sb3: no option 'n_layer' of model 'reuploading'; did you mean 'n_layers'"):
        QuantumFeaturesExtractor(gymnasium.spaces.Box(-1, 1, (3,)), n_layer=3)
    with pytest.raises(UsageError, match=r"sb3: discrete observations must start at 0, .*start=1"):
        QuantumFeaturesExtractor(gymnasium.spaces.Discrete(3, start=1))
    number = gymnasium.spaces.Box(-1, 1, ())
    with pytest.raises(
        UsageError, match=r"sb3: a Box of observations must have an axis, .*ReshapeObservation\(env, \(1,\)"
    ):
        QuantumFeaturesExtractor(number)


SKOLIK = {"model": "skolik", "readout": "scaled", "n_wires": 4, "n_layers": 5}


def test_q_values_are_scaled_expectation_values_as_published(tmp_path):
    """Q_a = w_a (<O_a> + 1) / 2 with w = 1 initially; 40 angles, 20 scales and 2 weights, in both networks."""
    model = learner(DQN, QuantumQPolicy, policy_kwargs=SKOLIK)
    net, observations = model.q_net, torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert sum(parameter.numel() for parameter in net.parameters()) == 62
    features = net.features_extractor(observations)
    torch.testing.assert_close(net(observations), (features + 1) / 2)
    with torch.no_grad():
        net.q_net[0].weight.copy_(torch.tensor([2.0, -3.0]))
    torch.testing.assert_close(net(observations), torch.tensor([1.0, -1.5]) * (features + 1))
    assert model.q_net_target.q_net[0].weight.tolist() == [1.0, 1.0]
    model.learn(32)
    model.policy.save(tmp_path / "policy")
    loaded = QuantumQPolicy.load(tmp_path / "policy", device="cpu")
    torch.testing.assert_close(loaded.q_net(observations), model.q_net(observations))


def test_scaled_q_values_need_one_feature_per_action(unchecked):
    with pytest.raises(UsageError, match="found 4 features for 2 actions; use linear"):
        learner(DQN, QuantumQPolicy, policy_kwargs={"readout": "scaled"})
    with pytest.raises(UsageError, match="unknown readout 'scale'; did you mean 'scaled'"):
        learner(DQN, QuantumQPolicy, policy_kwargs={"readout": "scale"})


def test_exploration_rate_decays_per_episode():
    """0.9 to the power of the number of finished episodes, never below the final rate."""
    model = learner(DQN, QuantumQPolicy)
    seen = []

    class Watch(BaseCallback):
        ended = 0

        def _on_step(self):
            # The rate for sampling this step's action depends on the episodes before it.
            seen.append((self.model.exploration_rate, max(0.2, 0.9**self.ended)))
            Watch.ended += int(self.locals["dones"].sum())
            return True

    model.learn(400, callback=[Watch(), ExplorationByEpisode(0.9, final=0.2)])
    assert Watch.ended > 15 and model.exploration_rate == 0.2
    rates, expected = zip(*seen, strict=True)
    assert rates == pytest.approx(expected)
    with pytest.raises(UsageError, match="exploration needs a decay"):
        ExplorationByEpisode(0.0)
    with pytest.raises(UsageError, match="is for DQN, not PPO"):
        learner(PPO, QuantumActorCriticPolicy).learn(16, callback=ExplorationByEpisode())


@pytest.mark.parametrize(
    ("algorithm", "policy", "env"),
    [
        (SAC, QuantumActorCriticPolicy, "Pendulum-v1"),
        (DQN, QuantumActorCriticPolicy, "CartPole-v1"),
        (PPO, QuantumQPolicy, "CartPole-v1"),
        (DDPG, QuantumActorCriticPolicy, "Pendulum-v1"),
        (DDPG, QuantumQPolicy, "Pendulum-v1"),
        (TD3, QuantumQPolicy, "Pendulum-v1"),
    ],
)
def test_policy_of_another_algorithm(algorithm, policy, env):
    with pytest.raises(
        UsageError, match="QuantumActorCriticPolicy is for PPO and A2C, QuantumQPolicy for DQN; for SAC"
    ):
        algorithm(policy, env, policy_kwargs=dict(SMALL))  # SAC adds to the dict


def test_a_policy_with_rates_is_loaded_without_its_algorithm(tmp_path):
    """Stable-Baselines3 gives it a schedule that is 0, since it is not trained."""
    policy = learner(PPO, QuantumActorCriticPolicy, policy_kwargs={"lr_heads": 0.1}).policy
    policy.save(tmp_path / "policy")
    again = QuantumActorCriticPolicy.load(tmp_path / "policy", device="cpu")
    torch.testing.assert_close(again.state_dict(), policy.state_dict())


def test_rates_need_a_schedule_that_starts_above_zero():
    with pytest.raises(UsageError, match="lr_heads sets the rate at the start of training, where learning_rate is 0"):
        learner(PPO, QuantumActorCriticPolicy, policy_kwargs={"lr_heads": 0.1}, learning_rate=lambda left: 1 - left)
