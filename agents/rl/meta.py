"""Meta-parameters, and the clipped objective of the policies adapted from them."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from agents.core.saved_state import policy_buffers
from agents.rl.adaptive_adam import KLAdaptiveAdam
from agents.rl.batch import Batch
from agents.rl.config import MetaConfig
from agents.rl.gradient import Terms
from agents.rl.inner_update import StepSizes, log_prob
from agents.rl.losses import ppo_clip
from qrl.policies.kinds import EpisodePolicy
from qrl.policies.policy import Params


class Meta(NamedTuple):
    """Meta-parameters, which an outer step trains: initial weights and step sizes. A pytree, as every named tuple."""

    theta: Params
    step_sizes: StepSizes
    """One for each parameter (Meta-SGD, Li et al. 2017), or a number that is not trained."""


def initial_meta(policy: EpisodePolicy, config: MetaConfig) -> Meta:
    """Return the policy's own parameters, which training updates in place, and equal step sizes."""
    theta: Params = dict(policy.named_parameters())
    if not config.learn_step_sizes:
        return Meta(theta, config.inner_step_size)
    sizes = {name: torch.full_like(value, config.inner_step_size, requires_grad=True) for name, value in theta.items()}
    return Meta(theta, sizes)


def meta_optimiser(policy: EpisodePolicy, meta: Meta, config: MetaConfig) -> KLAdaptiveAdam:
    """Return the optimiser of the meta-parameters; it names them as in a checkpoint."""
    rates = {name: config.rate(group) for name, group in policy.groups.items()}
    params = dict(meta.theta)
    if isinstance(meta.step_sizes, dict):
        params |= {f"step_size.{name}": value for name, value in meta.step_sizes.items()}
    return KLAdaptiveAdam(config, params, dict.fromkeys(params, config.lr_step_sizes) | rates, policy_buffers(policy))


def with_old_policy(policy: EpisodePolicy, params: Params, batch: Batch) -> Batch:
    """Add the log-probabilities and distributions of the policies that collected a batch, with `params` [task, ...]."""
    with torch.no_grad():
        log_pi, distribution = log_prob(policy, params, batch)
    return replace(batch, old_log_prob=log_pi, old_distribution=distribution)


def ppo_terms(policy: EpisodePolicy, theta: Params, batch: Batch, clip: float, entropy_bonus: float = 0.0) -> Terms:
    """Return sums over the valid steps of one task: PPO's objective, KL(old || new) and entropy.

    `batch` has the old policy's log-probabilities and distributions; `clip` may be infinite.
    """
    assert batch.old_log_prob is not None and batch.old_distribution is not None
    log_pi, distribution = log_prob(policy, theta, batch)
    objective = ppo_clip(log_pi, batch.old_log_prob, batch.advantage, batch.valid, clip).sum()
    valid = batch.valid.flatten()
    kl: Tensor = torch.where(valid, policy.head.kl(batch.old_distribution, distribution), 0.0).sum()
    entropy: Tensor = torch.where(valid, policy.head.entropy(distribution), 0.0).sum()
    return {"objective": objective + entropy_bonus * entropy, "kl": kl, "entropy": entropy}
