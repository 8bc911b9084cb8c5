"""Conformance of every recurrent model, and the computation of its cell."""

import dataclasses
import itertools

import gymnasium
import numpy as np
import pytest
import torch
from torch.func import vmap

from qrl.common.errors import UsageError
from qrl.models import MODELS
from qrl.models.shared.cells import SpanConfig
from qrl.policies.policy import bind, make_policy
from qrl.policies.recurrent import make_recurrent_policy
from tests.support.double_precision import hessian_products, normal
from tests.support.model_names import RECURRENT
from tests.support.pennylane_comparison import expectation_values

BOX = gymnasium.spaces.Box(-1.0, 1.0, (2,))
ACTIONS = {
    "categorical": gymnasium.spaces.Discrete(3),
    "gaussian": gymnasium.spaces.Box(-0.5, 0.5, (2,)),
}
GATED = [model for model in RECURRENT if issubclass(MODELS.load(model).Config, SpanConfig)]
"""Those whose memory has gates."""

N_INPUTS = 6
"""Two observations, two action dimensions, reward and end."""


def policy_of(model, head="gaussian", seed=0, trial_steps=2, *, shared=False, bilinear=False, **options):
    config = dataclasses.replace(MODELS.load(model).Config(), **options)
    generator = torch.Generator().manual_seed(seed)
    wiring = {"trial_steps": trial_steps, "shared": shared, "bilinear": bilinear}
    return make_recurrent_policy(model, config, BOX, ACTIONS[head], generator=generator, **wiring).double()


def outputs(policy, bound, inputs, truncation=0):
    distribution, value, _ = policy.unroll(bound, inputs, None, truncation)
    return torch.cat([distribution["mean"], distribution["log_std"], value.unsqueeze(-1)], dim=-1)


@pytest.mark.parametrize("model", RECURRENT)
def test_parameters_depend_only_on_the_seed(model):
    first, second, other = policy_of(model), policy_of(model), policy_of(model, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(("shared", "bilinear"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("model", RECURRENT)
def test_every_parameter_has_an_effect(model, shared, bilinear):
    policy = policy_of(model, shared=shared, bilinear=bilinear)
    result = outputs(policy, policy.bind(), normal(5, 10, N_INPUTS, seed=3))
    gradients = torch.autograd.grad((result * normal(*result.shape, seed=4)).sum(), list(policy.parameters()))
    for (name, _), gradient in zip(policy.named_parameters(), gradients, strict=True):
        assert (gradient.abs() > 1e-9).all(), name


@pytest.mark.parametrize("model", RECURRENT)
def test_bound_form_and_vmap_agree(model):
    policy = policy_of(model)
    own = {name: p.detach() for name, p in policy.named_parameters()}
    params = {name: p + 0.1 * normal(3, *p.shape, seed=i) for i, (name, p) in enumerate(own.items())}
    inputs = normal(3, 4, 5, N_INPUTS, seed=3)
    mapped = vmap(lambda p, x: outputs(policy, bind(policy, p), x))(params, inputs)
    for task in range(3):
        with torch.no_grad():
            for name, p in policy.named_parameters():
                p.copy_(params[name][task])
        hidden = torch.zeros(5, policy.actor.n_memory, dtype=torch.float64)
        for t in range(4):
            features, hidden = policy.actor.features(inputs[task, t], hidden)
            torch.testing.assert_close(mapped[task, t, :, :2], policy.actor.readout(features))


@pytest.mark.parametrize("model", RECURRENT)
def test_second_derivatives_through_vmap_equal_finite_differences(model):
    policy = policy_of(model)
    params = {name: p.detach() for name, p in policy.named_parameters()}
    inputs = normal(3, 4, N_INPUTS, seed=3)

    def loss(p):
        return outputs(policy, bind(policy, p), inputs).square().sum()

    for product, numeric in hessian_products(loss, params):
        torch.testing.assert_close(product, numeric, atol=1e-5 * float(numeric.abs().max() + 1), rtol=1e-4)


@pytest.mark.parametrize("model", RECURRENT)
def test_lanes_and_calls_are_independent(model):
    """The memory passed in is not modified, and a lane's outputs depend only on its own inputs."""
    network = policy_of(model).actor
    bound, inputs, memory = network.bind(), normal(4, N_INPUTS, seed=3), normal(4, network.n_memory, seed=5)
    before = memory.clone()
    first = network.step(bound, inputs, memory)
    assert torch.equal(memory, before)
    assert all(torch.equal(a, b) for a, b in zip(first, network.step(bound, inputs, memory), strict=True))
    inputs, memory = inputs.clone(), memory.clone()
    inputs[0] += 1
    memory[0] -= 1
    for one, other in zip(first, network.step(bound, inputs, memory), strict=True):
        assert torch.equal(one[1:], other[1:]) and not torch.equal(one[0], other[0])


@pytest.mark.parametrize("model", RECURRENT)
def test_truncation_affects_only_the_gradient(model):
    policy = policy_of(model)
    inputs = normal(6, 2, N_INPUTS, seed=3).requires_grad_()
    whole = outputs(policy, policy.bind(), inputs)
    cut = outputs(policy, policy.bind(), inputs, truncation=2)
    assert torch.equal(whole, cut)
    seen = torch.autograd.grad(cut[5].sum(), inputs)[0].abs().sum((1, 2))
    assert (seen[:4] == 0).all() and (seen[4:] > 0).all()
    assert (torch.autograd.grad(whole[5].sum(), inputs)[0].abs().sum((1, 2)) > 0).all()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("model", RECURRENT)
def test_bilinear_read_out_weights_are_linear_in_the_observation(model, shared):
    """In trials and step by step; every state of a one-hot observation has a separate read-out."""
    network = policy_of(model, shared=shared, bilinear=True).actor
    bound, inputs = network.bind(), normal(4, 3, N_INPUTS, seed=3)
    weight, bias = network.readout.weight, network.readout.bias
    constant, *slopes = weight.unflatten(-1, (1 + 2, -1)).unbind(-2)
    memory = torch.zeros(3, network.n_memory, dtype=torch.float64)
    for x, whole in zip(inputs, network.unroll(bound, inputs), strict=True):
        features, _ = network.features(x, memory)
        said, memory = network.step(bound, x, memory)
        for lane in range(3):
            own = constant + x[lane, 0] * slopes[0] + x[lane, 1] * slopes[1]
            torch.testing.assert_close(said[lane], own @ features[lane] + bias)
        torch.testing.assert_close(said, whole)


@pytest.mark.parametrize("bilinear", [False, True])
@pytest.mark.parametrize("model", [m for m in RECURRENT if hasattr(MODELS.load(m).Config(), "budget")])
@pytest.mark.parametrize("budget", [500, 1000, 4000])
def test_classical_models_match_a_budget(model, budget, bilinear):
    policy = policy_of(model, shared=True, budget=budget, bilinear=bilinear)
    assert abs(policy.n_parameters - budget) <= 0.1 * budget
    separate = policy_of(model, budget=budget, bilinear=bilinear)
    for network in (separate.actor, separate.critic):
        assert abs(sum(p.numel() for p in network.parameters()) - budget) <= 0.1 * budget


@pytest.mark.parametrize("model", RECURRENT)
def test_parameter_groups_are_valid(model):
    policy = policy_of(model)
    assert policy.groups.keys() == dict(policy.named_parameters()).keys()
    assert set(policy.groups.values()) <= {"angles", "scales", "heads"}
    own = getattr(policy.actor.features, "groups", {})
    assert own.keys() <= dict(policy.actor.features.named_parameters()).keys()


@pytest.mark.parametrize(("model", "theirs"), [("gru", torch.nn.GRUCell), ("lstm", torch.nn.LSTMCell)])
def test_classical_cells_equal_torch(model, theirs):
    """Torch's cells are an independent implementation; they have no batching rule, so the library has its own."""
    cell = policy_of(model, n_hidden=4).actor.features
    other = theirs(N_INPUTS, 4, dtype=torch.float64)
    with torch.no_grad():
        # torch orders a GRU's gates as reset, update, new; here they are update, reset, new. An LSTM's are the same.
        order = [1, 0, 2] if model == "gru" else [0, 1, 2, 3]
        rows = torch.cat([torch.arange(4) + 4 * gate for gate in order])
        other.weight_ih.copy_(cell.gates.inputs[rows])
        other.weight_hh.copy_(cell.gates.memory[rows])
        other.bias_ih.copy_(cell.gates.bias[rows])
        other.bias_hh.zero_()
    inputs, memory = normal(5, N_INPUTS, seed=3), normal(5, cell.n_memory, seed=7)
    features, after = cell(inputs, memory)
    if model == "gru":
        torch.testing.assert_close(after, other(inputs, memory))
    else:
        torch.testing.assert_close(after, torch.cat(other(inputs, memory.chunk(2, -1)), dim=-1))
    torch.testing.assert_close(features, after[:, :4])


def sigma(x):
    return 1 / (1 + np.exp(-x))


def slow_maps(maps, v):
    """Each map of `QuantumMaps` for one lane, with its circuit run by PennyLane."""
    weights = {name: p.detach().numpy() for name, p in maps.named_parameters()}
    n_circuits = len(weights["weights"])
    projected = (weights["projection"] @ v).reshape(n_circuits, -1)
    values = [
        expectation_values(maps.circuit, projected[k], weights["weights"][k], weights["scales"][k])
        for k in range(n_circuits)
    ]
    said = np.concatenate(values).reshape(maps.n_maps, -1)
    return [said[k] @ weights["expansion"][k] + weights["bias"][k, 0] for k in range(maps.n_maps)]


SMALL_CIRCUITS = {"n_wires": 3, "n_layers": 2, "observables": "both", "transform": "tanh"}


@pytest.mark.exactness
@pytest.mark.parametrize(
    ("model", "options"),
    [
        *itertools.product(["qgru", "qlstm", "gru_vqc"], [{}, SMALL_CIRCUITS]),
        *itertools.product(["qgru", "qlstm"], [{"n_circuits": 3}, SMALL_CIRCUITS | {"n_circuits": 2}]),
    ],
)
def test_quantum_cells_equal_a_pennylane_reference(model, options):
    """Two steps of one lane, gate by gate in NumPy."""
    cell = policy_of(model, n_hidden=3, **options).actor.features
    memory, slow = torch.zeros(1, cell.n_memory, dtype=torch.float64), np.zeros(cell.n_memory)
    for x in normal(2, N_INPUTS, seed=3):
        features, memory = cell(x[None], memory)
        h = slow[:3]
        if model == "qgru":
            z, r, seen, kept = slow_maps(cell.gates, np.concatenate([x, h]))
            slow = sigma(z) * h + (1 - sigma(z)) * np.tanh(seen + sigma(r) * kept)
            expected = slow
        elif model == "qlstm":
            i, f, g, o = slow_maps(cell.gates, np.concatenate([x, h]))
            c = sigma(f) * slow[3:] + sigma(i) * np.tanh(g)
            expected = sigma(o) * np.tanh(c)
            slow = np.concatenate([expected, c])
        else:
            w, u, b = (p.detach().numpy() for p in cell.memory.parameters())
            (z, r, n), (uz, ur, un) = np.split(w @ x.numpy() + b, 3), np.split(u @ h, 3)
            slow = sigma(z + uz) * h + (1 - sigma(z + uz)) * np.tanh(n + sigma(r + ur) * un)
            layer = cell.circuit
            weights, scales = layer.weights.detach().numpy(), layer.scales.detach().numpy()
            projected = layer.projection.weight.detach().numpy() @ slow
            expected = expectation_values(layer.circuit, projected, weights, scales)
        np.testing.assert_allclose(features[0].detach().numpy(), expected, atol=1e-10)
        np.testing.assert_allclose(memory[0].detach().numpy(), slow, atol=1e-10)


def test_recurrent_and_memoryless_models_are_not_interchangeable():
    with pytest.raises(UsageError, match="model 'gru' has a memory, which this agent does not use"):
        make_policy("gru", MODELS.load("gru").Config(), BOX, ACTIONS["gaussian"])
    with pytest.raises(UsageError, match=r"model 'mlp' has no memory, which this agent needs"):
        policy_of("mlp")


@pytest.mark.parametrize("model", GATED)
@pytest.mark.parametrize(("options", "span"), [({"span": 2}, 2), ({"span": 50}, 50), ({}, 30)])
def test_initial_forgetting_times_range_up_to_the_span(model, options, span):
    """Without inputs a step keeps 1 - 1 / time of a unit's content."""
    features = policy_of(model, trial_steps=30, n_hidden=400, **options).actor.features
    with torch.no_grad():
        for name, parameter in features.named_parameters():
            if not name.endswith("bias"):
                parameter.zero_()
        before = torch.full((1, features.n_memory), 0.125, dtype=torch.float64)
        _, after = features(torch.zeros(1, N_INPUTS, dtype=torch.float64), before)
    time = 1 / (1 - (after / before)[0, -400:])  # the cell state of an LSTM, not its output
    assert 1.99 < time.min() < 2.1 and span - 2 < time.max() < span + 0.01
    assert (time - 1).log().mean() == pytest.approx(np.log(span - 1) / 2, rel=0.1)  # log-uniform
    if model in ("lstm", "qlstm"):  # the input gate shrinks as the forget gate grows
        entering, forgetting, *_ = features.gates.bias.detach().flatten().chunk(4)
        assert torch.equal(entering, -forgetting)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "cycle"}, "projection"),
        ({"n_hidden": 0}, "n_hidden"),
        ({"n_circuits": 0}, "n_circuits must be at least 1, not 0"),
        ({"n_circuits": 10**6}, "n_circuits"),
    ],
)
def test_invalid_options_of_quantum_cells(options, message, unchecked: None):
    with pytest.raises(UsageError, match=message):
        MODELS.load("qgru").Config(**options)


@pytest.mark.parametrize("options", [{"budget": 0}, {"n_hidden": -1}, {"budget": 10**8}])
def test_invalid_options_of_classical_cells(options):
    with pytest.raises(UsageError, match=r"budget must be at (least 1|most)|n_hidden must be at least 0"):
        MODELS.load("gru").Config(**options)


@pytest.mark.parametrize("model", GATED)
def test_memories_too_wide_to_train_are_rejected_before_creation(model):
    with pytest.raises(UsageError, match=r"\d+ parameters is too large; at most 10000000: make it narrower"):
        policy_of(model, n_hidden=10**6)


@pytest.mark.parametrize("model", GATED)
@pytest.mark.parametrize("span", [1, -3, 10**12])
def test_invalid_spans(model, span):
    with pytest.raises(UsageError, match=r"span \[steps\], if not 0, must be at (least 2|most 1000000000)"):
        MODELS.load(model).Config(span=span)
