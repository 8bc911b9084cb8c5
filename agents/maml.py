"""MAML-RL: learn initial weights from which a few policy-gradient steps adapt to a task.

Finn et al. 2017 (Model-agnostic meta-learning), with per-parameter learned step sizes (Li et al. 2017, Meta-SGD):

    theta_j+1 = theta_j + alpha * grad J_j(theta_j)     the inner update on the j-th rollout, see
    agents/rl/inner_update.py maximise over (theta, alpha) the mean over tasks of the return of theta_k(theta, alpha)

by PPO-clip, in whose epochs the inner updates are recomputed (Schulman et al. 2017), or by one step in a trust region
(Schulman et al. 2015). How the gradient goes through the inner updates is the option `estimator`; docs/estimators.md
has what each estimates and with which bias, enumerated exactly.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import vmap

from agents.core.adaptive_adam import check_finite
from agents.core.context import BuildContext
from agents.core.rollout import Rollout
from agents.rl.fisher import linearise
from agents.rl.inner_update import Data, FastWeights, some
from agents.rl.losses import dice, lvc, ppo_clip
from agents.rl.outer import OuterConfig, OuterLearner, Sums, mean_scale
from agents.rl.returns import deviation, returns_to_go, score_advantages
from agents.rl.trust_region import Product, backtrack, natural_step
from qrl.backends.backend import max_order
from qrl.common.errors import UsageError
from qrl.policies.policy import Params, Policy

PPO_OPTIONS = ("epochs", "clip", "target_kl", "lr_angles", "lr_scales", "lr_heads", "lr_step_sizes", "max_grad_norm")
TRPO_OPTIONS = ("max_kl", "cg_iterations", "cg_damping", "backtracks")
"""Options that only this outer step has."""


@dataclass(frozen=True)
class Config(OuterConfig):
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
"""What a trust region's step is multiplied by until it will do (Finn et al. 2017)."""


class MAML(OuterLearner):
    """The learner; also an adapter."""

    config: Config
    # The graph of an inner update holds the forward pass, its backward pass and their second-order products.
    graph_passes = 5

    def __init__(self, config: Config, policy: Policy, horizon: int) -> None:
        super().__init__(config, policy, horizon, n_rollouts=config.inner_steps + 1)
        self.n_trained = config.inner_steps

    def outer_step(self, data: list[Data], remaining: float) -> dict[str, float]:
        """Metrics as of `OuterLearner`; with trpo after the step, which was `step_fraction` of the whole one."""
        return self._trust_region_step(data) if self.config.outer == "trpo" else super().outer_step(data, remaining)

    def meta_data(self, rollouts: list[Rollout], states: list[FastWeights]) -> list[Data]:
        """Inner data, and that of the adapted policies; `states[j]` made `rollouts[j]`."""
        inner = [self.data(rollout, standardised=self.config.standardise_inner) for rollout in rollouts[:-1]]
        outer = self.sampled(rollouts[-1], states[-1])
        for data, rollout, state in zip(inner, rollouts, states, strict=False):
            if self.config.outer == "trpo" or self.config.estimator == "emaml":
                with torch.no_grad():
                    data["old_log_prob"], _ = vmap(self._log_prob)(state.params, data)
            if self.config.estimator == "emaml":
                data["score"] = self._score(rollout, rollouts[-1])
        return [*inner, outer]

    def _score(self, before: Rollout, after: Rollout) -> Tensor:
        """Advantages of having drawn the inner data [task, time, env], in the units of the outer objective's sums.

        There, an episode's advantages are divided by one standard deviation and summed over the episodes.
        """
        first = [returns_to_go(rollout.reward, self.config.discount)[0] for rollout in (before, after)]
        advantage = self.data(after, standardised=False)["advantage"].transpose(0, 1)
        unit = deviation(advantage, after.valid, per_task=False).flatten() / after.valid.shape[2]
        score = (score_advantages(*first) / unit)[:, None]
        return torch.where(before.valid.transpose(0, 1), score, 0.0)

    # --- one task ----------------------------------------------------------------------------------------------------

    def _surrogate(self, log_prob: Tensor, data: Data) -> Tensor:
        # With old_log_prob (trpo) an update that is taken again at other parameters is importance-weighted, so that the
        # line search measures what was differentiated. Without it (ppo) every epoch takes the data as drawn from its
        # own parameters: biased by what the clip allows, with much less variance. For emaml the data are fixed.
        arguments = log_prob, data["advantage"], data["valid"]
        match self.config.estimator:
            case "dice":
                return dice(*arguments, self.config.dice_memory, data.get("old_log_prob"))
            case "lvc":
                return lvc(*arguments, data.get("old_log_prob"))
            case _:
                return super()._surrogate(log_prob, data)

    def _through(self, gradient: Params) -> Params:
        return super()._through(gradient) if self.config.estimator == "first-order" else gradient

    def _adapted(self, meta: Params, inner: list[Data]) -> list[Params]:
        """Policies after 0..k inner updates."""
        path = [{name: meta[name] for name in self.policy.groups}]
        for data in inner:
            path.append(self._inner_step(path[-1], meta, data))
        return path

    def _task_objective(self, meta: Params, data: list[Data]) -> Sums:
        """After the task's inner updates."""
        *inner, outer = data
        clip = math.inf if self.config.outer == "trpo" else self.config.clip
        *sampling, adapted = self._adapted(meta, inner)
        sums = self.clipped_sums(adapted, outer, clip)
        if self.config.estimator == "emaml":
            for params, rows in zip(sampling, inner, strict=True):
                log_prob, _ = self._log_prob(params, rows)
                score = ppo_clip(log_prob, rows["old_log_prob"], rows["score"], rows["valid"], clip).sum()
                sums["objective"] = sums["objective"] + score
        return sums

    # --- all tasks ---------------------------------------------------------------------------------------------------

    def _trust_region_step(self, data: list[Data]) -> dict[str, float]:
        """Schulman et al. 2015: along the natural gradient to KL `max_kl`, then back until the objective improves."""
        config = self.config
        gradients, before = self.meta_gradient(data)
        gradient = flat(gradients)
        before["grad_norm"] = float(gradient.norm())
        check_finite(before)
        start = flat(list(self.params.values())).detach()
        step = natural_step(self.fisher_product(data), gradient, config.max_kl, config.cg_iterations)
        after = before

        def acceptable(fraction: float) -> bool:
            nonlocal after
            after = self.measured(data, self._parts(start + fraction * step))
            return after["kl"] <= config.max_kl and after["loss"] < before["loss"]

        fraction = backtrack(acceptable, SHRINK, config.backtracks)
        metrics = (after if fraction else before) | {"grad_norm": before["grad_norm"], "step_fraction": fraction}
        check_finite(metrics)
        with torch.no_grad():
            for value, new in zip(self.params.values(), self._parts(start + fraction * step).values(), strict=True):
                value.copy_(new)
        return metrics

    def fisher_product(self, data: list[Data]) -> Product:
        """v -> (J' F J + damping) v on flat parameters; see `agents.rl.fisher`."""
        chunks = list(self.meta_chunks(data))

        def linearised(part: slice) -> Callable[[Params], Params]:
            return linearise(self, [some(rows, part) for rows in data], mean_scale(data))

        # Kept from product to product where all tasks fit into memory at once, else made anew.
        kept = linearised(chunks[0]) if len(chunks) == 1 else None

        def product(vector: Tensor) -> Tensor:
            result = self.config.cg_damping * vector
            for part in chunks:
                mapped = (kept or linearised(part))(self._parts(vector))
                result = result + flat([mapped[name] for name in self.params])
            return result

        return product

    def _parts(self, vector: Tensor) -> Params:
        """A flat vector as parameters."""
        parts = vector.split([value.numel() for value in self.params.values()])
        return {name: x.reshape(p.shape) for (name, p), x in zip(self.params.items(), parts, strict=True)}


def flat(values: Iterable[Tensor]) -> Tensor:
    """Tensors as one vector."""
    return torch.cat([value.flatten() for value in values])


def build(config: Config, context: BuildContext) -> MAML:
    """The learner of the run's policy. Raises UsageError for circuits of which there are not enough derivatives."""
    learner = MAML(config, context.make_policy(), context.horizon)
    if (config.estimator != "first-order" or config.outer == "trpo") and max_order(learner.policy) < 2:
        raise UsageError(
            f"agent maml: estimator {config.estimator} with outer {config.outer} differentiates circuits twice, which "
            "this backend and gradient cannot: use --agent.estimator first-order with outer ppo, agent rl2, or a "
            "backend that can (torch; pennylane:default.qubit without shots)"
        )
    learner.check_memory(MAML.graph_passes * config.inner_steps + 1)
    return learner
