"""MAML's meta-gradient by enumeration of all data sets: no sampling, no tolerance for noise."""

from dataclasses import replace

import pytest
import torch
from torch.autograd.functional import jacobian

from tests.support.enumeration.expectations import (
    advantages,
    central_difference,
    estimates,
    exact_meta_gradient,
    expected_update_gradient,
    log_pi,
    outer_variances,
    sampled_objective,
    sampled_update_gradient,
    sequences,
    slope,
    steps_of,
    value,
    value_hessian,
    variances,
)
from tests.support.enumeration.library import largest, library_meta_gradient, library_training_gradient, library_update
from tests.support.enumeration.policies import LogitPolicy, circuit_policy, learner, parameters, policies
from tests.support.enumeration.processes import bandit, early_end, two_states

EXACT = 1e-10
PROBLEMS = {"bandit": bandit, "two states": two_states, "early end": early_end}
POLICIES = ("logits", "1 wire", "2 wires")
ESTIMATORS = {
    "dice": {"estimator": "dice"},
    "dice 0.9": {"estimator": "dice", "dice_lambda": 0.9},
    "lvc": {"estimator": "lvc"},
    "emaml": {"estimator": "emaml"},
    "first-order": {"estimator": "first-order"},
}
SIZES = {
    "1 episode": {"episodes": 1},
    "2 episodes": {"episodes": 2},
    "baseline": {"episodes": 2, "baseline": "leave-one-out"},
}

# Affordable combinations of problem, policy and inner steps, with two episodes per data set.
AFFORDABLE = [
    *((problem, "logits", steps) for problem in PROBLEMS for steps in (1, 2)),
    ("early end", "1 wire", 1),
    ("two states", "1 wire", 2),
    ("two states", "2 wires", 1),
    ("bandit", "2 wires", 2),
]

every_problem = pytest.mark.parametrize("problem", PROBLEMS)
every_policy = pytest.mark.parametrize("policy", POLICIES)
every_size = pytest.mark.parametrize("size", SIZES)
one_or_two_steps = pytest.mark.parametrize("steps", [1, 2])


def case(problem, policy, episodes=2, **options):
    world = PROBLEMS[problem](episodes)
    maml = learner(policies(world)[policy], world, **options)
    return maml, world, parameters(maml)


# --- the enumeration itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "n_episodes", "by_hand"), [("bandit", 4, 0.55), ("two states", 8, 0.4975), ("early end", 9, 0.46625)]
)
def test_value_of_the_uniform_policy(problem, n_episodes, by_hand):
    world = PROBLEMS[problem]()
    assert len(world.chance) == n_episodes
    policy = LogitPolicy(len(world.outcomes))
    assert float(value(policy, world)(torch.zeros(1, policy.logits.numel(), dtype=torch.float64))) == pytest.approx(
        by_hand
    )


@every_problem
@one_or_two_steps
def test_probabilities_of_all_data_sets_sum_to_1(problem, steps):
    maml, world, theta = case(problem, "1 wire", inner_steps=steps)
    drawn = sequences(maml, world, theta)
    assert float(drawn.probability.sum()) == pytest.approx(1.0, abs=1e-12)
    assert drawn.data.shape == (len(world.members) ** steps, steps)


@every_problem
def test_order_of_episodes_has_no_effect(problem):
    options = {"baseline": "leave-one-out", "estimator": "emaml"}
    maml, world, _ = case(problem, "logits", **options)
    ordered = replace(world, ordered=True)
    assert len(ordered.members) > len(world.members)
    assert largest(library_meta_gradient(maml, world) - library_meta_gradient(maml, ordered)) < EXACT


# --- the inner update -------------------------------------------------------------------------------------------------


@every_problem
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_expected_inner_gradient_is_the_gradient_of_the_value(problem, estimator):
    maml, world, theta = case(problem, "1 wire", baseline="leave-one-out", **ESTIMATORS[estimator])
    gradient, _ = library_update(maml, world, theta)
    function = value(maml.policy, world)
    assert largest(gradient - jacobian(lambda x: function(x[None])[0], theta)) < EXACT


@every_problem
@every_policy
@every_size
def test_expected_inner_hessian_is_the_hessian_of_the_value(problem, policy, size):
    maml, world, theta = case(problem, policy, **SIZES[size])
    _, curvature = library_update(maml, world, theta)
    assert largest(curvature - value_hessian(maml.policy, world, theta)) < EXACT


@pytest.mark.parametrize("estimator", ["dice 0.9", "lvc", "emaml", "first-order"])
def test_other_estimators_have_a_biased_hessian_in_a_task_with_states(estimator):
    maml, world, theta = case("two states", "1 wire", **ESTIMATORS[estimator])
    _, curvature = library_update(maml, world, theta)
    assert largest(curvature - value_hessian(maml.policy, world, theta)) > 1e-3


# --- the meta-gradient ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("problem", "policy", "steps"), AFFORDABLE)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_expected_meta_gradient_equals_the_formula(problem, policy, steps, estimator):
    maml, world, theta = case(problem, policy, inner_steps=steps, **SIZES["baseline"], **ESTIMATORS[estimator])
    assert largest(library_meta_gradient(maml, world) - exact_meta_gradient(maml, world, theta)) < EXACT


@every_problem
@one_or_two_steps
@pytest.mark.parametrize("size", ["1 episode", "2 episodes"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_meta_gradient_equals_the_formula_for_each_sequence_of_data_sets(problem, steps, size, estimator):
    """Random numbers replace the probabilities."""
    maml, world, theta = case(problem, "logits", inner_steps=steps, **SIZES[size], **ESTIMATORS[estimator])
    _, each = estimates(maml, world, theta)
    weight = torch.randn(len(each), dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / len(each)
    assert largest(library_meta_gradient(maml, world, weight=weight) - weight @ each) < EXACT


@pytest.mark.parametrize("dice_lambda", [0.0, 0.9, 1.0])
def test_meta_gradient_equals_the_formula_over_two_pulls(dice_lambda):
    world = bandit(1, pulls=2)
    maml = learner(circuit_policy(), world, dice_lambda=dice_lambda)
    assert largest(library_meta_gradient(maml, world) - exact_meta_gradient(maml, world, parameters(maml))) < EXACT


@pytest.mark.parametrize("options", [{"learn_step_sizes": True}, {"standardise_inner": True}, {"outer": "trpo"}])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_meta_gradient_equals_the_formula_with_options(estimator, options):
    options = options | {"inner_steps": 2, "baseline": "leave-one-out"} | ESTIMATORS[estimator]
    maml, world, meta = case("early end", "1 wire", **options)
    assert largest(library_meta_gradient(maml, world) - exact_meta_gradient(maml, world, meta)) < EXACT


@pytest.mark.parametrize(("problem", "policy", "steps"), AFFORDABLE)
@pytest.mark.parametrize(("size", "standardised"), [("1 episode", False), ("baseline", False), ("baseline", True)])
def test_emaml_is_the_gradient_of_adapting_on_samples(problem, policy, steps, size, standardised):
    """E_D[V(theta + alpha g(D))], also with respect to the step sizes."""
    options = SIZES[size] | {"inner_steps": steps, "learn_step_sizes": steps == 2, "standardise_inner": standardised}
    maml, world, meta = case(problem, policy, estimator="emaml", **options)
    assert largest(library_meta_gradient(maml, world) - sampled_update_gradient(maml, world, meta)) < EXACT


@pytest.mark.parametrize(
    ("problem", "policy", "steps"), [c for c in AFFORDABLE if c[1] == "logits" or c[1:] == ("1 wire", 1)]
)
def test_emaml_is_the_difference_quotient_of_adapting_on_samples(problem, policy, steps):
    maml, world, theta = case(problem, policy, estimator="emaml", inner_steps=steps, baseline="leave-one-out")
    quotient = central_difference(sampled_objective(maml, world), theta)
    assert largest(library_meta_gradient(maml, world) - quotient) < EXACT


@every_problem
@one_or_two_steps
@every_size
def test_score_baseline_keeps_the_expectation_but_changes_each_sample(problem, steps, size):
    maml, world, theta = case(problem, "logits", estimator="emaml", inner_steps=steps, **SIZES[size])
    exact = sampled_update_gradient(maml, world, theta)
    assert largest(library_meta_gradient(maml, world, baseline="leave-one-out") - exact) < EXACT
    assert largest(estimates(maml, world, theta, baseline="leave-one-out")[1] - estimates(maml, world, theta)[1]) > 1e-3


@pytest.mark.parametrize(("problem", "size"), [("bandit", "baseline"), ("two states", "1 episode")])
def test_emaml_of_sampled_rollouts_is_the_gradient_of_adapting_on_samples(problem, size):
    """With outer data, advantages, scores and their baseline as in training, for every pair of rollouts."""
    maml, world, theta = case(problem, "logits", estimator="emaml", **SIZES[size])
    exact = sampled_update_gradient(maml, world, theta)
    assert largest(library_training_gradient(maml, world) - exact) < EXACT


# --- biases -----------------------------------------------------------------------------------------------------------


def bias(estimator, step, exact, **options):
    options = {"inner_step_size": step, "baseline": "leave-one-out"} | ESTIMATORS[estimator] | options
    maml, world, theta = case("two states", "1 wire", **options)
    return float((exact_meta_gradient(maml, world, theta) - exact(maml, world, theta)).norm())


@one_or_two_steps
@pytest.mark.parametrize("exact", [expected_update_gradient, sampled_update_gradient])
@pytest.mark.parametrize(("estimator", "order"), [("dice", 2), ("dice 0.9", 1), ("lvc", 1), ("first-order", 1)])
def test_order_of_the_bias_in_the_step_size(estimator, order, exact, steps):
    coarse, fine = (bias(estimator, step, exact, inner_steps=steps) for step in (2e-3, 1e-3))
    assert coarse / fine == pytest.approx(2**order, rel=0.02)


@pytest.mark.parametrize("exact", [expected_update_gradient, sampled_update_gradient])
def test_bias_of_dice_is_inversely_proportional_to_the_number_of_episodes(exact):
    one, two, four = (bias("dice", 1e-3, exact, episodes=n, baseline="none") for n in (1, 2, 4))
    assert one / two == pytest.approx(2, rel=0.02)
    assert one / four == pytest.approx(4, rel=0.02)


# --- variances --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["dice", "emaml"])
@pytest.mark.parametrize("options", [{"episodes": 1}, {"episodes": 3}, {"episodes": 3, "baseline": "leave-one-out"}])
def test_variance_over_outer_data_equals_enumeration_of_outer_data_sets(estimator, options):
    maml, world, theta = case("early end", "logits", estimator=estimator, **options)
    drawn = sequences(maml, world, theta)
    some = slice(None, None, 20)
    function = log_pi(maml.policy, world)
    log_prob = steps_of(world, function(drawn.theta[some])).sum(-1) + world.chance.log()
    probability = log_prob[:, world.members].sum(-1).exp() * world.orders
    score = steps_of(world, slope(function, drawn.theta[some])) @ drawn.jacobian[some, None]
    size = world.episodes * world.horizon
    each = torch.einsum("det,sdetq->sdq", advantages(maml, world), score[:, world.members]) / size
    if estimator == "emaml":
        each = each + world.returns[world.members].mean(1)[:, None] * drawn.scores[0][some].sum(1)[:, None]
    mean = torch.einsum("sd,sdq->sq", probability, each)
    expected = torch.einsum("sd,sdq->s", probability, (each - mean[:, None]).square())
    assert largest(outer_variances(maml, world, drawn)[some] - expected) < EXACT


def test_variance_over_inner_data_by_hand():
    """One pull: sum over arms and rewards of P |estimate|^2, minus |mean|^2."""
    world = bandit(1)
    maml = learner(LogitPolicy(), world, estimator="first-order", inner_step_size=1.0)
    logits = torch.tensor([0.4, -0.3], dtype=torch.float64)
    pi = logits.softmax(0)
    total, mean = 0.0, torch.zeros(2, dtype=torch.float64)
    for arm, paid in ((0, 0.8), (1, 0.3)):
        for reward, chance in ((1.0, paid), (0.0, 1 - paid)):
            moved = (logits + reward * (torch.eye(2)[arm] - pi)).softmax(0)
            slope_of_value = moved[0] * moved[1] * 0.5 * torch.tensor([1.0, -1.0], dtype=torch.float64)
            total += pi[arm] * chance * slope_of_value.square().sum()
            mean = mean + pi[arm] * chance * slope_of_value
    assert variances(maml, world, parameters(maml))[0] == pytest.approx(float(total - mean.square().sum()), abs=1e-12)


def test_discounted_inner_gradient_is_not_the_gradient_of_a_return():
    """As is usual, gamma^t is left out. docs/estimators.md states the size of the bias."""
    maml, world, theta = case("two states", "logits", discount=0.9)
    found, _ = library_update(maml, world, theta)
    plain = slope(value(maml.policy, world), theta[None])[0].detach()
    assert 0.005 < (found - plain).norm() / plain.norm() < 0.05
