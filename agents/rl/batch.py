"""Rollouts with advantages, and with the action probabilities of the policy that collected them."""

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from agents.core.pytree import map_tensors, register_pytree
from agents.core.rollout import Rollout
from agents.core.shard import WHOLE, Shard
from agents.rl.config import InnerConfig
from agents.rl.returns import leave_one_out, linear_baseline, returns_to_go, standardise
from qrl.policies.heads import Distribution

Tree = TypeVar("Tree")


@register_pytree
@dataclass(frozen=True)
class Batch:
    """One rollout of every task, [task, time, env, ...]; inside `vmap`, of one task, [time, env, ...]."""

    observation: Float[Tensor, "*task time env obs"]
    action: Shaped[Tensor, "..."]
    advantage: Float[Tensor, "*task time env"]
    valid: Bool[Tensor, "*task time env"]
    old_log_prob: Float[Tensor, "*task time env"] | None = None
    """Log-probability of the actions under the policy that took them."""
    old_distribution: Distribution | None = None
    """Action distributions of that policy, [task, time * env, ...]."""
    score: Float[Tensor, "*task time env"] | None = None
    """Advantage of having sampled these data, for the score-function term of E-MAML."""


def inner_batch(rollout: Rollout, config: InnerConfig) -> Batch:
    """Return the batch of an inner update; its advantages are divided by each task's deviation if configured so."""
    batch = plain_batch(rollout, config)
    return _standardised(batch, per_task=True) if config.standardise_inner else batch


def outer_batch(rollout: Rollout, config: InnerConfig, shard: Shard = WHOLE) -> Batch:
    """Return the batch of an outer step: advantages divided by their deviation over all tasks, of all shards."""
    return _standardised(plain_batch(rollout, config), per_task=False, shard=shard)


def plain_batch(rollout: Rollout, config: InnerConfig) -> Batch:
    """Return a rollout with its discounted returns-to-go minus a baseline as advantages; 0 in padding."""
    returns = returns_to_go(rollout.reward, config.discount)
    match config.baseline:
        case "leave-one-out":
            returns = returns - leave_one_out(returns)
        case "linear":
            returns = returns - linear_baseline(returns, rollout.observation, rollout.valid)
        case "none":
            pass
    advantage = torch.where(rollout.valid, returns, 0.0)
    observation, action, advantage, valid = (
        column.transpose(0, 1) for column in (rollout.observation, rollout.action, advantage, rollout.valid)
    )
    return Batch(observation, action, advantage, valid)


def _standardised(batch: Batch, *, per_task: bool, shard: Shard = WHOLE) -> Batch:
    valid = batch.valid.transpose(0, 1)
    advantage = standardise(batch.advantage.transpose(0, 1), valid, per_task=per_task, shard=shard)
    return replace(batch, advantage=advantage.transpose(0, 1))


def select_tasks(tree: Tree, tasks: slice) -> Tree:
    """Index every tensor along its leading task axis."""
    return map_tensors(lambda tensor: tensor[tasks], tree)


def n_samples(batch: Batch) -> int:
    """Return the number of samples of one task, including padding, which is computed like the rest."""
    return batch.valid[0].numel()
