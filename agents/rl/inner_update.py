"""The inner update: a policy-gradient step in every task, from common to task-specific weights.

    theta_j+1 = theta_j + alpha * grad J_j(theta_j)   J_j: a surrogate on the task's j-th rollout, a mean over its steps

The mean is over the steps taken, as in Finn et al. 2017, not over the horizon: a policy whose episodes end early must
change as fast as any other.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, vmap

from agents.core.rollout import Rollout
from agents.rl.acting import GRADIENT_PASSES, FastWeights, fast_weights
from agents.rl.batch import Batch, inner_batch, n_samples, select_tasks
from agents.rl.config import InnerConfig
from agents.rl.losses import policy_gradient
from agents.rl.memory import task_chunks
from qrl.policies.heads import Distribution
from qrl.policies.kinds import EpisodePolicy
from qrl.policies.policy import Params, bind

StepSizes = Params | float
"""A step size for each parameter, or one for all."""

Gradient = Callable[[Params, Batch], Params]
"""Function (theta, batch of one task) -> gradient of the inner surrogate."""


def log_prob(
    policy: EpisodePolicy, theta: Params, batch: Batch
) -> tuple[Float[Tensor, "*task time env"], Distribution]:
    """Return log pi of the actions, and the distributions [*task, time * env, ...]."""
    time = batch.valid.ndim - 2
    distribution = policy.episodes(bind(policy, theta), batch.observation, batch.action)
    values: Tensor = policy.head.log_prob(distribution, batch.action.flatten(time, time + 1))
    return values.reshape(batch.valid.shape), distribution


# --- one task --------------------------------------------------------------------------------------------------------


def inner_gradient(
    policy: EpisodePolicy, theta: Params, batch: Batch, surrogate: Callable[[Tensor, Batch], Tensor] | None = None
) -> Params:
    """Return grad J(theta), as often differentiable as the surrogate.

    `surrogate`: function (log pi [time, env], batch) -> objective of each episode; by default, that of the policy
    gradient, log pi times the advantage.
    """

    def objective(values: Params) -> Tensor:
        log_pi, _ = log_prob(policy, values, batch)
        each = policy_gradient(log_pi, batch.advantage, batch.valid) if surrogate is None else surrogate(log_pi, batch)
        return each.sum() / batch.valid.sum()

    gradient: Params = grad(objective)(theta)
    return gradient


def inner_update(theta: Params, gradient: Params, step_sizes: StepSizes, factor: float = 1.0) -> Params:
    """Return theta + factor * alpha * gradient."""
    return {name: value + factor * step_size(step_sizes, name) * gradient[name] for name, value in theta.items()}


def step_size(step_sizes: StepSizes, name: str) -> Tensor | float:
    """Return the step size of a parameter."""
    return step_sizes[name] if isinstance(step_sizes, dict) else step_sizes


def stop_gradient(gradient: Params) -> Params:
    """Return a gradient as a constant, as in a first-order meta-gradient."""
    return {name: value.detach() for name, value in gradient.items()}


# --- every task ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def adapt(
    policy: EpisodePolicy,
    state: FastWeights,
    rollout: Rollout,
    config: InnerConfig,
    step_sizes: StepSizes,
    *,
    gradient: Gradient | None = None,
    n_trained: int = 1,
) -> FastWeights:
    """Take one inner update in every task.

    Args:
        policy: network.
        state: weights that collected the rollout.
        rollout: episodes of every task.
        config: options of the advantages and of memory.
        step_sizes: alpha.
        gradient: gradient of the inner surrogate; by default, the policy gradient.
        n_trained: number of meta-trained updates; step sizes of later ones are multiplied by `extra_step_decay`.
    """
    factor = 1.0 if state.n_updates < n_trained else config.extra_step_decay
    batch = inner_batch(rollout, config)
    direction = gradient or partial(inner_gradient, policy)

    def update(theta: Params, batch: Batch) -> Params:
        return inner_update(theta, direction(theta, batch), step_sizes, factor)

    chunks = task_chunks(policy, batch.observation, GRADIENT_PASSES * n_samples(batch), config)
    parts = [vmap(update)(select_tasks(state.params, chunk), select_tasks(batch, chunk)) for chunk in chunks]
    params = {name: torch.cat([part[name] for part in parts]) for name in state.params}
    return fast_weights(policy, params, state.n_updates + 1, state.memory.shape[1])
