"""Conformance of every model that acts on registers of qubits."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.func import vmap

from qrl.common.errors import UsageError
from qrl.models import MODELS
from qrl.policies.frame import Frame
from qrl.policies.policy import bind
from tests.support.double_precision import hessian_products, normal, seeded
from tests.support.model_names import ON_REGISTERS
from tests.support.register_models import PAIR, PRODUCT, haar, histories, policy_of, trial

N_INERT = 4
"""Angles of a default circuit on a pair without effect: of each register, the last RZ before its measurement; of a
memory in |0>, the first RZ; of a memory that is measured at the end, the last RZ. A model without memory has 2."""
HALF = 0.5**0.5


def log_probs(policy, params, inputs, action):
    """Log-probabilities of recorded steps, and values [2, time, lane]."""
    outputs = policy.evaluate(bind(policy, params), inputs, action)
    return torch.stack([policy.head.log_prob(outputs.distribution, action), outputs.value])


@pytest.mark.parametrize("model", ON_REGISTERS)
def test_parameters_depend_only_on_the_seed(model):
    first, second, other = policy_of(model), policy_of(model), policy_of(model, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("model", ON_REGISTERS)
def test_every_parameter_has_an_effect(model):
    """Except a phase before a measurement, or of |0>."""
    policy = policy_of(model, episodes=2)
    inputs, action = trial(policy, lanes=20)
    result = log_probs(policy, dict(policy.named_parameters()), inputs, action)
    gradients = torch.autograd.grad((result * normal(*result.shape, seed=4)).sum(), list(policy.parameters()))
    named = zip(policy.named_parameters(), gradients, strict=True)
    inert = {name: int((g.abs() <= 1e-9).sum()) for (name, _), g in named if (g.abs() <= 1e-9).any()}
    assert inert == {"cell.angles": N_INERT if policy.cell.circuit.n_memory else 2}


@pytest.mark.parametrize("registers", [PAIR, PRODUCT], ids=["entangled", "product"])
@pytest.mark.parametrize("model", ON_REGISTERS)
def test_probabilities_of_records(model, registers):
    """They sum to 1 over all histories, and an update recomputes the one that was recorded."""
    policy = policy_of(model, registers)
    found = histories(policy, haar(registers, 6))
    torch.testing.assert_close(sum(found.values()), torch.ones(6).double())
    inputs, action = trial(policy, episodes=1, rewarded=False)
    recomputed = log_probs(policy, dict(policy.named_parameters()), inputs, action)[0].sum(0)
    for lane in range(6):
        past = (*action[:, lane, 1].tolist(), int(action[-1, lane, 0]))
        # Answers before the last register are drawn as well, evenly, and have no effect here but on the inputs.
        if int(action[0, lane, 0]) == 0:
            wanted = found[past][lane].log() + np.log(0.5)
            torch.testing.assert_close(recomputed[lane], wanted)
    assert (action[0, :, 0] == 0).any()


@pytest.mark.parametrize("model", ON_REGISTERS)
def test_same_density_matrix_same_probabilities(model):
    """|00>, |11> in equal parts, and the Bell states of which they are sums and differences; with any phases."""
    basis = torch.zeros(2, 1, 4, dtype=torch.complex128)
    basis[0, 0, 0] = basis[1, 0, 3] = 1
    bell = HALF * torch.stack([basis[0] + basis[1], 1j * (basis[0] - basis[1])])
    policy = policy_of(model)
    one, other = histories(policy, basis), histories(policy, bell)
    for past, probability in one.items():
        torch.testing.assert_close(probability.mean(), other[past].mean())
    assert any(not torch.allclose(one[past], other[past], atol=1e-3) for past in one)


@pytest.mark.parametrize("model", ON_REGISTERS)
def test_leading_axes_equal_vmap(model):
    policy = policy_of(model, episodes=2)
    inputs, action = trial(policy)
    params = {n: p.detach() + 0.1 * normal(3, *p.shape, seed=i) for i, (n, p) in enumerate(policy.named_parameters())}
    tasks = inputs[:, None].expand(-1, 3, -1, -1), action[:, None].expand(-1, 3, -1, -1)
    by_axes = log_probs(policy, params, *tasks)
    by_vmap = vmap(partial(log_probs, policy), in_dims=(0, 1, 1), out_dims=2)(params, *tasks)
    torch.testing.assert_close(by_axes, by_vmap, atol=1e-12, rtol=0)
    assert not torch.allclose(by_axes[:, :, 0], by_axes[:, :, 1], atol=1e-3)  # tasks differ


@pytest.mark.parametrize("model", ON_REGISTERS)
def test_second_derivatives_equal_finite_differences(model):
    policy = policy_of(model)
    inputs, action = trial(policy, lanes=3, episodes=1)
    params = {name: p.detach() for name, p in policy.named_parameters()}
    for product, numeric in hessian_products(lambda p: log_probs(policy, p, inputs, action).sum(), params):
        torch.testing.assert_close(product, numeric, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model", ON_REGISTERS)
def test_parameter_groups_are_valid(model):
    policy = policy_of(model)
    assert set(policy.groups.values()) <= {"angles", "scales", "heads"}
    assert policy.cell.groups.keys() <= dict(policy.cell.named_parameters()).keys()


@pytest.mark.parametrize("model", ON_REGISTERS)
def test_numbers_are_refused(model):
    plugin = MODELS.load(model)
    with pytest.raises(UsageError, match="it acts on registers of qubits, which this environment does not hand over"):
        plugin.build(plugin.Config(), Frame(3, 2, trial_steps=2), seeded())


def test_fisher_information_of_outcome_and_answer():
    """The Hessian of KL(old || new) at new = old, which `fisher` replaces, by differentiating twice."""
    policy = policy_of("coherent", episodes=1)
    inputs, action = trial(policy, episodes=1)
    params = {n: p.detach() for n, p in policy.named_parameters() if not n.startswith("critic")}
    rest = {n: p.detach() for n, p in policy.named_parameters() if n.startswith("critic")}
    direction = {name: normal(*p.shape, seed=i) for i, (name, p) in enumerate(params.items())}

    def distribution(p):
        return policy.evaluate(bind(policy, p | rest), inputs, action).distribution

    def divergence(p):
        return policy.head.kl(distribution(params), distribution(p)).sum()

    found, tangent = torch.func.jvp(distribution, (params,), (direction,))
    metric = policy.head.fisher(found, tangent)
    product = sum((metric[name] * tangent[name]).sum() for name in metric)
    slope = torch.func.grad(divergence)
    _, curvature = torch.func.jvp(slope, (params,), (direction,))
    assert float(product) > 0.1
    torch.testing.assert_close(product, sum((curvature[n] * direction[n]).sum() for n in params))
