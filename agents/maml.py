"""MAML-RL: learn initial weights that adapt to a task by a few policy-gradient steps.

Finn et al. 2017 (Model-agnostic meta-learning), with per-parameter learned step sizes (Li et al. 2017, Meta-SGD):

    theta_j+1 = theta_j + alpha * grad J_j(theta_j)     the inner update on the j-th rollout (agents/rl/inner_update.py)
    maximise over (theta, alpha) the mean over tasks of the return of theta_k(theta, alpha)

by PPO-clip, with the inner updates recomputed in every epoch (Schulman et al. 2017), or by one trust-region step
(Schulman et al. 2015). The option `estimator` selects how the gradient goes through the inner updates;
docs/estimators.md compares the estimators' expectations and biases, computed exactly by enumeration.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from agents.core.context import BuildContext
from agents.core.pytree import flatten, leaves, unflatten
from agents.core.rollout import Rollout
from agents.core.shard import WHOLE, Shard
from agents.rl import acting
from agents.rl.acting import FastWeights
from agents.rl.adaptive_adam import check_finite
from agents.rl.batch import Batch, inner_batch, n_samples, outer_batch, plain_batch, select_tasks
from agents.rl.config import MetaConfig
from agents.rl.fisher import fisher_product
from agents.rl.gradient import Terms, chunked_gradient, chunked_terms, per_step, task_terms
from agents.rl.inner_update import adapt, inner_gradient, inner_update, log_prob, stop_gradient
from agents.rl.losses import dice, lvc, policy_gradient, ppo_clip
from agents.rl.memory import check_gradient_fits, task_chunks
from agents.rl.meta import Meta, initial_meta, meta_optimiser, ppo_terms, with_old_policy
from agents.rl.returns import deviation, returns_to_go, score_advantages
from agents.rl.trust_region import Product, line_search, natural_step
from qrl.backends.backend import max_order
from qrl.common.errors import UsageError
from qrl.common.options import only_with, tunable
from qrl.policies.kinds import EpisodePolicy
from qrl.policies.policy import Params

PPO_OPTIONS = ("epochs", "clip", "target_kl", "lr_angles", "lr_scales", "lr_heads", "lr_step_sizes", "max_grad_norm")
TRPO_OPTIONS = ("max_kl", "cg_iterations", "cg_damping", "backtracks")
"""Options that apply to one outer step only."""


@dataclass(frozen=True)
class Config(MetaConfig):
    """Options of MAML."""

    inner_steps: int = 1
    """Inner updates that are meta-trained [gradient steps] (Finn et al. 2017: 1)."""
    estimator: Literal["dice", "lvc", "emaml", "first-order"] = "dice"
    """Estimator of the meta-gradient: dice (Loaded DiCE; Farquhar et al. 2019), lvc (low-variance curvature of ProMP;
    Rothfuss et al. 2019), emaml (E-MAML; Stadie et al. 2018) or first-order (Finn et al. 2017). docs/estimators.md
    compares their bias and variance."""
    dice_lambda: float = field(default=0.9, metadata=only_with(estimator="dice") | tunable(0, 1))
    """dice: lambda of Loaded DiCE [0 to 1] (Farquhar et al. 2019; 0.9: ours). With 1 its Hessian is unbiased, with 0 it
    is that of lvc; values between trade bias for variance."""
    outer: Literal["ppo", "trpo"] = "ppo"
    """Outer step: epochs of PPO-clip with Adam (Schulman et al. 2017), or a natural-gradient step with a line search
    (Schulman et al. 2015, as in Finn et al. 2017), which does not use epochs, clip, target_kl, max_grad_norm, lr_*."""
    max_kl: float = field(default=0.01, metadata=only_with(outer="trpo") | tunable(0.001, 0.1, log=True))
    """trpo: maximum KL(old || new) of the adapted policies per meta-iteration [nat] (Finn et al. 2017)."""
    cg_iterations: int = field(default=10, metadata=only_with(outer="trpo"))
    """trpo: conjugate-gradient iterations for the natural gradient (Schulman et al. 2015)."""
    cg_damping: float = field(default=1e-3, metadata=only_with(outer="trpo") | tunable(1e-05, 0.1, log=True))
    """trpo: damping, added to the diagonal of the Fisher matrix [per unit of a parameter squared] (ours)."""
    backtracks: int = field(default=15, metadata=only_with(outer="trpo"))
    """trpo: maximum step sizes of the line search, each 0.8 times the one before (Finn et al. 2017); if none is
    acceptable, the parameters stay as they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("inner_steps", "cg_iterations", "backtracks"), lambda value: value >= 1, "at least 1")
        self.require(("max_kl",), lambda value: 0 < value < math.inf, "finite and positive")
        self.require(("cg_damping",), lambda value: 0 <= value < math.inf, "finite and not negative")
        self.require(("dice_lambda",), lambda value: 0 <= value <= 1, "in [0, 1]")
        self.refuse(PPO_OPTIONS if self.outer == "trpo" else TRPO_OPTIONS, f"outer {self.outer}")
        if self.estimator != "dice":
            self.refuse(("dice_lambda",), f"estimator {self.estimator}")


def defaults(env_name: str) -> Config:
    """Return the defaults; in few-shot classification, where an episode is one step, ten examples and more tasks.

    There, advantages are not standardised, since that was better on validation datasets.
    """
    if env_name == "few_shot_classification":
        return Config(episodes=10, meta_batch=100, standardise_inner=False)
    return Config()


SHRINK = 0.8
"""Backtracking factor of the trust region's line search (Finn et al. 2017)."""

UPDATE_PASSES = 5
"""Size of an inner update's graph, per sample [forward passes]: the forward pass, its backward pass and their
second-order products."""

MetaBatch = tuple[tuple[Batch, ...], Batch]
"""Batches of the inner updates, and batch of the adapted policies."""


class MAML:
    """MAML learner. `theta` are the parameters of its policy, which training updates in place."""

    begin, act, mode = acting.begin, acting.act, acting.mode
    to_environment, check_memory = acting.to_environment, acting.check_memory

    def __init__(self, config: Config, policy: EpisodePolicy, horizon: int, shard: Shard = WHOLE) -> None:
        self.config, self.policy, self.horizon, self.shard = config, policy, horizon, shard
        self.n_tasks = shard.part(config.meta_batch, "agent maml: meta_batch")
        self.n_envs, self.n_rollouts = config.episodes, config.inner_steps + 1
        self.meta = initial_meta(policy, config)
        self.theta = self.meta.theta
        self.optimiser = meta_optimiser(policy, self.meta, config)

    # --- adapting and acting -----------------------------------------------------------------------------------------

    def adapt(self, state: FastWeights, rollout: Rollout) -> FastWeights:
        """Take one inner update in every task."""
        return adapt(
            self.policy,
            state,
            rollout,
            self.config,
            self.meta.step_sizes,
            gradient=self.inner_gradient,
            n_trained=self.config.inner_steps,
        )

    def inner_gradient(self, theta: Params, batch: Batch) -> Params:
        """Return the gradient of the estimator's surrogate for one task, as a constant for `first-order`."""
        gradient = inner_gradient(self.policy, theta, batch, self.surrogate)
        return stop_gradient(gradient) if self.config.estimator == "first-order" else gradient

    def surrogate(self, log_pi: Tensor, batch: Batch) -> Tensor:
        """Return the objective of the inner update for each episode."""
        # With old_log_prob (trpo), an inner update at other parameters is importance-weighted, so that the line search
        # evaluates the function that was differentiated. Without it (ppo), every epoch treats the data as if they were
        # sampled with its own parameters: biased, within the clip range, with much less variance. emaml fixes the data.
        match self.config.estimator:
            case "dice":
                return dice(log_pi, batch.advantage, batch.valid, self.config.dice_lambda, batch.old_log_prob)
            case "lvc":
                return lvc(log_pi, batch.advantage, batch.valid, batch.old_log_prob)
            case _:
                return policy_gradient(log_pi, batch.advantage, batch.valid)

    # --- the outer step ----------------------------------------------------------------------------------------------

    def update(self, rollouts: list[Rollout], states: list[FastWeights], progress_remaining: float) -> dict[str, float]:
        """Take an outer step on the rollouts after 0, 1, ... inner updates; `states[j]` collected `rollouts[j]`.

        Metrics: `loss` and `entropy` of the last epoch, before its step; `grad_norm`; `kl` of the whole step. For trpo,
        `loss`, `entropy` and `kl` after the step, and `step_fraction`, the fraction of the step that was taken.
        Raises TrainingError for a non-finite loss or gradient, before any parameter is updated with it.
        """
        data = self.batches(rollouts, states)
        if self.config.outer == "trpo":
            metrics = self.trust_region_step(data)
        else:
            metrics = self.ppo_epochs(data, progress_remaining)
        acting.update_normalisation(self.policy, rollouts, self.shard)
        return metrics

    def batches(self, rollouts: list[Rollout], states: list[FastWeights]) -> MetaBatch:
        """Return the batches of the inner updates, and the batch of the adapted policies."""
        *before, after = rollouts
        outer = with_old_policy(self.policy, states[-1].params, outer_batch(after, self.config, self.shard))
        inner_batches = []
        for rollout, state in zip(before, states[:-1], strict=True):
            batch = inner_batch(rollout, self.config)
            if self.config.outer == "trpo" or self.config.estimator == "emaml":
                batch = with_old_policy(self.policy, state.params, batch)
            if self.config.estimator == "emaml":
                batch = replace(batch, score=self.score(rollout, after))
            inner_batches.append(batch)
        return tuple(inner_batches), outer

    def score(self, before: Rollout, after: Rollout) -> Tensor:
        """Return the advantage of having sampled the inner data [task, time, env], in units of the outer objective.

        In the outer objective, advantages are divided by one standard deviation and summed over the episodes.
        """
        first, adapted = (returns_to_go(rollout.reward, self.config.discount)[0] for rollout in (before, after))
        advantage = plain_batch(after, self.config).advantage.transpose(0, 1)
        unit = deviation(advantage, after.valid, per_task=False, shard=self.shard).flatten() / after.valid.shape[2]
        score = (score_advantages(first, adapted, self.shard) / unit)[:, None]
        return torch.where(before.valid.transpose(0, 1), score, 0.0)

    def objective(self, meta: Meta, inner_batches: tuple[Batch, ...], outer: Batch) -> Terms:
        """Return one task's terms after its inner updates, as sums over the valid steps of its outer rollout."""
        *before, adapted = self.path(meta, inner_batches)
        clip = math.inf if self.config.outer == "trpo" else self.config.clip
        terms = ppo_terms(self.policy, adapted, outer, clip, self.config.entropy_bonus)
        if self.config.estimator == "emaml":
            for theta, batch in zip(before, inner_batches, strict=True):
                log_pi, _ = log_prob(self.policy, theta, batch)
                assert batch.old_log_prob is not None and batch.score is not None
                score = ppo_clip(log_pi, batch.old_log_prob, batch.score, batch.valid, clip).sum()
                terms["objective"] = terms["objective"] + score
        return terms

    def path(self, meta: Meta, inner_batches: tuple[Batch, ...]) -> list[Params]:
        """Return one task's weights after 0, 1, ... inner updates."""
        path = [meta.theta]
        for batch in inner_batches:
            path.append(inner_update(path[-1], self.inner_gradient(path[-1], batch), meta.step_sizes))
        return path

    def ppo_epochs(self, data: MetaBatch, progress_remaining: float) -> dict[str, float]:
        """Take epochs of PPO-clip with Adam; each recomputes the inner updates."""
        gradients = (self.meta_gradient(data) for _ in range(self.config.epochs))
        return self.optimiser.optimise(gradients, lambda: self.evaluate(data)["kl"], progress_remaining)

    def meta_gradient(self, data: MetaBatch) -> tuple[list[Tensor], dict[str, float]]:
        """Return the gradient of the mean objective for every tensor of `meta`, and the metrics of `evaluate`."""
        terms = partial(task_terms, self.objective, self.meta, data)
        scale = per_step(data[1].valid, self.shard)
        return chunked_gradient(terms, leaves(self.meta), self.chunks(data), scale, self.shard)

    def evaluate(self, data: MetaBatch, meta: Meta | None = None) -> dict[str, float]:
        """Return `loss`, `kl` and `entropy`, means over valid steps, at these or other meta-parameters."""
        terms = partial(task_terms, self.objective, self.meta if meta is None else meta, data)
        return chunked_terms(terms, self.chunks(data), per_step(data[1].valid, self.shard), self.shard)

    def chunks(self, data: MetaBatch) -> list[slice]:
        """Divide the tasks into chunks whose graphs fit into the memory budget."""
        inner_batches, outer = data
        samples = UPDATE_PASSES * sum(map(n_samples, inner_batches)) + n_samples(outer)
        return task_chunks(self.policy, outer.observation, samples, self.config)

    def trust_region_step(self, data: MetaBatch) -> dict[str, float]:
        """Take a natural-gradient step to KL `max_kl`, shortened until the objective improves (Schulman et al. 2015).

        If no step improves the objective, the parameters stay as they are.
        """
        config = self.config
        gradients, metrics = self.meta_gradient(data)
        gradient, point = torch.cat([each.flatten() for each in gradients]), flatten(self.meta).detach()
        norm = {"grad_norm": float(gradient.norm())}
        check_finite(metrics | norm)
        step = natural_step(self.fisher_product(data), gradient, config.max_kl, config.cg_iterations)
        end, metrics = line_search(
            point,
            step,
            lambda vector: self.evaluate(data, unflatten(vector, self.meta)),
            metrics,
            config.max_kl,
            SHRINK,
            config.backtracks,
        )
        check_finite(metrics)
        with torch.no_grad():
            for value, new in zip(leaves(self.meta), leaves(unflatten(end, self.meta)), strict=True):
                value.copy_(new)
        return metrics | norm

    def fisher_product(self, data: MetaBatch) -> Product:
        """Return v -> (J' F J + damping) v on flat meta-parameters; see `agents.rl.fisher`."""
        chunks, weight = self.chunks(data), per_step(data[1].valid, self.shard)

        def linearised(tasks: slice) -> Callable[[Meta], Meta]:
            inner_batches, outer = select_tasks(data, tasks)
            return fisher_product(self.policy, self.meta, inner_batches, outer, self.inner_gradient, weight)

        # If all tasks fit into memory at once, the graph is built once for all products.
        single = linearised(chunks[0]) if len(chunks) == 1 else None

        def product(vector: Tensor) -> Tensor:
            damping = self.config.cg_damping * vector
            parts = (flatten((single or linearised(tasks))(unflatten(vector, self.meta))) for tasks in chunks)
            if self.shard is WHOLE:  # in the order of earlier versions
                return functools.reduce(torch.add, parts, damping)
            return damping + self.shard.sum([functools.reduce(torch.add, parts)])[0]

        return product

    def check_training(self, iterations: int) -> None:
        """Raise UsageError if training needs second derivatives that the backend lacks; adaptation needs none."""
        config = self.config
        if (config.estimator != "first-order" or config.outer == "trpo") and max_order(self.policy) < 2:
            raise UsageError(
                f"agent maml: training with estimator {config.estimator} and outer {config.outer} needs second "
                "derivatives of circuits, which this backend and gradient do not provide: use --agent.estimator "
                "first-order with outer ppo, agent rl2, or another backend (torch; pennylane:default.qubit without "
                "shots)"
            )

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """Return the meta-parameters, the optimiser's state and the policy's buffers."""
        return self.optimiser.state_dict()

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned. Raises UsageError if the tensors are of another model."""
        self.optimiser.load_state_dict(tensors)


def build(config: Config, context: BuildContext) -> MAML:
    """Return the learner of the run's policy. Raises UsageError if a task's gradient does not fit into memory."""
    policy = context.make_episode_policy()
    samples = (UPDATE_PASSES * config.inner_steps + 1) * config.episodes * context.horizon
    check_gradient_fits("agent maml", policy, samples)
    return MAML(config, policy, context.horizon, context.shard)
