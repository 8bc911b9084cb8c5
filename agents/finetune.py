"""Multi-task policy gradient, then fine-tuning: the control for meta-learning of the initial weights.

The initial weights theta are trained by PPO to do well in all tasks at once, before any adaptation; what MAML does
differently is to train them for what they become. All else is as there: the inner update, PPO and its options, the
environment steps of an iteration, and step sizes alpha for each parameter, learned by MAML's own gradient:

    maximise over theta the mean over tasks of V(theta)
    maximise over alpha the mean over tasks of V(theta + alpha * grad J(theta)), theta held

No parameter is in both gradients. Each is a sum over its steps, divided by the number of those before adapting: where
episodes differ in length, a positive factor on that of alpha, to which Adam is indifferent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor
from torch.func import vmap

from agents.core.context import BuildContext
from agents.core.pytree import leaves
from agents.core.rollout import Rollout
from agents.rl import acting
from agents.rl.acting import FastWeights
from agents.rl.batch import Batch, inner_batch, n_samples, outer_batch, select_tasks
from agents.rl.config import MetaConfig
from agents.rl.gradient import Terms, chunked_gradient, chunked_terms
from agents.rl.inner_update import adapt, inner_gradient, inner_update, stop_gradient
from agents.rl.memory import check_gradient_fits, task_chunks
from agents.rl.meta import Meta, initial_meta, meta_optimiser, ppo_terms, with_old_policy
from qrl.policies.policy import Policy

MultiTaskBatch = tuple[Batch, tuple[Batch, ...]]
"""The batch before adapting; where step sizes are learned, those of the inner update and of the adapted policies."""


@dataclass(frozen=True)
class Config(MetaConfig):
    """Options of multi-task training; without `learn_step_sizes` there are no rollouts after an update."""


def defaults(env_name: str) -> Config:
    """Return the data of `maml`."""
    return Config(episodes=10, meta_batch=100) if env_name == "few_shot_classification" else Config()


class Finetune:
    """The learner. Theta are the parameters of its policy, which training moves in place."""

    begin, act, mode = acting.begin, acting.act, acting.mode
    to_environment, check_memory = acting.to_environment, acting.check_memory

    def __init__(self, config: Config, policy: Policy, horizon: int) -> None:
        self.config, self.policy, self.horizon = config, policy, horizon
        self.n_tasks, self.n_envs = config.meta_batch, config.episodes
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
        TrainingError for a loss or gradient that is not finite, before a parameter takes it up.
        """
        data = self.batches(rollouts, states)
        metrics: dict[str, float] = {}
        self.optimiser.start(progress_remaining)
        for epoch in range(self.config.epochs):
            gradient, terms = self.meta_gradient(data)
            metrics |= terms
            if epoch and self.optimiser.went_too_far(terms["kl"]):
                break
            metrics["grad_norm"] = self.optimiser.ascend(gradient, metrics)
        metrics["kl"] = self.optimiser.finish(lambda: self.evaluate(data)["kl"])
        acting.update_normalisation(self.policy, rollouts)
        return metrics

    def batches(self, rollouts: list[Rollout], states: list[FastWeights]) -> MultiTaskBatch:
        """Return the batches of an update; `states[j]` collected `rollouts[j]`."""
        before, *after = (
            with_old_policy(self.policy, state.params, outer_batch(rollout, self.config))
            for rollout, state in zip(rollouts, states, strict=True)
        )
        return before, (inner_batch(rollouts[0], self.config), *after) if after else ()

    def objective(self, meta: Meta, before: Batch, adaptation: tuple[Batch, ...]) -> Terms:
        """Return one task's terms before adapting; to the objective that after adapting is added.

        Sums over valid steps.
        """
        clip, bonus = self.config.clip, self.config.entropy_bonus
        terms = ppo_terms(self.policy, meta.theta, before, clip, bonus)
        if adaptation:
            own, outer = adaptation
            held = stop_gradient(meta.theta)
            gradient = stop_gradient(inner_gradient(self.policy, held, own))
            adapted = inner_update(held, gradient, meta.step_sizes)
            terms["objective"] = terms["objective"] + ppo_terms(self.policy, adapted, outer, clip, bonus)["objective"]
        return terms

    def meta_gradient(self, data: MultiTaskBatch) -> tuple[list[Tensor], dict[str, float]]:
        """Return the gradient of the objective for every tensor of `meta`, and the metrics of `evaluate`."""
        return chunked_gradient(partial(self._terms, data), leaves(self.meta), self.chunks(data), _per_step(data))

    def evaluate(self, data: MultiTaskBatch) -> dict[str, float]:
        """Return `loss`, `kl` and `entropy` at the present parameters."""
        return chunked_terms(partial(self._terms, data), self.chunks(data), _per_step(data))

    def _terms(self, data: MultiTaskBatch, tasks: slice) -> Terms:
        """Return the terms of some tasks together."""
        each = vmap(self.objective, in_dims=(None, 0, 0))(self.meta, *select_tasks(data, tasks))
        return {name: value.sum() for name, value in each.items()}

    def chunks(self, data: MultiTaskBatch) -> list[slice]:
        """Divide the tasks into chunks whose graphs fit into the memory budget."""
        before, adaptation = data
        samples = sum(map(n_samples, (before, *adaptation)))
        budget, fixed = self.config.memory_budget, self.config.chunk_tasks
        return task_chunks(self.policy, before.observation, samples, budget, fixed)

    def state_dict(self) -> dict[str, Tensor]:
        """Return meta-parameters, the optimiser's state and the policy's buffers."""
        return self.optimiser.state_dict()

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned. Raises UsageError if the tensors are of another model."""
        self.optimiser.load_state_dict(tensors)


def _per_step(data: MultiTaskBatch) -> float:
    """Return what makes the mean over the valid steps before adapting of a sum over them."""
    return 1 / int(data[0].valid.sum())


def build(config: Config, context: BuildContext) -> Finetune:
    """Return the learner of the run's policy."""
    policy = context.make_policy()
    samples = 3 * config.episodes * context.horizon
    check_gradient_fits("agent finetune", policy, samples)
    return Finetune(config, policy, context.horizon)
