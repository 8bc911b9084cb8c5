"""The outer step: what meta-learners share in moving their parameters.

PPO-clip epochs with Adam (Schulman et al. 2017), a learning rate for each kind of parameter, and rates that follow the
KL divergence.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.func import vmap

from agents._inner import STEP_PREFIX, Data, FastWeights, GradientAdapter, InnerConfig, some
from agents._losses import ppo_clip
from agents._rollout import Rollout
from agents._trust_region import backtrack
from qrl.errors import TrainingError, UsageError
from qrl.policy import Params, Policy

Sums = dict[str, Tensor]
"""Of one task over its valid steps: `objective`, which is climbed, and what else is worth knowing."""

Gradient = Callable[[], tuple[list[Tensor], dict[str, float]]]
"""() -> the gradient of an objective for every parameter, and metrics, `kl` among them."""

Measure = Callable[[], dict[str, float]]
"""() -> the same metrics, without the gradient."""


@dataclass(frozen=True)
class OuterConfig(InnerConfig):
    """Options of the inner update and of an outer step by PPO."""

    meta_batch: int = 20
    """Tasks per meta-iteration [tasks] (20 to 40 in Finn et al. 2017)."""
    learn_step_sizes: bool = True
    """Learn a step size for each parameter (Meta-SGD, Li et al. 2017); else all stay at inner_step_size."""
    epochs: int = 3
    """Outer PPO steps on the same data [steps per meta-iteration] (ours; Schulman et al. 2017 take 3 to 15)."""
    clip: float = 0.2
    """PPO clip range of the probability ratio (Schulman et al. 2017)."""
    target_kl: float = 0.02
    """KL(old || new) of the policies per meta-iteration [nat] that the learning rates follow: they are multiplied by
    1.5, up to ten times lr_*, after one of less than half of this, and divided by 1.5 after one of more than twice
    this (the adaptive penalty of Schulman et al. 2017, applied to the rate), of which only so much is gone as stays
    within twice [0 = constant rates, no limit]."""
    entropy_bonus: float = 0.0
    """Weight of the policies' entropy [per nat] (ours: none)."""
    lr_angles: float = 0.01
    """Adam learning rate of circuit angles, hidden weights and phases [rad per step] (Jerbi et al. 2021)."""
    lr_scales: float = 0.05
    """Adam learning rate of input scales, projections and frequencies [per step] (ours; Jerbi et al. 2021: 0.1)."""
    lr_heads: float = 0.02
    """Adam learning rate of read-out and head [per step] (ours; Jerbi et al. 2021: 0.1)."""
    lr_step_sizes: float = 0.01
    """Adam learning rate of the inner step sizes [per step] (ours)."""
    max_grad_norm: float = 0.5
    """Meta-gradients are scaled down to this norm [0 = never] (ours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("meta_batch", "epochs"), lambda value: value >= 1, "at least 1")
        self.require(("clip",), lambda value: 0 < value < math.inf, "finite and positive")
        rates = ("lr_angles", "lr_scales", "lr_heads", "lr_step_sizes")
        not_negative = (*rates, "max_grad_norm", "target_kl", "entropy_bonus")
        self.require(not_negative, lambda value: 0 <= value < math.inf, "finite and not negative")
        if not self.learn_step_sizes:
            self.refuse(("lr_step_sizes",), "learn_step_sizes false")


LARGEST_RATE = 10.0
"""Most that the learning rates are raised above those of the options [ratio]."""


class Outer:
    """The parameters' optimiser: Adam by groups, with learning rates that follow the KL divergence.

    Owns `params` from then on: they are its leaves and are moved in place. `buffers` are saved with them.
    """

    def __init__(self, config: OuterConfig, agent: GradientAdapter) -> None:
        self.config, self.params, self.buffers = config, agent.params, agent.buffers()
        for value in self.params.values():
            value.requires_grad_()
        kinds = {"angles": config.lr_angles, "scales": config.lr_scales, "heads": config.lr_heads}
        groups = agent.policy.groups
        self._rates = [config.lr_step_sizes if n.startswith(STEP_PREFIX) else kinds[groups[n]] for n in self.params]
        self.optimiser = torch.optim.Adam(
            [{"params": [value], "lr": rate} for value, rate in zip(self.params.values(), self._rates, strict=True)]
        )
        self._caution = torch.ones(())

    def climb(self, gradient: Gradient, measure: Measure, remaining: float) -> dict[str, float]:
        """Epochs of steps up the gradient, which is taken anew in each; `loss` and `entropy` of the last, `grad_norm`.

        If that changed the policies by more than twice `target_kl`, only part of the way is gone, the largest of 1/2,
        1/4, ... that does not. Metric `kl` is before that. `remaining` in (0, 1] multiplies the learning rates. Raises
        TrainingError for a non-finite metric or gradient, before it changes a parameter.
        """
        config = self.config
        for group, rate in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * remaining * float(self._caution)
        start = [value.detach().clone() for value in self.params.values()]
        metrics: dict[str, float] = {}
        for epoch in range(config.epochs):
            gradients, new = gradient()
            metrics = metrics | new
            if epoch and 0 < 2 * config.target_kl < metrics["kl"]:
                break
            for value, each in zip(self.params.values(), gradients, strict=True):
                value.grad = -each
            norm = torch.nn.utils.clip_grad_norm_(self.params.values(), config.max_grad_norm or float("inf"))
            metrics["grad_norm"] = float(norm)
            check_finite(metrics)
            self.optimiser.step()
        metrics["kl"] = measure()["kl"]
        self._heed(metrics["kl"])
        if config.target_kl and not metrics["kl"] <= 2 * config.target_kl:
            self._go_back(start, measure)
        return metrics

    @torch.no_grad()
    def _go_back(self, start: list[Tensor], measure: Measure) -> None:
        """Towards where the parameters were, until the KL divergence is at most twice the target."""
        values = list(self.params.values())
        steps = [value - old for value, old in zip(values, start, strict=True)]

        def acceptable(fraction: float) -> bool:
            for value, old, step in zip(values, start, steps, strict=True):
                value.copy_(old + fraction * step)
            return measure()["kl"] <= 2 * self.config.target_kl

        if not backtrack(acceptable, 0.5, tries=10):
            acceptable(0.0)

    def _heed(self, kl: float) -> None:
        """Lower the learning rates after too large a change of the policies; raise them after a small one."""
        target = self.config.target_kl
        if target and not kl <= 2 * target:
            self._caution /= 1.5
        elif kl < target / 2:  # never so with a target of 0
            self._caution = (self._caution * 1.5).clamp_max(LARGEST_RATE)

    def _own(self) -> dict[str, Tensor]:
        own = {f"params/{name}": value for name, value in self.params.items()}
        return own | {"caution": self._caution} | self.buffers

    def state_dict(self) -> dict[str, Tensor]:
        """All tensors that training goes on from: parameters, the optimiser's moments, the policy's buffers."""
        tensors = {name: value.detach() for name, value in self._own().items()}
        for name, value in self.params.items():
            for key, moment in self.optimiser.state.get(value, {}).items():
                tensors[f"adam/{name}/{key}"] = moment
        return tensors

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` gave. Raises UsageError if the tensors are of another model."""
        restore(self._own(), tensors)
        for name, value in self.params.items():
            prefix = f"adam/{name}/"
            moments = {key.removeprefix(prefix): t.clone() for key, t in tensors.items() if key.startswith(prefix)}
            if moments:  # Adam keeps its step count on the CPU
                self.optimiser.state[value] = {k: t if k == "step" else t.to(value.device) for k, t in moments.items()}


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
        self.outer = Outer(config, self)
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
        Metrics are those of `outer_step`. Raises TrainingError for a non-finite loss or gradient, before it changes a
        parameter.
        """
        metrics = self.outer_step(self.meta_data(rollouts, states), remaining)
        self.normalise(rollouts)
        return metrics

    def outer_step(self, data: list[Data], remaining: float) -> dict[str, float]:
        """Metrics: `loss` (to be minimised) and `entropy` of the last epoch, before its step, and those of `climb`."""
        return self.outer.climb(partial(self.meta_gradient, data), partial(self.measured, data), remaining)

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


def check_finite(metrics: Mapping[str, float]) -> None:
    """Raises TrainingError for numbers that are not finite."""
    if not all(map(math.isfinite, metrics.values())):
        raise TrainingError(f"the meta-gradient or loss is not finite: {dict(metrics)}")


@torch.no_grad()
def restore(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copy saved tensors into an agent's own. Raises UsageError, and changes nothing, if they are of another model."""
    for name, value in own.items():
        if name not in tensors or tensors[name].shape != value.shape:
            found = tuple(tensors[name].shape) if name in tensors else "nothing"
            raise UsageError(f"the checkpoint is of another model: {name} should be {tuple(value.shape)}, is {found}")
    for name, value in own.items():
        value.copy_(tensors[name])
