"""The outer step: what meta-learners share that adapt by gradients."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.func import vmap

from agents.core.adaptive_adam import PPO, PPOConfig
from agents.core.rollout import Rollout
from agents.rl.inner_update import STEP_PREFIX, Data, FastWeights, GradientAdapter, InnerConfig, some
from agents.rl.losses import ppo_clip
from qrl.policies.policy import Params, Policy

Sums = dict[str, Tensor]
"""Of one task over its valid steps: `objective`, which is climbed, and what else is worth knowing."""


@dataclass(frozen=True)
class OuterConfig(InnerConfig, PPOConfig):
    """Options of the inner update and of an outer step by PPO."""

    meta_batch: int = 20
    """Tasks per meta-iteration [tasks] (20 to 40 in Finn et al. 2017)."""
    learn_step_sizes: bool = True
    """Learn a step size for each parameter (Meta-SGD, Li et al. 2017); else all stay at inner_step_size."""
    lr_step_sizes: float = 0.01
    """Adam learning rate of the inner step sizes [per step] (ours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("meta_batch",), lambda value: value >= 1, "at least 1")
        self.require(("lr_step_sizes",), lambda value: 0 <= value < math.inf, "finite and not negative")
        if not self.learn_step_sizes:
            self.refuse(("lr_step_sizes",), "learn_step_sizes false")


class OuterLearner(GradientAdapter, ABC):
    """A gradient adapter whose initial weights and step sizes are trained by an outer step. To be extended.

    An outer step sees its rollouts as a list of data, of all tasks or of one: those of inner updates, then, last, those
    over whose valid steps the objective is a mean.
    """

    config: OuterConfig
    graph_passes = 1
    """What the graph holds of a step of an inner update [forward passes of the policy]."""

    def __init__(self, config: OuterConfig, policy: Policy, horizon: int, n_rollouts: int) -> None:
        super().__init__(config, policy, horizon)
        if config.learn_step_sizes:
            size = config.inner_step_size
            self.params |= {STEP_PREFIX + name: torch.full_like(value, size) for name, value in self.params.items()}
        groups = self.policy.groups
        rates = {n: config.rate(groups[n]) if n in groups else config.lr_step_sizes for n in self.params}
        self.outer = PPO(config, self.params, rates, self.buffers())
        self.n_rollouts, self.n_tasks, self.n_envs = n_rollouts, config.meta_batch, config.episodes
        self.state_dict, self.load_state_dict = self.outer.state_dict, self.outer.load_state_dict

    @abstractmethod
    def meta_data(self, rollouts: list[Rollout], states: list[FastWeights]) -> list[Data]:
        """What the outer step needs of the rollouts; `states[j]` made `rollouts[j]`."""

    @abstractmethod
    def _task_objective(self, meta: Params, data: list[Data]) -> Sums:
        """Objective, KL(old || new) and entropy of one task, sums over valid steps."""

    def clipped_sums(self, params: Params, data: Data, clip: float) -> Sums:
        """PPO-clip objective with entropy bonus, KL(old || new) and entropy of one task's policy on `sampled` data.

        Sums over valid steps; `clip` may be infinite.
        """
        head = self.policy.head
        log_prob, distribution = self._log_prob(params, data)
        objective = ppo_clip(log_prob, data["old_log_prob"], data["advantage"], data["valid"], clip).sum()
        old = {name.removeprefix("old."): value for name, value in data.items() if name.startswith("old.")}
        valid = data["valid"].flatten()
        kl = torch.where(valid, head.kl(old, distribution), 0.0).sum()
        entropy = torch.where(valid, head.entropy(distribution), 0.0).sum()
        return {"objective": objective + self.config.entropy_bonus * entropy, "kl": kl, "entropy": entropy}

    def update(self, rollouts: list[Rollout], states: list[FastWeights], remaining: float) -> dict[str, float]:
        """The outer step on the rollouts after 0, 1, ... inner updates; `states[j]` made `rollouts[j]`.

        `remaining` in (0, 1] multiplies the learning rates (linear annealing is the caller's 1 - iteration/iterations).
        Metrics are those of `outer_step`. Raises TrainingError for a non-finite loss or gradient, before a parameter
        takes it up.
        """
        metrics = self.outer_step(self.meta_data(rollouts, states), remaining)
        self.normalise(rollouts)
        return metrics

    def outer_step(self, data: list[Data], remaining: float) -> dict[str, float]:
        """Metrics: `loss` (to be minimised) and `entropy` of the last epoch, before its step, and those of `climb`."""
        gradient, measure = partial(self.meta_gradient, data), partial(self.measured, data)
        return self.outer.climb(gradient, measure, remaining, self.config.epochs)

    def meta_gradient(self, data: list[Data]) -> tuple[list[Tensor], dict[str, float]]:
        """Gradient of the objective for every entry of `params`, and metrics: `loss` and the other sums' means.

        Only the graph of one chunk of tasks is held at a time.
        """
        mapped, scale = vmap(self._task_objective, in_dims=(None, 0)), mean_scale(data)
        total = [torch.zeros_like(value) for value in self.params.values()]
        sums: dict[str, Tensor] = {}
        for part in self.meta_chunks(data):
            results = mapped(self.params, [some(rows, part) for rows in data])
            reduced = {name: scale * value.sum() for name, value in results.items()}
            gradients = torch.autograd.grad(reduced["objective"], list(self.params.values()), allow_unused=True)
            total = [t if g is None else t + g for t, g in zip(total, gradients, strict=True)]
            sums = {name: sums.get(name, 0.0) + value.detach() for name, value in reduced.items()}
        metrics = {name: float(value) for name, value in sums.items()}
        return total, {"loss": -metrics.pop("objective"), **metrics}

    @torch.no_grad()
    def measured(self, data: list[Data], params: Params | None = None) -> dict[str, float]:
        """The metrics of `meta_gradient`, at these or other parameters."""
        mapped, scale = vmap(self._task_objective, in_dims=(None, 0)), mean_scale(data)
        sums: dict[str, float] = {}
        for part in self.meta_chunks(data):
            results = mapped(params or self.params, [some(rows, part) for rows in data])
            sums = {name: sums.get(name, 0.0) + scale * float(value.sum()) for name, value in results.items()}
        return {"loss": -sums.pop("objective"), **sums}

    def meta_chunks(self, data: list[Data]) -> Iterator[slice]:
        """Slices of tasks whose graph fits into the memory budget."""
        *inner, outer = (rows["valid"][0].numel() for rows in data)
        return self._chunks(data[-1]["observation"], self.graph_passes * sum(inner) + outer)


def mean_scale(data: list[Data]) -> float:
    """What makes the mean over valid steps of their sum."""
    return 1 / int(data[-1]["valid"].sum())
