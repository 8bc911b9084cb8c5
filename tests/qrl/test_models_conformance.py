"""Conformance of every memoryless model. For recurrent models see tests/qrl/test_recurrent_models.py."""

import dataclasses

import gymnasium
import pytest
import torch
from torch.func import functional_call, vmap

from qrl.common.errors import UsageError
from qrl.models import MODELS
from qrl.policies.frame import Frame
from qrl.policies.policy import bind, make_policy
from tests.support.double_precision import hessian_products, normal
from tests.support.model_names import MEMORYLESS
from tests.support.pennylane_comparison import largest_differences

BOX = gymnasium.spaces.Box(-1.0, 1.0, (3,))
ACTIONS = {
    "categorical": gymnasium.spaces.Discrete(2),
    "gaussian": gymnasium.spaces.Box(-0.5, 0.5, (2,)),
}


def policy_of(model: str, head: str = "gaussian", seed: int = 0):
    config = MODELS.load(model).Config()
    generator = torch.Generator().manual_seed(seed)
    return make_policy(model, config, BOX, ACTIONS[head], generator=generator).double()


def test_every_file_is_readable():
    broken = {name: summary.broken for name, summary in MODELS.available().items() if summary.broken}
    assert not broken, f"files in qrl/models/ that cannot be read: {broken}"


@pytest.mark.parametrize("model", MEMORYLESS)
def test_parameters_depend_only_on_the_seed(model):
    first, second, other = policy_of(model), policy_of(model), policy_of(model, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("model", MEMORYLESS)
def test_accepts_any_number_of_inputs(model):
    """Also more than the default circuit can encode: each of them changes the features."""
    plugin, frame = MODELS.load(model), Frame(40, 2)
    features = plugin.build(plugin.Config(), frame, torch.Generator().manual_seed(0)).double()
    inputs = normal(3, 40, seed=1).requires_grad_()
    probe = normal(3, features.n_features, seed=2)
    (gradient,) = torch.autograd.grad((features(inputs) * probe).sum(), inputs)
    assert (gradient.abs() > 1e-12).all()


def test_inputs_are_projected_only_if_they_exceed_the_circuit():
    plugin = MODELS.load("reuploading")
    for encoding, n_inputs, projected in (("auto", 12, False), ("auto", 13, True), ("projection", 2, True)):
        config = plugin.Config(encoding=encoding)
        layer = plugin.build(config, Frame(n_inputs, 2), torch.Generator().manual_seed(0))
        assert (layer.projection is not None) == projected
    with pytest.raises(UsageError, match="13 inputs do not fit"):
        plugin.build(plugin.Config(encoding="cycle"), Frame(13, 2), torch.Generator().manual_seed(0))


def test_implausibly_many_layers_are_rejected():
    with pytest.raises(UsageError, match="n_layers must be at most 1000, not 100000"):
        MODELS.load("reuploading").Config(n_layers=100_000)


@pytest.mark.parametrize(
    ("model", "options"), [("mlp", {"hidden": (10**6, 10**6)}), ("fourier", {"n_features": 10**7})]
)
def test_networks_too_wide_to_train_are_rejected_before_creation(model, options):
    plugin = MODELS.load(model)
    with pytest.raises(UsageError, match=r"\d+ parameters is too large; at most 10000000: make it narrower"):
        plugin.build(plugin.Config(**options), Frame(3, 2), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("model", MEMORYLESS)
def test_every_parameter_has_an_effect(model):
    """In an untrained policy each parameter changes some output at some observation, except inert ones of a
    published circuit, whose number its file states (`n_inert`)."""
    policy = policy_of(model)
    observations = normal(20, 3, seed=3)
    distribution = policy(observations)
    outputs = torch.cat([distribution["mean"].flatten(), distribution["log_std"][0]])
    probe = normal(len(outputs), seed=4)
    gradients = torch.autograd.grad(outputs @ probe, list(policy.parameters()))
    found = {name: g.abs() <= 1e-9 for (name, _), g in zip(policy.named_parameters(), gradients, strict=True)}
    n_inert = getattr(MODELS.load(model), "n_inert", None)
    allowed = {"features.weights": n_inert(policy.features.circuit)} if n_inert else {}
    assert {name: int(where.sum()) for name, where in found.items() if where.any()} == allowed


@pytest.mark.parametrize("head", ACTIONS)
@pytest.mark.parametrize("model", MEMORYLESS)
def test_bound_form_vmap_and_functional_call_agree(model, head):
    policy = policy_of(model, head)
    generator = torch.Generator().manual_seed(5)
    params = {
        n: p.detach() + 0.1 * torch.randn(4, *p.shape, generator=generator, dtype=p.dtype)
        for n, p in policy.named_parameters()
    }
    observations = torch.randn(4, 6, 3, generator=generator, dtype=torch.float64)
    bound = vmap(lambda p: bind(policy, p))(params)
    mapped = vmap(policy.distribution)(bound, observations)
    for task in range(4):
        own = {name: value[task] for name, value in params.items()}
        looped = functional_call(policy, own, (observations[task],))
        for key, value in looped.items():
            torch.testing.assert_close(mapped[key][task], value)


@pytest.mark.parametrize("model", MEMORYLESS)
def test_second_derivatives_through_vmap_equal_finite_differences(model):
    policy = policy_of(model, "categorical")
    observations = normal(6, 3, seed=6)
    params = {name: p.detach() for name, p in policy.named_parameters()}

    def loss(p):
        return (functional_call(policy, p, (observations,))["log_probs"][:, 0] * torch.arange(6)).sum()

    for product, numeric in hessian_products(loss, params):
        torch.testing.assert_close(product, numeric, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("model", [m for m in MEMORYLESS if hasattr(MODELS.load(m).Config(), "budget")])
@pytest.mark.parametrize("budget", [60, 100, 1000])
def test_classical_models_match_a_budget(model, budget):
    config = dataclasses.replace(MODELS.load(model).Config(), budget=budget)
    policy = make_policy(model, config, BOX, ACTIONS["gaussian"])
    assert abs(policy.n_parameters - budget) <= max(4, 0.05 * budget)


@pytest.mark.parametrize("model", MEMORYLESS)
def test_parameter_groups_are_valid(model):
    """A misspelled name in `groups` would silently leave its parameter in the default group."""
    policy = policy_of(model)
    assert set(policy.groups.values()) <= {"angles", "scales", "heads"}
    own = getattr(policy.features, "groups", {})
    assert own.keys() <= dict(policy.features.named_parameters()).keys()


def test_unentangled_differs_from_reuploading_only_in_entanglers():
    circuits = {m: MODELS.load(m).circuit(MODELS.load(m).Config(), 3) for m in ("reuploading", "unentangled")}
    without = tuple(gate for gate in circuits["reuploading"].gates if gate.name != "CZ")
    assert circuits["unentangled"].gates == without and len(without) < len(circuits["reuploading"].gates)


@pytest.mark.exactness
@pytest.mark.parametrize("observables", ["local", "global", "both"])
@pytest.mark.parametrize("model", [m for m in MEMORYLESS if hasattr(MODELS.load(m), "circuit")])
def test_quantum_models_equal_pennylane(model, observables):
    plugin = MODELS.load(model)
    for n_wires, transform in ((2, "identity"), (4, "tanh"), (6, "arctan")):
        config = dataclasses.replace(
            plugin.Config(), n_wires=n_wires, n_layers=2, observables=observables, transform=transform
        )
        assert max(largest_differences(plugin.circuit(config, 3), batch=2)) < 1e-10
