"""The trust region: its algebra by dense solves, its Fisher products by the Hessian of the KL divergence."""

import dataclasses

import pytest
import torch
from torch.autograd.functional import hessian
from torch.func import vmap

from agents import maml
from agents.core.pytree import flatten, leaves, map_tensors, unflatten
from agents.rl.inner_update import log_prob
from agents.rl.meta import with_old_policy
from agents.rl.trust_region import backtrack, conjugate_gradient, natural_step
from qrl.models import mlp, reuploading
from qrl.policies.heads import Categorical, Gaussian
from tests.support.maml_training import rollouts, training

MODELS = {
    "mlp": mlp.Config(hidden=(3,)),
    "reuploading": reuploading.Config(n_wires=2, n_layers=1, encoding="projection"),
}


def positive_definite(n: int, seed: int) -> torch.Tensor:
    factor = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return factor @ factor.mT + 0.1 * torch.eye(n, dtype=torch.float64)


def test_conjugate_gradient_solves_in_as_many_iterations_as_dimensions():
    matrix, target = positive_definite(8, 0), torch.arange(8, dtype=torch.float64)
    calls = []

    def product(vector):
        calls.append(1)
        return matrix @ vector

    found = conjugate_gradient(product, target, 20, tolerance=1e-16)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, target), rtol=1e-6, atol=1e-6)
    assert len(calls) <= 10
    after_one = conjugate_gradient(product, target, 1)
    torch.testing.assert_close(after_one, (target @ target) / (target @ matrix @ target) * target)


def test_natural_step_has_the_target_kl():
    matrix, gradient = positive_definite(5, 1), torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0], dtype=torch.float64)
    step = natural_step(lambda v: matrix @ v, gradient, max_kl=0.02, iterations=20)
    assert float(step @ matrix @ step) / 2 == pytest.approx(0.02)
    direction = torch.linalg.solve(matrix, gradient)
    torch.testing.assert_close(step / step.norm(), direction / direction.norm(), rtol=1e-6, atol=1e-6)
    assert not natural_step(lambda v: matrix @ v, torch.zeros_like(gradient), 0.02, 20).any()


def test_backtracking_shrinks_the_step():
    tried = []

    def acceptable(fraction):
        tried.append(fraction)
        return fraction < 0.3

    assert backtrack(acceptable, 0.5, 10) == 0.25 and tried == [1.0, 0.5, 0.25]
    assert backtrack(lambda fraction: False, 0.5, 3) == 0.0


@pytest.mark.parametrize("head", [Categorical, Gaussian])
def test_fisher_of_a_head_is_the_hessian_of_its_kl(head):
    """With respect to the distribution's parameters: logits, or mean and log standard deviation."""
    x = torch.tensor([0.3, -1.2, 0.8, 0.1], dtype=torch.float64)

    def distribution(values):
        if head is Categorical:
            return {"log_probs": values.log_softmax(-1)}
        return {"mean": values[:2], "log_std": values[2:]}

    old = {name: value.detach() for name, value in distribution(x).items()}
    expected = hessian(lambda values: head.kl(old, distribution(values)), x)
    jacobian = torch.func.jacrev(distribution)(x)
    columns = [head.fisher(old, {name: j[..., i] for name, j in jacobian.items()}) for i in range(4)]
    found = torch.stack([sum(jacobian[name].mT @ column[name] for name in old) for column in columns])
    torch.testing.assert_close(found, expected)


def problem(env: str, model: str, estimator: str, inner_steps: int, **options):
    options |= {"outer": "trpo", "estimator": estimator, "inner_steps": inner_steps, "cg_damping": 0.0}
    config = maml.Config(meta_batch=3, episodes=4, inner_step_size=0.5, **options)
    run = training(env=env, model=model, model_config=MODELS[model], agent_config=config)
    agent = run.agent
    data, states = rollouts(run)
    inner, outer = map_tensors(double, agent.batches(data, states))
    agent.policy.double()
    agent.meta = map_tensors(lambda x: x.detach().double().requires_grad_(), agent.meta)
    # Sampling policies in double precision, as rounding would otherwise be divided by the square of small steps.
    *sampling, adapted = map_tensors(torch.detach, vmap(agent.path, in_dims=(None, 0))(agent.meta, inner))
    inner = tuple(with_old_policy(agent.policy, params, each) for params, each in zip(sampling, inner, strict=True))
    return agent, (inner, with_old_policy(agent.policy, adapted, outer))


def double(x):
    return x.double() if x.is_floating_point() else x


@pytest.mark.parametrize("env", ["navigation", "cartpole"])
@pytest.mark.parametrize(
    ("model", "estimator", "inner_steps"),
    [("mlp", "dice", 2), ("mlp", "emaml", 1), ("mlp", "first-order", 1), ("reuploading", "dice", 1)],
)
def test_fisher_products_equal_those_of_the_kl_hessian(env, model, estimator, inner_steps):
    agent, data = problem(env, model, estimator, inner_steps)
    point, (inner, outer) = flatten(agent.meta).detach(), data

    def adapted(theta, inner, outer):
        return log_prob(agent.policy, agent.path(unflatten(theta, agent.meta), inner)[-1], outer)[1]

    distributions = vmap(adapted, in_dims=(None, 0, 0))
    old = {name: value.detach() for name, value in distributions(point, inner, outer).items()}

    def kl(theta):
        each = agent.policy.head.kl(old, distributions(theta, inner, outer))
        return torch.where(outer.valid.flatten(1), each, 0.0).sum() / outer.valid.sum()

    dense = hessian(kl, point)
    product = agent.fisher_product(data)
    found = torch.stack([product(row) for row in torch.eye(len(point), dtype=torch.float64)])
    assert dense.abs().max() > 1e-3
    torch.testing.assert_close(found, dense, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("estimator", "options"),
    [("dice", {"dice_lambda": 0.9}), ("dice", {"dice_lambda": 1.0}), ("lvc", {}), ("emaml", {})],
)
def test_gradient_and_curvature_match_the_evaluated_objective(estimator, options):
    """By finite differences of `evaluate`, which repeats the inner updates: no derivative is shared with it."""
    agent, data = problem("cartpole", "mlp", estimator, 2, **options)
    point = flatten(agent.meta).detach()
    gradient = flatten(agent.meta_gradient(data)[0])
    product = agent.fisher_product(data)
    generator = torch.Generator().manual_seed(0)
    for part in leaves(unflatten(torch.arange(len(point), dtype=torch.float64), agent.meta)):
        direction = torch.zeros_like(point)  # one parameter at a time: weights of every kind, and step sizes
        direction[part.flatten().long()] = torch.randn(part.numel(), generator=generator, dtype=torch.float64)
        above, below = (agent.evaluate(data, unflatten(point + h * direction, agent.meta)) for h in (1e-4, -1e-4))
        assert float(gradient @ direction) == pytest.approx((below["loss"] - above["loss"]) / 2e-4, rel=1e-4, abs=1e-7)
        curvature = (above["kl"] + below["kl"]) / 1e-8
        assert float(direction @ product(direction)) == pytest.approx(curvature, rel=1e-3, abs=1e-6)


def test_fisher_products_do_not_depend_on_the_chunk_size():
    agent, data = problem("cartpole", "mlp", "dice", 1)
    vector = torch.linspace(-1, 1, len(flatten(agent.meta)), dtype=torch.float64)
    results = []
    for chunk in (1, 2, 3):
        agent.config = dataclasses.replace(agent.config, chunk_tasks=chunk)
        results.append(agent.fisher_product(data)(vector))
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])


def test_step_improves_the_objective_within_the_trust_region():
    agent, data = problem("navigation", "mlp", "dice", 1)
    before = agent.evaluate(data)
    metrics = agent.trust_region_step(data)
    now = agent.evaluate(data)
    assert before["kl"] == pytest.approx(0, abs=1e-12)
    assert now["loss"] < before["loss"] and 0 < now["kl"] <= agent.config.max_kl
    assert metrics["step_fraction"] > 0 and now == pytest.approx({k: metrics[k] for k in now})
    assert now["kl"] > 0.3 * agent.config.max_kl


def test_parameters_are_unchanged_if_no_step_improves(monkeypatch):
    agent, data = problem("navigation", "mlp", "dice", 1)
    start = flatten(agent.meta).detach().clone()
    monkeypatch.setattr(agent, "evaluate", lambda data, params: {"loss": 1e9, "kl": 0.0, "entropy": 0.0})
    metrics = agent.trust_region_step(data)
    assert metrics["step_fraction"] == 0
    assert torch.equal(flatten(agent.meta), start)
