"""Reptile: move the initial weights towards what a few policy-gradient steps make of them.

Nichol, Achiam and Schulman 2018 (On first-order meta-learning algorithms), the batched version (their section 5.1):

    theta <- theta + epsilon * mean over tasks of (theta_k - theta)

No derivative goes through the inner updates. Every inner update has a rollout of its own, and there is none after the
last: k rollouts an iteration.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.adaptive_adam import check_finite, restore
from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.rl.inner_update import FastWeights, GradientAdapter, InnerConfig
from qrl.policies.policy import Policy


@dataclass(frozen=True)
class Config(InnerConfig):
    """Options of Reptile."""

    meta_batch: int = 20
    """Tasks per meta-iteration [tasks] (ours, as for maml)."""
    inner_steps: int = 3
    """Policy-gradient steps from one rollout each [gradient steps]; with one this is multi-task learning (ours)."""
    outer_step_size: float = 1.0
    """epsilon, decays linearly over the run [fraction of the way to the adapted weights] (Nichol et al. 2018: 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("meta_batch", "inner_steps"), lambda value: value >= 1, "at least 1")
        self.require(("outer_step_size",), lambda value: 0 < value < math.inf, "finite and positive")


class Reptile(GradientAdapter):
    """The learner; also an adapter."""

    config: Config

    def __init__(self, config: Config, policy: Policy, horizon: int) -> None:
        super().__init__(config, policy, horizon)
        self.n_trained = self.n_rollouts = config.inner_steps
        self.n_tasks, self.n_envs = config.meta_batch, config.episodes

    @torch.no_grad()
    def update(self, rollouts: list[Rollout], states: list[FastWeights], remaining: float) -> dict[str, float]:
        """The outer step; `remaining` in (0, 1] multiplies its size. Metric: `distance` moved [Euclidean norm].

        Raises TrainingError for weights that are not finite, before it changes a parameter.
        """
        adapted = self.adapt(states[-1], rollouts[-1]).params
        size = self.config.outer_step_size * remaining
        moves = {name: size * (adapted[name].mean(0) - value) for name, value in self.params.items()}
        metrics = {"distance": math.sqrt(sum(float(move.square().sum()) for move in moves.values()))}
        check_finite(metrics)
        for name, move in moves.items():
            self.params[name] += move
        self.normalise(rollouts)
        return metrics

    def _own(self) -> dict[str, Tensor]:
        return {f"params/{name}": value for name, value in self.params.items()} | self.buffers()

    def state_dict(self) -> dict[str, Tensor]:
        """The weights and the policy's buffers."""
        return self._own()

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave. Raises UsageError if the tensors are of another model."""
        restore(self._own(), tensors)


def build(config: Config, context: BuildContext) -> Reptile:
    """The learner of the run's policy."""
    learner = Reptile(config, context.make_policy(), context.horizon)
    learner.check_memory(2)
    return learner
