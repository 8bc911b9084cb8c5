"""Derivatives of log-probabilities of measured trials, by hand and by finite differences."""

import math

import pytest
import torch
from torch.func import grad, hessian, vmap

from envs.quantum_memory import Config, QuantumMemory
from tests.support.double_precision import hessian_products
from tests.support.register_trials import (
    PAIR,
    Recorded,
    answer_table,
    cell_of,
    every_history,
    exact_success,
    haar_states,
    observations,
    policy,
    replayed,
    success_rate,
)

STEP = 1e-6
BASIS = torch.eye(4, dtype=torch.complex128)


def parameters(made):
    return {name: value.detach().clone() for name, value in made.named_parameters()}


def numeric(function, made, name, position):
    """Central difference of a function of the policy's own parameters."""
    value = dict(made.named_parameters())[name]
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            value.view(-1)[position] += sign * STEP
            values.append(function())
        value.view(-1)[position] += STEP
    return (values[0] - values[1]) / (2 * STEP)


@pytest.mark.parametrize("options", [{}, {"memory": "measured"}, {"n_memory": 2, "measured_wires": (0,)}])
@pytest.mark.parametrize("mode", ["symmetry", "match"])
def test_score_function_gradient_is_that_of_the_exact_success_rate(mode, options):
    """E[R grad log pi], enumerated, equals finite differences of the trace of POVM elements with the mean states."""
    cases = QuantumMemory(Config(mode=mode)).case_states()
    made = policy(n_layers=1, **options)
    with torch.no_grad():
        answer_table(cell_of(made)).mul_(20)
    exact = exact_success(made, cases)
    assert float(exact().detach()) == pytest.approx(success_rate(cell_of(made), cases), abs=1e-12)

    def surrogate(theta):
        log_pi = exact.log_probs(theta).sum(0)
        return (exact.weight * log_pi.detach().exp() * log_pi).sum()

    found = grad(surrogate)(parameters(made))
    for name, value in found.items():
        for position in range(0, value.numel(), 3):
            expected = numeric(lambda: success_rate(cell_of(made), cases), made, name, position)
            assert float(value.view(-1)[position]) == pytest.approx(expected, abs=1e-9), name
    assert found["cell.angles"].abs().max() > 5e-3


@pytest.mark.parametrize("options", [{}, {"memory": "measured"}])
def test_hessian_of_the_exact_success_rate(options):
    """Second derivative of the enumerated expectation, E[R (hess + grad grad') log pi], by finite differences."""
    made = policy(n_layers=1, **options)
    exact = exact_success(made, QuantumMemory(Config(mode="match")).case_states())
    for found, expected in hessian_products(exact, parameters(made)):
        torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("errors", [0, 3])
def test_second_derivatives_of_the_log_probability_of_each_history(errors):
    """Without the expectation, in which a mistake could cancel; with and without an error of the storage."""
    made = policy(n_layers=1, memory="dephased", dephasing=0.2)
    recorded = every_history(made, haar_states(PAIR, 1), [0])
    chosen = [n for n, e in enumerate(recorded.action[0, :, 2].tolist()) if e == errors][::3]
    recorded = Recorded(recorded.observation[:, chosen], recorded.action[:, chosen], *[recorded.reward[:, chosen]] * 2)
    mix = torch.linspace(-1, 2, len(chosen), dtype=torch.float64)

    def loss(theta):
        return made.head.log_prob(replayed(made, recorded, theta), recorded.action).sum(0) @ mix

    for found, expected in hessian_products(loss, parameters(made)):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("probability", [0.3, 1e-4, 1e-12])
def test_derivatives_by_hand_where_an_outcome_is_rare(probability):
    """RY(x) on a register in |0>: log P(1) = 2 log sin(x/2), with derivatives cot(x/2) and -1/(2 sin(x/2)^2).

    The register that follows is in |0> as well, and its outcome is certain; log P of the trial is that of A's outcome.
    """
    made = policy(n_layers=1)
    cell, index = cell_of(made), 4  # RY of the register's wire, after RZ, RY, RZ of the memory's and RZ
    with torch.no_grad():
        cell.angles.zero_()
        cell.angles[0, index] = x = 2 * math.asin(math.sqrt(probability))
    action = torch.tensor([[0, 1, 0], [0, 0, 0]])[:, None]
    recorded = Recorded(observations(PAIR, BASIS[:1]), action, torch.zeros(2, 1), torch.zeros(2, 1))
    theta = parameters(made)

    def log_prob(angle):
        angles = torch.zeros_like(theta["cell.angles"]).index_put((torch.tensor(0), torch.tensor(index)), angle)
        distribution = replayed(made, recorded, {**theta, "cell.angles": angles})
        return distribution["outcome_log_prob"].sum()

    angle = torch.tensor(x, dtype=torch.float64)
    assert float(log_prob(angle)) == pytest.approx(math.log(probability), rel=1e-9)
    assert float(grad(log_prob)(angle)) == pytest.approx(1 / math.tan(x / 2), rel=1e-6)
    assert float(hessian(log_prob)(angle)) == pytest.approx(-1 / (2 * math.sin(x / 2) ** 2), rel=1e-6)


def test_outcome_of_probability_zero_leaves_all_derivatives_finite():
    """All angles 0 and registers in |00>: outcome 1 is impossible, in the recorded trial and in the divergence."""
    made = policy(n_layers=1)
    with torch.no_grad():
        cell_of(made).angles.zero_()
    seen = observations(PAIR, BASIS[:1])
    recorded = Recorded(seen, torch.zeros(2, 1, 3, dtype=torch.int64), torch.zeros(2, 1), torch.zeros(2, 1))
    theta = parameters(made)
    old = {name: value.detach() for name, value in replayed(made, recorded).items()}
    assert old["outcome_probs"][:, 0].tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]

    def log_prob(values):
        return made.head.log_prob(replayed(made, recorded, values), recorded.action).sum()

    def divergence(values):
        return made.head.kl(old, replayed(made, recorded, values)).sum()

    for function in (log_prob, divergence):
        first = vmap(grad(function))({n: v[None] for n, v in theta.items()})
        assert all(value.isfinite().all() for value in first.values())
        for found, expected in hessian_products(log_prob, theta):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
