"""Acting with the adapted weights of each task: methods common to agents that adapt by gradient steps.

An algorithm uses these functions of an `Adapter` as its methods:

    begin, act = acting.begin, acting.act
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from agents.core.rollout import Rollout
from agents.rl.config import InnerConfig
from agents.rl.memory import check_gradient_fits
from qrl.common.errors import UsageError
from qrl.policies.policy import BoundPolicy, Params, Policy, bind

GRADIENT_PASSES = 5
"""Upper bound on the graph of an inner update, per sample [forward passes of the policy]."""


@dataclass(frozen=True)
class FastWeights:
    """Adapted policy of each task: parameters with a leading task axis, and the policies bound to them."""

    params: Params
    bound: BoundPolicy
    n_updates: int


@runtime_checkable
class Adapter(Protocol):
    """An agent whose policy starts from the same weights theta in every task."""

    policy: Policy
    theta: Params
    horizon: int
    """Longest episode [steps]."""

    @property
    def config(self) -> InnerConfig:
        """Options of the inner update."""


def fast_weights(policy: Policy, params: Params, n_updates: int) -> FastWeights:
    """Bind the policies of parameters [task, ...]."""
    with torch.no_grad():
        return FastWeights(params, bind(policy, params), n_updates)


def begin(adapter: Adapter, n_tasks: int, n_envs: int) -> FastWeights:
    """Return the initial weights for every task."""
    # Clones: a state is a value, and an outer step moves the parameters in place.
    params = {n: value.detach().clone().expand(n_tasks, *value.shape) for n, value in adapter.theta.items()}
    return fast_weights(adapter.policy, params, 0)


def act(
    adapter: Adapter, state: FastWeights, observation: Float[Tensor, "task env obs"], generator: torch.Generator
) -> tuple[Tensor, FastWeights]:
    """Draw an action for each lane from its task's policy."""
    head = adapter.policy.head
    shape = (*observation.shape[:2], head.n_noise)
    uniform = torch.rand(shape, generator=generator, device=observation.device, dtype=observation.dtype)
    return _sample(adapter.policy, state, observation, head.noise(uniform)), state


def mode(adapter: Adapter, state: FastWeights, observation: Float[Tensor, "task env obs"]) -> Tensor:
    """Return the most likely action of each lane."""
    noise = observation.new_zeros(*observation.shape[:2], adapter.policy.head.n_noise)
    return _sample(adapter.policy, state, observation, noise)


def _sample(policy: Policy, state: FastWeights, observation: Tensor, noise: Tensor) -> Tensor:
    action: Tensor = policy.head.sample(policy.distribution(state.bound, observation), noise)
    return action


def to_environment(adapter: Adapter, action: Tensor) -> Tensor:
    """Convert the policy's actions to the environment's units."""
    return adapter.policy.to_environment(action)


def check_memory(adapter: Adapter, episodes: int) -> None:
    """Raise UsageError if the graph of one task's update from this many episodes cannot fit into memory.

    Also if the baseline needs a second episode.
    """
    if episodes < 2 and adapter.config.baseline != "none":
        baseline = f"agent {adapter.config.agent}: baseline {adapter.config.baseline}"
        raise UsageError(f"{baseline} needs at least 2 episodes per update, also in an evaluation, not {episodes}")
    samples = GRADIENT_PASSES * episodes * adapter.horizon
    check_gradient_fits(f"agent {adapter.config.agent}", adapter.policy, samples)


def update_normalisation(policy: Policy, rollouts: list[Rollout]) -> None:
    """Update the policy's running statistics with the observations of rollouts."""
    for rollout in rollouts:
        policy.update_normalisation(rollout.observation[rollout.valid])
