"""Reptile: move the initial weights towards the weights after a few policy-gradient steps.

Nichol, Achiam and Schulman 2018 (On first-order meta-learning algorithms), the batched version (their section 5.1):

    theta <- theta + epsilon * mean over tasks of (theta_k - theta)

No derivative goes through the inner updates. Each inner update uses its own rollout, and there is none after the last:
k rollouts per iteration.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.core.saved_state import named_parameters, policy_buffers, restore
from agents.core.shard import WHOLE, Shard
from agents.rl import acting
from agents.rl.acting import FastWeights
from agents.rl.adaptive_adam import check_finite
from agents.rl.config import InnerConfig
from agents.rl.inner_update import adapt
from agents.rl.memory import check_gradient_fits
from qrl.common.options import tunable
from qrl.policies.kinds import EpisodePolicy
from qrl.policies.policy import Params


@dataclass(frozen=True)
class Config(InnerConfig):
    """Options of Reptile."""

    meta_batch: int = 20
    """Tasks per meta-iteration [tasks] (ours, as for maml)."""
    inner_steps: int = 3
    """Inner updates per iteration, with one rollout each [gradient steps] (ours); 1 is multi-task learning."""
    outer_step_size: float = field(default=1.0, metadata=tunable(0.1, 1, log=True))
    """Initial step size epsilon of the outer step, with linear decay over the run [fraction of the way to the adapted
    weights] (Nichol et al. 2018: 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("meta_batch", "inner_steps"), lambda value: value >= 1, "at least 1")
        self.require(("outer_step_size",), lambda value: 0 < value < math.inf, "finite and positive")


class Reptile:
    """Reptile learner. `theta` are the parameters of its policy, which training updates in place."""

    begin, act, mode = acting.begin, acting.act, acting.mode
    to_environment, check_memory = acting.to_environment, acting.check_memory

    def __init__(self, config: Config, policy: EpisodePolicy, horizon: int, shard: Shard = WHOLE) -> None:
        self.config, self.policy, self.horizon, self.shard = config, policy, horizon, shard
        self.theta: Params = dict(policy.named_parameters())
        self.n_tasks = shard.part(config.meta_batch, "agent reptile: meta_batch")
        self.n_envs, self.n_rollouts = config.episodes, config.inner_steps

    def adapt(self, state: FastWeights, rollout: Rollout) -> FastWeights:
        """Take one policy-gradient step in every task."""
        size, n_trained = self.config.inner_step_size, self.config.inner_steps
        return adapt(self.policy, state, rollout, self.config, size, n_trained=n_trained)

    @torch.no_grad()
    def update(self, rollouts: list[Rollout], states: list[FastWeights], progress_remaining: float) -> dict[str, float]:
        """Move theta towards the mean of the adapted weights; `progress_remaining` multiplies the step.

        Metric: `distance` moved [Euclidean norm]. Raises TrainingError for non-finite weights, before any parameter is
        updated.
        """
        adapted = self.adapt(states[-1], rollouts[-1]).params
        epsilon = self.config.outer_step_size * progress_remaining
        # Shards are equal, so that the mean over tasks is the mean of the shards' means.
        means = self.shard.sum([adapted[name].mean(0) / self.shard.count for name in self.theta])
        moves = {name: epsilon * (mean - value) for (name, value), mean in zip(self.theta.items(), means, strict=True)}
        metrics = {"distance": math.sqrt(sum(float(move.square().sum()) for move in moves.values()))}
        check_finite(metrics)
        for name, move in moves.items():
            self.theta[name] += move
        acting.update_normalisation(self.policy, rollouts, self.shard)
        return metrics

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights and the policy's buffers."""
        tensors = named_parameters(self.theta) | policy_buffers(self.policy)
        return {name: value.detach() for name, value in tensors.items()}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned. Raises UsageError if the tensors are of another model."""
        restore(self.state_dict(), tensors)


def build(config: Config, context: BuildContext) -> Reptile:
    """Return the learner of the run's policy."""
    learner = Reptile(config, context.make_episode_policy(), context.horizon, context.shard)
    check_gradient_fits("agent reptile", learner.policy, 2 * config.episodes * context.horizon)
    return learner
