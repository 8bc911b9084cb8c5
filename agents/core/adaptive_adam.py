"""How a learner moves its parameters: epochs of Adam steps on PPO's clipped objective (Schulman et al. 2017).

With a learning rate for each kind of parameter, and rates that follow the KL divergence.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.core.options import Options
from agents.rl.trust_region import backtrack
from qrl.common.errors import TrainingError, UsageError
from qrl.policies.policy import Params

Gradient = Callable[[], tuple[list[Tensor], dict[str, float]]]
"""() -> the gradient of an objective for every parameter, and metrics, `kl` among them."""

Measure = Callable[[], dict[str, float]]
"""() -> the same metrics, without the gradient."""


@dataclass(frozen=True)
class PPOConfig(Options):
    """Options of epochs of PPO."""

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
    max_grad_norm: float = 0.5
    """Gradients are scaled down to this norm [0 = never] (ours)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("epochs",), lambda value: value >= 1, "at least 1")
        self.require(("clip",), lambda value: 0 < value < math.inf, "finite and positive")
        not_negative = ("lr_angles", "lr_scales", "lr_heads", "max_grad_norm", "target_kl", "entropy_bonus")
        self.require(not_negative, lambda value: 0 <= value < math.inf, "finite and not negative")

    def rate(self, group: str) -> float:
        """Learning rate of a group of parameters: "angles", "scales" or "heads"."""
        return {"angles": self.lr_angles, "scales": self.lr_scales, "heads": self.lr_heads}[group]


LARGEST_RATE = 10.0
"""Most that the learning rates are raised above those of the options [ratio]."""


class PPO:
    """The optimiser: Adam by groups, with learning rates that follow the KL divergence.

    Owns `params` from then on: they are its leaves and are moved in place. `buffers` are saved with them.
    """

    def __init__(self, config: PPOConfig, params: Params, rates: Mapping[str, float], buffers: Params) -> None:
        self.config, self.params, self.buffers = config, params, buffers
        for value in self.params.values():
            value.requires_grad_()
        self._rates = [rates[name] for name in params]
        self.optimiser = torch.optim.Adam(
            [{"params": [value], "lr": rate} for value, rate in zip(self.params.values(), self._rates, strict=True)]
        )
        self._caution = torch.ones(())

    def climb(self, gradient: Gradient, measure: Measure, remaining: float, n_steps: int) -> dict[str, float]:
        """Steps up the gradient, which is taken anew for each; metrics of the last, and `grad_norm`.

        If that changed the policies by more than twice `target_kl`, only part of the way is gone, the largest of 1/2,
        1/4, ... that does not. Metric `kl` is before that. `remaining` in (0, 1] multiplies the learning rates. Raises
        TrainingError for a non-finite metric or gradient, before a parameter takes it up.
        """
        config = self.config
        for group, rate in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * remaining * float(self._caution)
        start = [value.detach().clone() for value in self.params.values()]
        metrics: dict[str, float] = {}
        for step in range(n_steps):
            gradients, new = gradient()
            metrics = metrics | new
            if step and 0 < 2 * config.target_kl < metrics["kl"]:
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
        return tensors | moments(self.optimiser, self.params)

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` gave. Raises UsageError if the tensors are of another model."""
        restore(self._own(), tensors)
        restore_moments(self.optimiser, self.params, tensors)


def moments(optimiser: torch.optim.Adam, params: Params) -> dict[str, Tensor]:
    """All tensors of an optimiser's state, by the names of its parameters."""
    states = ((name, optimiser.state.get(value, {})) for name, value in params.items())
    return {f"adam/{name}/{key}": tensor for name, state in states for key, tensor in state.items()}


def restore_moments(optimiser: torch.optim.Adam, params: Params, tensors: Mapping[str, Tensor]) -> None:
    """Restore what `moments` gave."""
    for name, value in params.items():
        prefix = f"adam/{name}/"
        saved = {key.removeprefix(prefix): t.clone() for key, t in tensors.items() if key.startswith(prefix)}
        if saved:  # Adam keeps its step count on the CPU
            optimiser.state[value] = {k: t if k == "step" else t.to(value.device) for k, t in saved.items()}


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
