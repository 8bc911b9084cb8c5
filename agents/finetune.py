"""Multi-task policy gradient, then fine-tuning: the control for meta-learning of the initial weights.

PPO trains the initial weights theta to do well in all tasks at once before any adaptation, whereas MAML trains them to
do well after it. All else is as in MAML: the inner update, PPO and its options, the environment steps per iteration,
and step sizes alpha for each parameter, learned by MAML's gradient:

    maximise over theta the mean over tasks of V(theta)
    maximise over alpha the mean over tasks of V(theta + alpha * grad J(theta)), theta fixed

No parameter is in both gradients. Both are sums over steps divided by the number of steps before adaptation. Where
episodes differ in length, this is a positive factor on the gradient of alpha, which does not change Adam's steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from agents.core.context import BuildContext
from agents.core.pytree import leaves
from agents.core.rollout import Rollout
from agents.core.shard import WHOLE, Shard
from agents.rl import acting
from agents.rl.acting import FastWeights
from agents.rl.batch import Batch, inner_batch, n_samples, outer_batch
from agents.rl.config import MetaConfig
from agents.rl.gradient import Terms, chunked_gradient, chunked_terms, per_step, task_terms
from agents.rl.inner_update import adapt, inner_gradient, inner_update, stop_gradient
from agents.rl.memory import check_gradient_fits, task_chunks
from agents.rl.meta import Meta, initial_meta, meta_optimiser, ppo_terms, with_old_policy
from qrl.policies.kinds import EpisodePolicy

LISTED_UNDER = "baselines"

MultiTaskBatch = tuple[Batch, tuple[Batch, ...]]
"""Batch before adaptation; if step sizes are learned, batches of the inner update and of the adapted policies."""


@dataclass(frozen=True)
class Config(MetaConfig):
    """Options of multi-task training; without `learn_step_sizes`, there are no rollouts after an update."""


def defaults(env_name: str) -> Config:
    """Return the defaults, with the tasks and episodes of `maml`."""
    return Config(episodes=10, meta_batch=100) if env_name == "few_shot_classification" else Config()


class Finetune:
    """Multi-task learner. `theta` are the parameters of its policy, which training updates in place."""

    begin, act, mode = acting.begin, acting.act, acting.mode
    to_environment, check_memory = acting.to_environment, acting.check_memory

    def __init__(self, config: Config, policy: EpisodePolicy, horizon: int, shard: Shard = WHOLE) -> None:
        self.config, self.policy, self.horizon, self.shard = config, policy, horizon, shard
        self.n_tasks, self.n_envs = shard.part(config.meta_batch, "agent finetune: meta_batch"), config.episodes
        self.n_rollouts = 2 if config.learn_step_sizes else 1
        self.meta = initial_meta(policy, config)
        self.theta = self.meta.theta
        self.optimiser = meta_optimiser(policy, self.meta, config)

    def adapt(self, state: FastWeights, rollout: Rollout) -> FastWeights:
        """Take one policy-gradient step in every task."""
        return adapt(self.policy, state, rollout, self.config, self.meta.step_sizes)

    def update(self, rollouts: list[Rollout], states: list[FastWeights], progress_remaining: float) -> dict[str, float]:
        """Take epochs of PPO-clip with Adam; `progress_remaining` multiplies the learning rates.

        Metrics: `loss` and `entropy` of the last epoch, before its step; `grad_norm`; `kl` of the whole step. Raises
        TrainingError for a non-finite loss or gradient, before any parameter is updated with it.
        """
        data = self.batches(rollouts, states)
        gradients = (self.meta_gradient(data) for _ in range(self.config.epochs))
        metrics = self.optimiser.optimise(gradients, lambda: self.evaluate(data)["kl"], progress_remaining)
        acting.update_normalisation(self.policy, rollouts, self.shard)
        return metrics

    def batches(self, rollouts: list[Rollout], states: list[FastWeights]) -> MultiTaskBatch:
        """Return the batches of an update; `states[j]` collected `rollouts[j]`."""
        before, *after = (
            with_old_policy(self.policy, state.params, outer_batch(rollout, self.config, self.shard))
            for rollout, state in zip(rollouts, states, strict=True)
        )
        return before, (inner_batch(rollouts[0], self.config), *after) if after else ()

    def objective(self, meta: Meta, before: Batch, adaptation: tuple[Batch, ...]) -> Terms:
        """Return one task's terms before adaptation, summed over valid steps, plus the objective after adaptation."""
        clip, bonus = self.config.clip, self.config.entropy_bonus
        terms = ppo_terms(self.policy, meta.theta, before, clip, bonus)
        if adaptation:
            inner, outer = adaptation
            theta = stop_gradient(meta.theta)
            gradient = stop_gradient(inner_gradient(self.policy, theta, inner))
            adapted = inner_update(theta, gradient, meta.step_sizes)
            terms["objective"] = terms["objective"] + ppo_terms(self.policy, adapted, outer, clip, bonus)["objective"]
        return terms

    def meta_gradient(self, data: MultiTaskBatch) -> tuple[list[Tensor], dict[str, float]]:
        """Return the gradient of the objective for every tensor of `meta`, and the metrics of `evaluate`."""
        terms = partial(task_terms, self.objective, self.meta, data)
        scale = per_step(data[0].valid, self.shard)
        return chunked_gradient(terms, leaves(self.meta), self.chunks(data), scale, self.shard)

    def evaluate(self, data: MultiTaskBatch) -> dict[str, float]:
        """Return `loss`, `kl` and `entropy` at the current parameters."""
        terms = partial(task_terms, self.objective, self.meta, data)
        return chunked_terms(terms, self.chunks(data), per_step(data[0].valid, self.shard), self.shard)

    def chunks(self, data: MultiTaskBatch) -> list[slice]:
        """Divide the tasks into chunks whose graphs fit into the memory budget."""
        before, adaptation = data
        samples = sum(map(n_samples, (before, *adaptation)))
        return task_chunks(self.policy, before.observation, samples, self.config)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the meta-parameters, the optimiser's state and the policy's buffers."""
        return self.optimiser.state_dict()

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned. Raises UsageError if the tensors are of another model."""
        self.optimiser.load_state_dict(tensors)


def build(config: Config, context: BuildContext) -> Finetune:
    """Return the learner of the run's policy."""
    policy = context.make_episode_policy()
    samples = 3 * config.episodes * context.horizon
    check_gradient_fits("agent finetune", policy, samples)
    return Finetune(config, policy, context.horizon, context.shard)
