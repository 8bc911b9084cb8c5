"""Acting with the adapted weights of each task: methods common to agents that adapt by gradient steps.

An algorithm uses these functions of an `Adapter` as its methods:

    begin, act = acting.begin, acting.act
"""

import functools
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from agents.core.rollout import Rollout
from agents.core.shard import WHOLE, Shard
from agents.rl.config import InnerConfig
from agents.rl.memory import check_gradient_fits
from qrl.common.errors import UsageError
from qrl.policies.actor import BoundPolicy, Observed
from qrl.policies.kinds import EpisodePolicy, TrialPolicy
from qrl.policies.policy import Params, bind

GRADIENT_PASSES = 5
"""Upper bound on the graph of an inner update, per sample [forward passes of the policy]."""


@dataclass(frozen=True)
class FastWeights:
    """Adapted policy of each task: parameters with a leading task axis, and the policies bound to them."""

    params: Params
    bound: BoundPolicy
    n_updates: int
    memory: Float[Tensor, "task env memory"] = field(default_factory=lambda: torch.zeros(0, 0, 0))
    """Memory within an episode, of width 0 for feed-forward policies. The first step of an episode ignores it."""


@runtime_checkable
class Adapter(Protocol):
    """An agent whose policy starts from the same weights theta in every task."""

    policy: EpisodePolicy
    theta: Params
    horizon: int
    """Longest episode [steps]."""

    @property
    def config(self) -> InnerConfig:
        """Options of the inner update."""


def fast_weights(policy: EpisodePolicy, params: Params, n_updates: int, n_envs: int) -> FastWeights:
    """Bind the policies of parameters [task, ...], at the beginning of an episode in `n_envs` lanes of each task."""
    value = next(iter(params.values()))
    with torch.no_grad():
        memory = value.new_zeros(len(value), n_envs, policy.n_memory)
        return FastWeights(params, bind(policy, params), n_updates, memory)


def begin(adapter: Adapter, n_tasks: int, n_envs: int) -> FastWeights:
    """Return the initial weights for every task."""
    # Clones: a state is a value, and an outer step moves the parameters in place.
    params = {n: value.detach().clone().expand(n_tasks, *value.shape) for n, value in adapter.theta.items()}
    return fast_weights(adapter.policy, params, 0, n_envs)


def act(
    adapter: Adapter, state: FastWeights, observation: Float[Tensor, "task env obs"], generator: torch.Generator
) -> tuple[Tensor, FastWeights]:
    """Draw an action for each lane from its task's policy."""
    shape = (*observation.shape[:2], adapter.policy.n_noise)
    uniform = torch.rand(shape, generator=generator, device=observation.device, dtype=observation.dtype)
    action, memory = adapter.policy.draw(state.bound, observation, state.memory, uniform)
    return action, replace(state, memory=memory)


def mode(adapter: Adapter, state: FastWeights, observation: Float[Tensor, "task env obs"]) -> Tensor:
    """Return the most likely action of each lane."""
    return adapter.policy.draw(state.bound, observation, state.memory, None)[0]


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


def update_normalisation(policy: EpisodePolicy | TrialPolicy, rollouts: list[Rollout], shard: Shard = WHOLE) -> None:
    """Update the policy's running statistics, if it keeps any, with the observations of all shards' rollouts."""
    if policy.normalisation != "running":
        return
    for rollout in rollouts:
        parts = zip(*map(shard.gather, Observed.of(rollout.observation[rollout.valid])), strict=True)
        policy.update_statistics(functools.reduce(Observed.merged, (Observed(*each) for each in parts)))
