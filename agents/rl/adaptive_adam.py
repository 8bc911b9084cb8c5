"""Adam with a learning rate for each group of parameters, and rates that follow the KL divergence.

`KLAdaptiveAdam.optimise` takes one update of PPO (Schulman et al. 2017).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from agents.core.saved_state import moments, named_parameters, restore_training
from agents.rl.config import PPOConfig
from agents.rl.trust_region import backtrack
from qrl.common.errors import TrainingError
from qrl.common.optimisers import adam
from qrl.policies.policy import Params

MAX_LR_SCALE = 10.0
"""Largest factor on the learning rates of the options."""


class KLAdaptiveAdam:
    """Adam whose learning rates follow the KL divergence of an update.

    Below half of `target_kl` the rates rise by a factor of 1.5, up to ten times the configured ones; above twice of it
    they fall by 1.5, and the step is shortened. This is the adaptive penalty of Schulman et al. 2017 (Proximal policy
    optimization algorithms, section 4), applied to the rates.

    Updates `params`, its leaves, in place. `buffers` are saved with them.
    """

    def __init__(self, config: PPOConfig, params: Params, rates: Mapping[str, float], buffers: Params) -> None:
        self.config, self.params, self.buffers = config, params, buffers
        self.adam = adam(params, rates)
        self._rates = [group["lr"] for group in self.adam.param_groups]
        self._lr_scale = torch.ones(())
        self._start_values: list[Tensor] = []

    def optimise(
        self,
        gradients: Iterable[tuple[Sequence[Tensor], dict[str, float]]],
        kl: Callable[[], float],
        progress_remaining: float,
    ) -> dict[str, float]:
        """Take an update: one step up each gradient, until the policies have changed by more than twice the target.

        Args:
            gradients: gradients of the clipped objective with their metrics, of which one is `kl`; each is computed
                lazily, at the parameters after the step before it.
            kl: computes the KL divergence of the whole update at the current parameters.
            progress_remaining: factor on the learning rates, in [0, 1].

        Returns: metrics of the last gradient, `grad_norm` of the last step, and `kl` of the whole update.

        Raises:
            TrainingError: a gradient or metric is not finite; no parameter has been updated with it.
        """
        metrics: dict[str, float] = {}
        self._begin(progress_remaining)
        for step, (gradient, terms) in enumerate(gradients):
            metrics |= terms
            if step and self._went_too_far(terms["kl"]):
                break
            metrics["grad_norm"] = self._ascend(gradient, metrics)
        return metrics | {"kl": self._finish(kl)}

    def _begin(self, progress_remaining: float) -> None:
        """Begin an update from the current parameters."""
        for group, rate in zip(self.adam.param_groups, self._rates, strict=True):
            group["lr"] = rate * progress_remaining * float(self._lr_scale)
        self._start_values = [value.detach().clone() for value in self.params.values()]

    def _ascend(self, gradient: Sequence[Tensor], metrics: Mapping[str, float]) -> float:
        """Take one step up the gradient and return the gradient's norm."""
        for value, each in zip(self.params.values(), gradient, strict=True):
            value.grad = -each
        norm = float(torch.nn.utils.clip_grad_norm_(self.params.values(), self.config.max_grad_norm or math.inf))
        check_finite({**metrics, "grad_norm": norm})
        self.adam.step()
        return norm

    def _went_too_far(self, kl: float) -> bool:
        """Return whether the policies have changed by more than twice the target, if there is one."""
        return 0 < 2 * self.config.target_kl < kl

    def _finish(self, kl: Callable[[], float]) -> float:
        """End the update: adapt the learning rates to its KL divergence, and return that divergence.

        If the divergence exceeds twice the target, shorten the update to the largest of 1/2, 1/4, ... of it for which
        it does not.
        """
        whole = kl()
        self._adapt_learning_rates(whole)
        if self.config.target_kl and not whole <= 2 * self.config.target_kl:
            self._backtrack(kl)
        return whole

    @torch.no_grad()
    def _backtrack(self, kl: Callable[[], float]) -> None:
        """Move back towards the update's start until the KL divergence is at most twice the target."""
        values = list(self.params.values())
        steps = [value - old for value, old in zip(values, self._start_values, strict=True)]

        def acceptable(fraction: float) -> bool:
            for value, old, step in zip(values, self._start_values, steps, strict=True):
                value.copy_(old + fraction * step)
            return kl() <= 2 * self.config.target_kl

        if not backtrack(lambda fraction: acceptable(fraction / 2), 0.5, steps=9):
            acceptable(0.0)

    def _adapt_learning_rates(self, kl: float) -> None:
        """Lower the learning rates after too large a change of the policies; raise them after a small one."""
        target = self.config.target_kl
        if target and not kl <= 2 * target:
            self._lr_scale /= 1.5
        elif kl < target / 2:  # never true for a target of 0
            self._lr_scale = (self._lr_scale * 1.5).clamp_max(MAX_LR_SCALE)

    @torch.no_grad()
    def restart(self, initial: Params) -> None:
        """Begin anew from other parameters, without moments, at the configured learning rates."""
        for name, value in self.params.items():
            value.copy_(initial[name])
        self.adam.state.clear()
        self._lr_scale = torch.ones(())

    def _saved(self) -> dict[str, Tensor]:
        # "caution" is the name of the factor on the learning rates in checkpoints.
        return named_parameters(self.params) | {"caution": self._lr_scale} | self.buffers

    def state_dict(self) -> dict[str, Tensor]:
        """Return the parameters, the factor on the rates, the buffers and Adam's moments."""
        return {name: value.detach() for name, value in self._saved().items()} | moments(self.adam, self.params)

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned. Raises UsageError if the tensors are of another model."""
        restore_training(self._saved(), self.adam, self.params, tensors)


def check_finite(metrics: Mapping[str, float]) -> None:
    """Raise TrainingError for metrics that are not finite."""
    if not all(map(math.isfinite, metrics.values())):
        raise TrainingError(f"the meta-gradient or loss is not finite: {dict(metrics)}")
