"""REINFORCE: one policy for all tasks, trained by the plain policy gradient with Adam; no meta-learning.

Williams 1992 (Simple statistical gradient-following algorithms for connectionist reinforcement learning), with the
defaults of Jerbi et al. 2021 (Parametrized quantum policies for reinforcement learning):

    maximise the mean over episodes of sum over t of log pi(a_t | s_t) * G_t

with G_t the return from step t on, standardised within its episode or within the batch. In an evaluation, the policy
adapts by the inner update of the other agents (agents/rl/inner_update.py).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.core.saved_state import moments, named_parameters, policy_buffers, restore_training
from agents.core.shard import WHOLE, Shard
from agents.rl import acting
from agents.rl.acting import FastWeights
from agents.rl.adaptive_adam import check_finite
from agents.rl.batch import Batch, n_samples, plain_batch
from agents.rl.config import InnerConfig
from agents.rl.gradient import Terms, chunked_gradient, task_terms
from agents.rl.inner_update import adapt, log_prob
from agents.rl.losses import policy_gradient
from agents.rl.memory import check_gradient_fits, task_chunks
from agents.rl.returns import standard_scores
from qrl.common.errors import TrainingError
from qrl.common.optimisers import adam
from qrl.common.options import tunable
from qrl.policies.kinds import EpisodePolicy
from qrl.policies.policy import Params

LISTED_UNDER = "baselines"


@dataclass(frozen=True)
class Config(InnerConfig):
    """Options of REINFORCE; inner_step_size and extra_step_decay apply to adaptation in an evaluation."""

    episodes: int = 10
    """Episodes per task and update [episodes] (Jerbi et al. 2021)."""
    meta_batch: int = 1
    """Tasks per update [tasks] (Jerbi et al. 2021: a single task)."""
    baseline: Literal["leave-one-out", "linear", "none"] = "none"
    """Baseline of the returns (Jerbi et al. 2021: none)."""
    discount: float = field(default=1.0, metadata=tunable(0.9, 1))
    """Discount factor of the returns [per step] (Jerbi et al. 2021)."""
    standardise_returns: Literal["episode", "batch", "none"] = "episode"
    """Subtract the mean of the returns and divide by their standard deviation, within each episode (TensorFlow Quantum
    tutorial of Jerbi et al. 2021) or within all episodes of an update (ours: for quantum_memory, whose reward comes
    with the last step only)."""
    lr_angles: float = field(default=0.01, metadata=tunable(0.001, 0.1, log=True))
    """Adam learning rate of circuit angles, hidden weights and phases [rad per step] (Jerbi et al. 2021)."""
    lr_scales: float = field(default=0.1, metadata=tunable(0.001, 0.3, log=True))
    """Adam learning rate of input scales, projections and frequencies [per step] (Jerbi et al. 2021)."""
    lr_heads: float = field(default=0.1, metadata=tunable(0.001, 0.3, log=True))
    """Adam learning rate of read-out and head [per step] (Jerbi et al. 2021)."""
    amsgrad: bool = True
    """Use the AMSGrad variant of Adam (Reddi et al. 2018), as in Jerbi et al. 2021."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("meta_batch",), lambda value: value >= 1, "at least 1")
        rates = ("lr_angles", "lr_scales", "lr_heads")
        self.require(rates, lambda value: 0 <= value < math.inf, "finite and not negative")


def defaults(env_name: str) -> Config:
    """Return the defaults; where a reward comes with the last step only, returns are standardised over the batch."""
    return Config(standardise_returns="batch") if env_name == "quantum_memory" else Config()


class Reinforce:
    """REINFORCE learner. `theta` are the parameters of its policy, which training updates in place."""

    begin, act, mode = acting.begin, acting.act, acting.mode
    to_environment, check_memory = acting.to_environment, acting.check_memory
    n_rollouts = 1

    def __init__(self, config: Config, policy: EpisodePolicy, horizon: int, shard: Shard = WHOLE) -> None:
        self.config, self.policy, self.horizon, self.shard = config, policy, horizon, shard
        self.theta: Params = dict(policy.named_parameters())
        rates = {"angles": config.lr_angles, "scales": config.lr_scales, "heads": config.lr_heads}
        by_name = {name: rates[group] for name, group in policy.groups.items()}
        self.optimiser = adam(self.theta, by_name, amsgrad=config.amsgrad)
        self.n_tasks = shard.part(config.meta_batch, f"agent {config.agent}: meta_batch")
        self.n_envs = config.episodes

    def adapt(self, state: FastWeights, rollout: Rollout) -> FastWeights:
        """Take one policy-gradient step in every task."""
        return adapt(self.policy, state, rollout, self.config, self.config.inner_step_size)

    def update(self, rollouts: list[Rollout], states: list[FastWeights], progress_remaining: float) -> dict[str, float]:
        """Take one step of Adam with constant learning rates; `progress_remaining` has no effect.

        Metrics: `loss`; `entropy` [nat], a mean over steps; `grad_norm`. Raises TrainingError for a non-finite metric,
        before any parameter is updated.
        """
        (rollout,) = rollouts
        gradient, metrics = self.gradient(rollout)
        for value, each in zip(self.theta.values(), gradient, strict=True):
            value.grad = -each
        metrics["grad_norm"] = math.sqrt(sum(float(each.square().sum()) for each in gradient))
        check_finite(metrics)
        self.optimiser.step()
        acting.update_normalisation(self.policy, rollouts, self.shard)
        return metrics

    def gradient(self, rollout: Rollout) -> tuple[list[Tensor], dict[str, float]]:
        """Return the policy gradient at the current parameters, and `loss` and `entropy`."""
        batch = self.standardised(plain_batch(rollout, self.config))
        n_episodes, n_steps = self.shard.totals([float(rollout.valid[0].numel()), float(rollout.valid.sum())])
        chunks = task_chunks(self.policy, batch.observation, n_samples(batch), self.config)
        terms = partial(task_terms, self.objective, self.theta, (batch,))
        gradient, metrics = chunked_gradient(terms, list(self.theta.values()), chunks, 1 / n_episodes, self.shard)
        return gradient, metrics | {"entropy": metrics["entropy"] * n_episodes / n_steps}

    def standardised(self, batch: Batch) -> Batch:
        """Return the batch with standardised returns, if configured so.

        Raises TrainingError if all returns within each episode are equal, so that standardised returns are zero.
        """
        if self.config.standardise_returns == "none":
            return batch
        per_episode = self.config.standardise_returns == "episode"
        returns = batch.advantage.mT
        scores = standard_scores(returns, batch.valid.mT, per_episode=per_episode, shard=self.shard)
        equal = per_episode and not scores.any() and returns[..., 0].unique().numel() > 1
        if per_episode and not self.shard.any(not equal):
            raise TrainingError(
                "all returns within an episode are equal, as with a reward only at its end, so that standardising them "
                "within the episode leaves no learning signal; use --agent.standardise-returns batch"
            )
        return replace(batch, advantage=scores.mT)

    def objective(self, theta: Params, batch: Batch) -> Terms:
        """Return one task's objective and entropy, summed over episodes and steps."""
        log_pi, distribution = log_prob(self.policy, theta, batch)
        entropy = self.policy.head.entropy(distribution).reshape(log_pi.shape)
        return {
            "objective": policy_gradient(log_pi, batch.advantage, batch.valid).sum(),
            "entropy": torch.where(batch.valid, entropy, 0.0).sum(),
        }

    def _saved(self) -> dict[str, Tensor]:
        return named_parameters(self.theta) | policy_buffers(self.policy)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights, the optimiser's moments and the policy's buffers."""
        tensors = {name: value.detach() for name, value in self._saved().items()}
        return tensors | moments(self.optimiser, self.theta)

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned. Raises UsageError if the tensors are of another model."""
        restore_training(self._saved(), self.optimiser, self.theta, tensors)


def build(config: Config, context: BuildContext) -> Reinforce:
    """Return the learner of the run's policy."""
    learner = Reinforce(config, context.make_episode_policy(), context.horizon, context.shard)
    check_gradient_fits("agent reinforce", learner.policy, 2 * config.episodes * context.horizon)
    return learner
