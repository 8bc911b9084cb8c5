"""The Fisher information of adapted policies, as a product with vectors.

    KL(pi_old || pi_new), averaged, has at new = old the Hessian J' F J:
    J = dD/dtheta_k U_k ... U_1     D: the distributions of the policy theta_k after its inner updates
    U_j v = v_theta + alpha * H_j v_theta + g_j * v_alpha     the j-th inner update's derivative; H_j symmetric

with F the Fisher information of the distributions themselves, in closed form (`fisher` of a head); `first-order` leaves
H_j out here as it does in the gradient. Nothing beyond the Hessians H_j of the inner surrogates is differentiated; the
Hessian of the KL divergence itself, as it is usually taken, needs one derivative more. (Gauss-Newton: Schraudolph 2002;
in TRPO: Schulman et al. 2015, appendix C.)
"""

from collections.abc import Callable
from functools import partial

import torch
from torch.func import jvp, vjp, vmap

from agents.rl.inner_update import STEP_PREFIX, Data, GradientAdapter
from qrl.policies.policy import Params


def linearise(agent: GradientAdapter, rollouts: list[Data], weight: float) -> Callable[[Params], Params]:
    """v -> J' F J v for meta-parameters, the sum over tasks and valid steps times `weight`.

    `rollouts` hold the inner data and then that of the adapted policies. The graphs of the inner gradients are kept for
    as long as the function is.
    """
    *inner, outer = rollouts
    meta = {name: value.detach() for name, value in agent.params.items()}
    n_tasks = len(outer["valid"])
    params = {name: meta[name].expand(n_tasks, *meta[name].shape) for name in agent.policy.groups}
    sizes = {name: agent._step_size(meta, name) for name in params}
    steps = []
    for data in inner:
        gradient, hessian, *_ = vjp(partial(_of_each, vmap(agent._inner_gradient), data), params)
        steps.append((gradient, hessian))
        params = {name: p + sizes[name] * gradient[name] for name, p in params.items()}

    distributions = partial(_of_each, vmap(partial(_distribution, agent)), outer)
    distribution, pull, *_ = vjp(distributions, params)
    valid = outer["valid"].flatten(1).unsqueeze(-1)

    def product(vector: Params) -> Params:
        moved = {name: vector[name].expand_as(value) for name, value in params.items()}
        for gradient, hessian in steps:
            (bent,) = hessian(moved)
            learned = {name: gradient[name] * vector.get(STEP_PREFIX + name, 0.0) for name in moved}
            moved = {name: v + sizes[name] * bent[name] + learned[name] for name, v in moved.items()}
        _, tangent, *_ = jvp(distributions, (params,), (moved,))
        metric = agent.policy.head.fisher(distribution, tangent)
        (back,) = pull({name: weight * torch.where(valid, value, 0.0) for name, value in metric.items()})
        result = {name: value.new_zeros(value.shape) for name, value in meta.items()}
        for gradient, hessian in reversed(steps):
            for name in back:
                if STEP_PREFIX + name in result:
                    result[STEP_PREFIX + name] += (gradient[name] * back[name]).sum(0)
            (bent,) = hessian({name: sizes[name] * value for name, value in back.items()})
            back = {name: value + bent[name] for name, value in back.items()}
        return result | {name: value.sum(0) for name, value in back.items()}

    return product


def _of_each(function: Callable[[Params, Data], Params], data: Data, params: Params) -> Params:
    return function(params, data)


def _distribution(agent: GradientAdapter, params: Params, data: Data) -> Params:
    return agent._log_prob(params, data)[1]
