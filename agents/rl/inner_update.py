"""The inner update: a policy-gradient step for every task, from common weights to those adapted to each.

    theta_j+1 = theta_j + alpha * grad J_j(theta_j)   J_j: a surrogate on the task's j-th rollout, a mean over its steps

A mean over the steps there are, as in Finn et al. 2017, not over the horizon: where episodes end early because the
policy is bad, it has to change as fast as elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, vmap

from agents.core.rollout import Rollout
from agents.rl.batch import Batch, inner_batch, n_samples, select_tasks
from agents.rl.config import InnerConfig
from agents.rl.losses import policy_gradient
from agents.rl.memory import check_gradient_fits, task_chunks
from qrl.policies.features import Bound
from qrl.policies.heads import Distribution
from qrl.policies.policy import Params, Policy, bind

GRADIENT_PASSES = 5
"""Most that the graph of an inner update holds of a sample [forward passes of the policy]."""

StepSizes = Params | float
"""A step size for each parameter, or one for all."""

Gradient = Callable[[Params, Batch], Params]
"""(theta, one task's batch) -> the gradient of an inner surrogate."""


# --- one task --------------------------------------------------------------------------------------------------------


def log_prob(policy: Policy, theta: Params, batch: Batch) -> tuple[Float[Tensor, "time env"], Distribution]:
    """Return log pi of one task's actions, and the distributions [time * env, ...]."""
    distribution = policy.distribution(bind(policy, theta), batch.observation.flatten(0, 1))
    values: Tensor = policy.head.log_prob(distribution, batch.action.flatten(0, 1))
    return values.reshape(batch.valid.shape), distribution


def inner_gradient(
    policy: Policy, theta: Params, batch: Batch, surrogate: Callable[[Tensor, Batch], Tensor] | None = None
) -> Params:
    """Return grad J(theta), differentiable to the order that the surrogate is.

    `surrogate`: (log pi [time, env], batch) -> what is maximised, for each episode; by default the policy gradient,
    log pi times the advantage.
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
    """Return a gradient as a constant: what a first-order meta-gradient sees of it."""
    return {name: value.detach() for name, value in gradient.items()}


# --- every task ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FastWeights:
    """An adapted policy for each task: parameters with a leading task axis, and what follows from them alone."""

    params: Params
    bound: Bound
    n_updates: int


def fast_weights(policy: Policy, params: Params, n_updates: int) -> FastWeights:
    """Bind the policies of parameters [task, ...]."""
    with torch.no_grad():
        return FastWeights(params, vmap(partial(bind, policy))(params), n_updates)


def initial_weights(policy: Policy, theta: Params, n_tasks: int) -> FastWeights:
    """Return the policy of theta for every task."""
    # Clones: a state is a value, and an outer step moves the parameters in place.
    params = {n: value.detach().clone().expand(n_tasks, *value.shape) for n, value in theta.items()}
    return fast_weights(policy, params, 0)


def draw_actions(
    policy: Policy, state: FastWeights, observation: Float[Tensor, "task env obs"], generator: torch.Generator
) -> Tensor:
    """Draw an action for each lane from its task's policy."""
    shape = (*observation.shape[:2], policy.head.n_noise)
    uniform = torch.rand(shape, generator=generator, device=observation.device, dtype=observation.dtype)
    return _sample(policy, state, observation, policy.head.noise(uniform))


def likeliest_actions(policy: Policy, state: FastWeights, observation: Float[Tensor, "task env obs"]) -> Tensor:
    """Return the most likely action of each lane's policy."""
    return _sample(policy, state, observation, observation.new_zeros(*observation.shape[:2], policy.head.n_noise))


def _sample(policy: Policy, state: FastWeights, observation: Tensor, noise: Tensor) -> Tensor:
    distribution = vmap(policy.distribution)(state.bound, observation)
    action: Tensor = policy.head.sample(distribution, noise)
    return action


@torch.no_grad()
def adapt(
    policy: Policy,
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
        policy: the network.
        state: the weights that collected the rollout.
        rollout: episodes of every task.
        config: how advantages are formed.
        step_sizes: alpha.
        gradient: of the inner surrogate; by default the policy gradient.
        n_trained: updates that were trained through; later ones are shortened by `later_step_factor`.
    """
    factor = 1.0 if state.n_updates < n_trained else config.later_step_factor
    batch = inner_batch(rollout, config)
    direction = gradient or partial(inner_gradient, policy)

    def update(theta: Params, own: Batch) -> Params:
        return inner_update(theta, direction(theta, own), step_sizes, factor)

    samples = GRADIENT_PASSES * n_samples(batch)
    chunks = task_chunks(policy, batch.observation, samples, config.memory_budget, config.chunk_tasks)
    parts = [vmap(update)(select_tasks(state.params, chunk), select_tasks(batch, chunk)) for chunk in chunks]
    params = {name: torch.cat([part[name] for part in parts]) for name in state.params}
    return fast_weights(policy, params, state.n_updates + 1)


def update_normalisation(policy: Policy, rollouts: list[Rollout]) -> None:
    """Take the observations of rollouts into the policy's running statistics."""
    for rollout in rollouts:
        policy.update_normalisation(rollout.observation[rollout.valid])


def check_adaptation_fits(policy: Policy, config: InnerConfig, horizon: int, episodes: int) -> None:
    """Raise UsageError if the graph of one task's update from this many episodes cannot fit into memory."""
    check_gradient_fits(f"agent {config.agent}", policy, GRADIENT_PASSES * episodes * horizon)
