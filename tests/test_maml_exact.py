"""MAML's meta-gradient on a bandit, where every data set can be summed: no sampling, no tolerance for noise."""

import pytest

from tests.bandit import (
    Bandit,
    LogitPolicy,
    circuit_policy,
    exact_meta_gradient,
    expected_update_gradient,
    largest,
    learner,
    library_meta_gradient,
    library_update,
    parameters,
    value_hessian,
)

EXACT = 1e-10
POLICIES = {"logits": LogitPolicy, "circuit": circuit_policy, "two wires": lambda: circuit_policy(2)}


def case(policy, episodes, pulls=1, **options):
    bandit = Bandit(episodes, pulls)
    maml = learner(POLICIES[policy](), bandit, **options)
    return maml, bandit, parameters(maml)


@pytest.mark.parametrize("baseline", ["none", "leave-one-out"])
@pytest.mark.parametrize("policy", POLICIES)
def test_expected_inner_hessian_is_that_of_the_value(policy, baseline):
    maml, bandit, theta = case(policy, 2, baseline=baseline)
    _, curvature = library_update(maml, bandit, theta)
    assert largest(curvature - value_hessian(maml.policy, bandit, theta)) < EXACT


@pytest.mark.parametrize("options", [{}, {"baseline": "leave-one-out"}, {"estimator": "first-order"}])
@pytest.mark.parametrize("policy", POLICIES)
def test_expected_meta_gradient_equals_the_formula(policy, options):
    maml, bandit, theta = case(policy, 2, **options)
    assert largest(library_meta_gradient(maml, bandit) - exact_meta_gradient(maml, bandit, theta)) < EXACT


@pytest.mark.parametrize("memory", [0.0, 0.9, 1.0])
def test_expected_meta_gradient_equals_the_formula_over_two_pulls(memory):
    maml, bandit, theta = case("circuit", 1, pulls=2, dice_memory=memory)
    assert largest(library_meta_gradient(maml, bandit) - exact_meta_gradient(maml, bandit, theta)) < EXACT


def test_bias_against_the_expected_update_falls_with_the_number_of_episodes():
    biases = []
    for episodes in (1, 2, 4):
        maml, bandit, theta = case("logits", episodes)
        bias = library_meta_gradient(maml, bandit) - expected_update_gradient(maml, bandit, theta)
        biases.append(largest(bias))
    assert biases[0] > 1.5 * biases[1] > 2 * biases[2] > 0
