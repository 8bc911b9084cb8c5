"""REINFORCE: one policy for all tasks, by the plain policy gradient and Adam; no baseline, no meta-learning.

Williams 1992 (Simple statistical gradient-following algorithms for connectionist reinforcement learning), with the
defaults of Jerbi et al. 2021 (Parametrized quantum policies for reinforcement learning):

    maximise the mean over episodes of sum over t of log pi(a_t | s_t) * G_t

with G_t the return from step t on, as a standard score among those of its episode or of the batch. In an evaluation the
policy goes on from there by the policy-gradient steps that all agents here adapt by, from the same returns.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import vmap

from agents.core.adaptive_adam import check_finite, moments, restore, restore_moments
from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.rl.inner_update import Data, FastWeights, GradientAdapter, InnerConfig, some
from agents.rl.losses import policy_gradient
from agents.rl.returns import standard_scores
from qrl.common.errors import TrainingError
from qrl.policies.policy import Params, Policy


@dataclass(frozen=True)
class Config(InnerConfig):
    """Options of REINFORCE; the step sizes are those of adapting in an evaluation."""

    episodes: int = 10
    """Episodes per task and update [episodes] (Jerbi et al. 2021)."""
    meta_batch: int = 1
    """Tasks per update [tasks]; 1 (Jerbi et al. 2021) is for a family of one task."""
    baseline: Literal["leave-one-out", "linear", "none"] = "none"
    """Baseline of the returns. None: Jerbi et al. 2021."""
    discount: float = 1.0
    """Discount factor of the returns [per step] (Jerbi et al. 2021)."""
    scores: Literal["episode", "batch", "none"] = "episode"
    """Returns as standard scores (less the mean, over the standard deviation) among those of their episode, as Jerbi et
    al. 2021 have it in their TensorFlow Quantum tutorial, or of all episodes of an update; or as they are."""
    lr_angles: float = 0.01
    """Adam learning rate of circuit angles, hidden weights and phases [rad per step] (Jerbi et al. 2021)."""
    lr_scales: float = 0.1
    """Adam learning rate of input scales, projections and frequencies [per step] (Jerbi et al. 2021)."""
    lr_heads: float = 0.1
    """Adam learning rate of read-out and head [per step] (Jerbi et al. 2021)."""
    amsgrad: bool = True
    """Adam with the largest second moment so far (Reddi et al. 2018), as Jerbi et al. 2021."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("meta_batch",), lambda value: value >= 1, "at least 1")
        rates = ("lr_angles", "lr_scales", "lr_heads")
        self.require(rates, lambda value: 0 <= value < math.inf, "finite and not negative")


class Reinforce(GradientAdapter):
    """The learner; also an adapter."""

    config: Config
    n_rollouts = 1

    def __init__(self, config: Config, policy: Policy, horizon: int) -> None:
        super().__init__(config, policy, horizon)
        for value in self.params.values():
            value.requires_grad_()
        rates = {"angles": config.lr_angles, "scales": config.lr_scales, "heads": config.lr_heads}
        groups = [{"params": [value], "lr": rates[policy.groups[name]]} for name, value in self.params.items()]
        self.optimiser = torch.optim.Adam(groups, amsgrad=config.amsgrad)
        self.n_tasks, self.n_envs = config.meta_batch, config.episodes

    def update(self, rollouts: list[Rollout], states: list[FastWeights], remaining: float) -> dict[str, float]:
        """One step of Adam; its rates are constant, whatever `remaining`.

        Metrics: `loss`, to be minimised; `entropy` [nat], a mean over steps; `grad_norm`. Raises TrainingError for what
        is not finite, before a parameter takes it up.
        """
        (rollout,) = rollouts
        gradient, metrics = self.gradient(rollout)
        for name, value in self.params.items():
            value.grad = -gradient[name]
        metrics["grad_norm"] = math.sqrt(sum(float(g.square().sum()) for g in gradient.values()))
        check_finite(metrics)
        self.optimiser.step()
        self.normalise(rollouts)
        return metrics

    def gradient(self, rollout: Rollout) -> tuple[Params, dict[str, float]]:
        """The policy gradient at the present parameters, and `loss` and `entropy`."""
        data = self.data(rollout, standardised=False)
        if self.config.scores != "none":
            by_episode = self.config.scores == "episode"
            returns = data["advantage"].mT
            scores = standard_scores(returns, data["valid"].mT, per_episode=by_episode)
            if by_episode and not scores.any() and returns[..., 0].unique().numel() > 1:
                raise TrainingError(
                    "the return is the same from each step of an episode on, as where its end alone is rewarded: "
                    "scores within an episode leave nothing to learn from; use --agent.scores batch"
                )
            data["advantage"] = scores.mT
        total = {name: torch.zeros_like(value) for name, value in self.params.items()}
        n_episodes, n_steps = rollout.valid[0].numel(), int(rollout.valid.sum())
        objective = entropy = 0.0
        for part in self._chunks(data["observation"], data["valid"][0].numel()):
            sums = vmap(self._sums, in_dims=(None, 0))(self.params, some(data, part))
            objective_sum, entropy_sum = (each.sum() for each in sums)
            gradients = torch.autograd.grad(objective_sum / n_episodes, list(self.params.values()))
            total = {name: total[name] + g for name, g in zip(total, gradients, strict=True)}
            objective += float(objective_sum.detach()) / n_episodes
            entropy += float(entropy_sum.detach()) / n_steps
        return total, {"loss": -objective, "entropy": entropy}

    def _sums(self, params: Params, data: Data) -> tuple[Tensor, Tensor]:
        """One task's objective and entropy, sums over its episodes and steps."""
        log_prob, distribution = self._log_prob(params, data)
        objective = policy_gradient(log_prob, data["advantage"], data["valid"]).sum()
        entropy = self.policy.head.entropy(distribution).reshape(log_prob.shape)
        return objective, torch.where(data["valid"], entropy, 0.0).sum()

    def _own(self) -> dict[str, Tensor]:
        return {f"params/{name}": value for name, value in self.params.items()} | self.buffers()

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, the optimiser's moments and the policy's buffers."""
        own = {name: value.detach() for name, value in self._own().items()}
        return own | moments(self.optimiser, self.params)

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave. Raises UsageError if the tensors are of another model."""
        restore(self._own(), tensors)
        restore_moments(self.optimiser, self.params, tensors)


def build(config: Config, context: BuildContext) -> Reinforce:
    """The learner of the run's policy."""
    learner = Reinforce(config, context.make_policy(), context.horizon)
    learner.check_memory(2)
    return learner
