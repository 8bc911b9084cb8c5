"""The Fisher information of adapted policies, as a product with vectors.

    KL(pi_old || pi_new), averaged, has at new = old the Hessian J' F J:
    J = dD/dtheta_k U_k ... U_1     D: the distributions of the policy theta_k after its inner updates
    U_j v = v_theta + alpha * H_j v_theta + g_j * v_alpha     the j-th inner update's derivative; H_j symmetric

with F the Fisher information of the distributions themselves, in closed form (`fisher` of a head). `first-order` drops
H_j, as in the gradient. No derivatives beyond the Hessians H_j of the inner surrogates are needed; the usual Hessian of
the KL divergence itself needs one more. (Gauss-Newton: Schraudolph 2002; in TRPO: Schulman et al. 2015, appendix C.)
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import jvp, vjp, vmap

from agents.core.pytree import map_tensors
from agents.rl.batch import Batch
from agents.rl.inner_update import Gradient, log_prob, step_size
from agents.rl.meta import Meta
from qrl.policies.heads import Distribution
from qrl.policies.kinds import EpisodePolicy
from qrl.policies.policy import Params


def fisher_product(
    policy: EpisodePolicy, meta: Meta, inner: Sequence[Batch], outer: Batch, gradient: Gradient, weight: float
) -> Callable[[Meta], Meta]:
    """Return v -> J' F J v for meta-parameters, the sum over tasks and valid steps times `weight`.

    The function keeps the graphs of the inner gradients alive.

    Args:
        policy: network.
        meta: the point at which the information is taken.
        inner: the batches of the inner updates, [task, ...].
        outer: the batch of the adapted policies.
        gradient: gradient of the inner surrogate for one task.
        weight: one over the number of valid steps.
    """
    meta, n_tasks = map_tensors(torch.detach, meta), len(outer.valid)
    theta = {name: value.expand(n_tasks, *value.shape) for name, value in meta.theta.items()}
    sizes = {name: step_size(meta.step_sizes, name) for name in theta}
    learned = isinstance(meta.step_sizes, dict)
    updates = []
    for batch in inner:
        direction, hessian, *_ = vjp(_inner_gradients(gradient, batch), theta)
        updates.append((direction, hessian))
        theta = {name: value + sizes[name] * direction[name] for name, value in theta.items()}

    def distributions(params: Params) -> Distribution:
        return vmap(lambda one, batch: log_prob(policy, one, batch)[1])(params, outer)

    distribution, pull_back, *_ = vjp(distributions, theta)
    valid = outer.valid.flatten(1)

    def product(vector: Meta) -> Meta:
        tangent = {name: vector.theta[name].expand_as(value) for name, value in theta.items()}
        for direction, hessian in updates:
            (curved,) = hessian(tangent)
            by_size = {n: direction[n] * step_size(vector.step_sizes, n) if learned else 0.0 for n in tangent}
            tangent = {name: v + sizes[name] * curved[name] + by_size[name] for name, v in tangent.items()}
        _, outputs, *_ = jvp(distributions, (theta,), (tangent,))
        metric = policy.head.fisher(distribution, outputs)
        masked = {name: torch.where(_like(valid, value), value, 0.0) for name, value in metric.items()}
        (cotangent,) = pull_back({name: weight * value for name, value in masked.items()})
        by_alpha = {name: torch.zeros_like(value) for name, value in meta.theta.items()}
        for direction, hessian in reversed(updates):
            by_alpha = {name: total + (direction[name] * cotangent[name]).sum(0) for name, total in by_alpha.items()}
            (curved,) = hessian({name: sizes[name] * value for name, value in cotangent.items()})
            cotangent = {name: value + curved[name] for name, value in cotangent.items()}
        theta_product = {name: value.sum(0) for name, value in cotangent.items()}
        return Meta(theta_product, by_alpha if learned else meta.step_sizes)

    return product


def _inner_gradients(gradient: Gradient, batch: Batch) -> Callable[[Params], Params]:
    """Return the gradients of every task as a function of their parameters alone."""
    return lambda theta: vmap(gradient)(theta, batch)


def _like(valid: Tensor, value: Tensor) -> Tensor:
    """Return `valid` with as many axes as a value."""
    return valid.reshape(valid.shape + (1,) * (value.ndim - valid.ndim))
