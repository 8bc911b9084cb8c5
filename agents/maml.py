"""MAML-RL: learn initial weights from which a few policy-gradient steps adapt to a task.

Finn et al. 2017 (Model-agnostic meta-learning), with per-parameter learned step sizes (Li et al. 2017, Meta-SGD):

    theta_j+1 = theta_j + alpha * grad J_j(theta_j)     the inner update on the j-th rollout (agents/rl/inner_update.py)
    maximise over (theta, alpha) the mean over tasks of the return of theta_k(theta, alpha)

by PPO-clip, in whose epochs the inner updates are recomputed (Schulman et al. 2017), or by one step in a trust region
(Schulman et al. 2015). How the gradient goes through the inner updates is the option `estimator`; docs/estimators.md
has what each estimates and with which bias, enumerated exactly.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.func import vmap

from agents.core.context import BuildContext
from agents.core.pytree import flatten, leaves, unflatten
from agents.core.rollout import Rollout
from agents.rl import acting
from agents.rl.acting import FastWeights
from agents.rl.adaptive_adam import check_finite
from agents.rl.batch import Batch, inner_batch, n_samples, outer_batch, plain_batch, select_tasks
from agents.rl.config import MetaConfig
from agents.rl.fisher import fisher_product
from agents.rl.gradient import Terms, chunked_gradient, chunked_terms
from agents.rl.inner_update import adapt, inner_gradient, inner_update, log_prob, stop_gradient
from agents.rl.losses import dice, lvc, policy_gradient, ppo_clip
from agents.rl.memory import check_gradient_fits, task_chunks
from agents.rl.meta import Meta, initial_meta, meta_optimiser, ppo_terms, with_old_policy
from agents.rl.returns import deviation, returns_to_go, score_advantages
from agents.rl.trust_region import Product, line_search, natural_step
from qrl.backends.backend import max_order
from qrl.common.errors import UsageError
from qrl.policies.policy import Params, Policy

PPO_OPTIONS = ("epochs", "clip", "target_kl", "lr_angles", "lr_scales", "lr_heads", "lr_step_sizes", "max_grad_norm")
TRPO_OPTIONS = ("max_kl", "cg_iterations", "cg_damping", "backtracks")
"""Options that only this outer step has."""


@dataclass(frozen=True)
class Config(MetaConfig):
    """Options of MAML."""

    inner_steps: int = 1
    """Adaptation that is trained through [gradient steps] (1 in Finn et al. 2017)."""
    estimator: Literal["dice", "lvc", "emaml", "first-order"] = "dice"
    """How the meta-gradient sees an inner update from data D, estimate g(D) of grad V (docs/estimators.md).
    dice: I + alpha H(D), H an estimate of the Hessian of V (Foerster et al. 2018), here by Loaded DiCE: unbiased with
    dice_memory 1; aims at V(theta + alpha grad V), from which it differs by a bias that fades as D grows, and by what
    standardise_inner and a smaller dice_memory add. lvc: dice without
    products of scores at different steps (Rothfuss et al. 2019, ProMP): less variance, some bias in tasks with states.
    emaml: the derivative of g at fixed D and the score of drawing D (Stadie et al. 2018): unbiased for
    E_D[V(theta + alpha g(D))], which is what deployment does, with the largest variance. first-order: I (Finn et al.
    2017): biased at first order in alpha, the cheapest."""
    dice_memory: float = 0.9
    """How far back dice relates actions [0 to 1], lambda of Loaded DiCE (Farquhar et al. 2019): with 1 its Hessian is
    unbiased, 0 is lvc, between them lies less variance for some bias. Other estimators do not use it."""
    outer: Literal["ppo", "trpo"] = "ppo"
    """Outer step: epochs of PPO-clip with Adam, or a natural-gradient step within max_kl and a line search (Schulman et
    al. 2015, used by Finn et al. 2017), which has none of epochs, clip, target_kl, max_grad_norm and lr_*."""
    max_kl: float = 0.01
    """trpo: KL(old || new) of the adapted policies per meta-iteration, at most [nat] (Finn et al. 2017)."""
    cg_iterations: int = 10
    """trpo: conjugate-gradient iterations for the natural gradient (Schulman et al. 2015)."""
    cg_damping: float = 1e-3
    """trpo: added to the Fisher matrix's diagonal [per unit of a parameter squared] (ours)."""
    backtracks: int = 15
    """trpo: steps tried, each 0.8 times the one before (Finn et al. 2017); if none will do, nothing moves."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("inner_steps", "cg_iterations", "backtracks"), lambda value: value >= 1, "at least 1")
        self.require(("max_kl",), lambda value: 0 < value < math.inf, "finite and positive")
        self.require(("cg_damping",), lambda value: 0 <= value < math.inf, "finite and not negative")
        self.require(("dice_memory",), lambda value: 0 <= value <= 1, "in [0, 1]")
        self.refuse(PPO_OPTIONS if self.outer == "trpo" else TRPO_OPTIONS, f"outer {self.outer}")
        if self.estimator != "dice":
            self.refuse(("dice_memory",), f"estimator {self.estimator}")


def defaults(env_name: str) -> Config:
    """Ten examples an update in few-shot classification, and more tasks, since an episode is one step.

    There, on validation datasets, updates do better that are not divided by the deviation of ten rewards.
    """
    if env_name == "few_shot_classification":
        return Config(episodes=10, meta_batch=100, standardise_inner=False)
    return Config()


SHRINK = 0.8
"""Backtracking factor of the trust region's line search (Finn et al. 2017)."""

UPDATE_PASSES = 5
"""Size of an inner update's graph, per sample [forward passes]: the forward pass, its backward pass and their products
of second order."""

MetaBatch = tuple[tuple[Batch, ...], Batch]
"""The batches of the inner updates, and that of the adapted policies."""


class MAML:
    """The learner. Theta are the parameters of its policy, which training moves in place."""

    begin, act, mode = acting.begin, acting.act, acting.mode
    to_environment, check_memory = acting.to_environment, acting.check_memory

    def __init__(self, config: Config, policy: Policy, horizon: int) -> None:
        self.config, self.policy, self.horizon = config, policy, horizon
        self.n_tasks, self.n_envs, self.n_rollouts = config.meta_batch, config.episodes, config.inner_steps + 1
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
        """Return the gradient of the estimator's surrogate for one task; a constant for `first-order`."""
        gradient = inner_gradient(self.policy, theta, batch, self.surrogate)
        return stop_gradient(gradient) if self.config.estimator == "first-order" else gradient

    def surrogate(self, log_pi: Tensor, batch: Batch) -> Tensor:
        """Return what the inner update maximises, for each episode."""
        # With old_log_prob (trpo) an update that is taken again at other parameters is importance-weighted, so that the
        # line search measures what was differentiated. Without it (ppo) every epoch takes the data as drawn from its
        # own parameters: biased by what the clip allows, with much less variance. For emaml the data are fixed.
        match self.config.estimator:
            case "dice":
                return dice(log_pi, batch.advantage, batch.valid, self.config.dice_memory, batch.old_log_prob)
            case "lvc":
                return lvc(log_pi, batch.advantage, batch.valid, batch.old_log_prob)
            case _:
                return policy_gradient(log_pi, batch.advantage, batch.valid)

    # --- the outer step ----------------------------------------------------------------------------------------------

    def update(self, rollouts: list[Rollout], states: list[FastWeights], progress_remaining: float) -> dict[str, float]:
        """Take an outer step on the rollouts after 0, 1, ... inner updates; `states[j]` collected `rollouts[j]`.

        Metrics: `loss` and `entropy` of the last epoch, before its step; `grad_norm`; `kl` of the whole step. With trpo
        `loss`, `entropy` and `kl` after the step, and `step_fraction`, the part of it that was taken.
        Raises TrainingError for a loss or gradient that is not finite, before a parameter takes it up.
        """
        data = self.batches(rollouts, states)
        if self.config.outer == "trpo":
            metrics = self.trust_region_step(data)
        else:
            metrics = self.ppo_epochs(data, progress_remaining)
        acting.update_normalisation(self.policy, rollouts)
        return metrics

    def batches(self, rollouts: list[Rollout], states: list[FastWeights]) -> MetaBatch:
        """Return the batches of the inner updates, and that of the adapted policies."""
        *before, after = rollouts
        adapted = with_old_policy(self.policy, states[-1].params, outer_batch(after, self.config))
        batches = []
        for rollout, state in zip(before, states[:-1], strict=True):
            batch = inner_batch(rollout, self.config)
            if self.config.outer == "trpo" or self.config.estimator == "emaml":
                batch = with_old_policy(self.policy, state.params, batch)
            if self.config.estimator == "emaml":
                batch = replace(batch, score=self.score(rollout, after))
            batches.append(batch)
        return tuple(batches), adapted

    def score(self, before: Rollout, after: Rollout) -> Tensor:
        """Return the advantage of having drawn the inner data [task, time, env], in units of the outer objective's sum.

        There, an episode's advantages are divided by one standard deviation and summed over the episodes.
        """
        first = [returns_to_go(rollout.reward, self.config.discount)[0] for rollout in (before, after)]
        advantage = plain_batch(after, self.config).advantage.transpose(0, 1)
        unit = deviation(advantage, after.valid, per_task=False).flatten() / after.valid.shape[2]
        score = (score_advantages(*first) / unit)[:, None]
        return torch.where(before.valid.transpose(0, 1), score, 0.0)

    def objective(self, meta: Meta, inner_batches: tuple[Batch, ...], outer: Batch) -> Terms:
        """Return one task's terms after its inner updates, as sums over the valid steps of its outer rollout."""
        *sampling, adapted = self.path(meta, inner_batches)
        clip = math.inf if self.config.outer == "trpo" else self.config.clip
        terms = ppo_terms(self.policy, adapted, outer, clip, self.config.entropy_bonus)
        if self.config.estimator == "emaml":
            for theta, batch in zip(sampling, inner_batches, strict=True):
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
        """Take epochs of PPO-clip with Adam, in each of which the inner updates are made anew."""
        metrics: dict[str, float] = {}
        self.optimiser.start(progress_remaining)
        for epoch in range(self.config.epochs):
            gradient, terms = self.meta_gradient(data)
            metrics |= terms
            if epoch and self.optimiser.went_too_far(terms["kl"]):
                break
            metrics["grad_norm"] = self.optimiser.ascend(gradient, metrics)
        return metrics | {"kl": self.optimiser.finish(lambda: self.evaluate(data)["kl"])}

    def meta_gradient(self, data: MetaBatch) -> tuple[list[Tensor], dict[str, float]]:
        """Return the gradient of the mean objective for every tensor of `meta`, and the metrics of `evaluate`."""
        terms = partial(self._terms, self.meta, data)
        return chunked_gradient(terms, leaves(self.meta), self.chunks(data), _per_step(data))

    def evaluate(self, data: MetaBatch, meta: Meta | None = None) -> dict[str, float]:
        """Return `loss`, `kl` and `entropy`, means over valid steps, at these or other meta-parameters."""
        terms = partial(self._terms, self.meta if meta is None else meta, data)
        return chunked_terms(terms, self.chunks(data), _per_step(data))

    def _terms(self, meta: Meta, data: MetaBatch, tasks: slice) -> Terms:
        """Return the terms of some tasks together."""
        each = vmap(self.objective, in_dims=(None, 0, 0))(meta, *select_tasks(data, tasks))
        return {name: value.sum() for name, value in each.items()}

    def chunks(self, data: MetaBatch) -> list[slice]:
        """Divide the tasks into chunks whose graphs fit into the memory budget."""
        inner_batches, outer = data
        samples = UPDATE_PASSES * sum(map(n_samples, inner_batches)) + n_samples(outer)
        budget, fixed = self.config.memory_budget, self.config.chunk_tasks
        return task_chunks(self.policy, outer.observation, samples, budget, fixed)

    def trust_region_step(self, data: MetaBatch) -> dict[str, float]:
        """Step along the natural gradient to KL `max_kl`, then back until the objective improves; else move nothing.

        Schulman et al. 2015.
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
        chunks, weight = self.chunks(data), _per_step(data)

        def linearised(tasks: slice) -> Callable[[Meta], Meta]:
            inner_batches, outer = select_tasks(data, tasks)
            return fisher_product(self.policy, self.meta, inner_batches, outer, self.inner_gradient, weight)

        # Kept from product to product where all tasks fit into memory at once, else made anew.
        kept = linearised(chunks[0]) if len(chunks) == 1 else None

        def product(vector: Tensor) -> Tensor:
            result = self.config.cg_damping * vector
            for tasks in chunks:
                result = result + flatten((kept or linearised(tasks))(unflatten(vector, self.meta)))
            return result

        return product

    # --- memory and checkpoints --------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """Return meta-parameters, the optimiser's state and the policy's buffers."""
        return self.optimiser.state_dict()

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned. Raises UsageError if the tensors are of another model."""
        self.optimiser.load_state_dict(tensors)


def _per_step(data: MetaBatch) -> float:
    """Return what makes the mean over the outer rollouts' valid steps of a sum over them."""
    return 1 / int(data[1].valid.sum())


def build(config: Config, context: BuildContext) -> MAML:
    """Return the learner of the run's policy. Raises UsageError if the backend cannot provide second derivatives."""
    policy = context.make_policy()
    if (config.estimator != "first-order" or config.outer == "trpo") and max_order(policy) < 2:
        raise UsageError(
            f"agent maml: estimator {config.estimator} with outer {config.outer} differentiates circuits twice, which "
            "this backend and gradient cannot: use --agent.estimator first-order with outer ppo, agent rl2, or a "
            "backend that can (torch; pennylane:default.qubit without shots)"
        )
    samples = (UPDATE_PASSES * config.inner_steps + 1) * config.episodes * context.horizon
    check_gradient_fits("agent maml", policy, samples)
    return MAML(config, policy, context.horizon)
