"""MAML-RL: learn initial weights from which a few policy-gradient steps adapt to a task.

Finn et al. 2017 (Model-agnostic meta-learning), with per-parameter learned step sizes (Li et al. 2017, Meta-SGD) and a
PPO-clip outer step (Schulman et al. 2017) in whose epochs the inner updates are recomputed:

    theta_j+1 = theta_j + alpha * grad J_j(theta_j)     J_j: the inner estimator on the j-th rollout, sum over t, mean
                                                        over episodes, divided by the horizon
    maximise over (theta, alpha) the mean over tasks of PPO-clip on the rollout of theta_k(theta, alpha)

The gradient goes through the inner updates (second order) with the estimator `dice`: it is an unbiased estimate of the
sum over D of P(D) (I + alpha H(D))^T grad V(theta + alpha g(D)), with E[H] the Hessian of V at `dice_memory` 1; the
default 0.9 trades some bias of H for variance. The score of sampling D is left out, as in the paper: see
docs/estimators.md.
`first-order` takes d theta_k / d theta = I. In later epochs the pre-adaptation data is treated as if sampled from the
current theta; the clip keeps that difference small.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import grad, vmap

from agents._losses import dice, policy_gradient, ppo_clip
from agents._returns import leave_one_out, linear_baseline, returns_to_go, standardise
from agents._rollout import Rollout
from agents._setting import Setting
from qrl._memory import physical_memory
from qrl.errors import TrainingError, UsageError
from qrl.policy import Bound, Params, Policy, bind

STEP_PREFIX = "step_size."


@dataclass(frozen=True)
class Config:
    """Options of MAML."""

    meta_batch: int = 20
    """Tasks per meta-iteration [tasks] (20 to 40 in Finn et al. 2017)."""
    episodes: int = 20
    """Episodes per task and rollout [episodes] (Finn et al. 2017)."""
    inner_steps: int = 1
    """Adaptation that is trained through [gradient steps] (1 in Finn et al. 2017)."""
    estimator: Literal["dice", "first-order"] = "dice"
    """Inner estimator: dice (second order; Foerster et al. 2018) or first-order (Finn et al. 2017)."""
    dice_memory: float = 0.9
    """How far back dice relates actions [0 to 1], lambda of Loaded DiCE (Farquhar et al. 2019): 1 is unbiased, 0 the
    curvature of ProMP (Rothfuss et al. 2019)."""
    inner_step_size: float = 0.1
    """Initial inner step size [per unit of the gradient of the mean standardised advantage] (Finn et al. 2017: 0.1)."""
    learn_step_sizes: bool = True
    """Learn a step size for each parameter (Meta-SGD, Li et al. 2017); else all stay at inner_step_size."""
    later_step_factor: float = 0.5
    """Factor on the step sizes in updates beyond those trained through (Finn et al. 2017 halve after the first)."""
    baseline: Literal["leave-one-out", "linear", "none"] = "leave-one-out"
    """Baseline of the advantages. None biases the policy gradient (Kool et al. 2019; linear: Duan et al. 2016, but
    cross-fitted)."""
    discount: float = 0.99
    """Discount factor of the returns [per step] (Finn et al. 2017); evaluation reports undiscounted returns."""
    standardise_inner: bool = True
    """Divide inner advantages by each task's standard deviation: step sizes do not depend on the reward's scale, at the
    price of a factor that depends on the data (Finn et al. 2017)."""
    epochs: int = 3
    """Outer PPO steps on the same data [steps per meta-iteration] (ours; Schulman et al. 2017 take 3 to 15)."""
    clip: float = 0.2
    """PPO clip range of the probability ratio (Schulman et al. 2017)."""
    target_kl: float = 0.01
    """KL(old || new) of the adapted policies per meta-iteration [nat]: the learning rates are divided by 1.5 after one
    of more than twice this, whose further epochs are left out, and raised again after one of less than half
    (the adaptive penalty of Schulman et al. 2017, applied to the rate). Measured before the last epoch's step, so it
    needs two epochs [0 = constant rates]."""
    entropy_bonus: float = 0.0
    """Weight of the adapted policy's entropy [per nat] (ours: none)."""
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
    memory_budget: float = 2.0
    """Memory for the second-order graph [GiB]; the meta-gradient is accumulated over chunks of tasks that fit."""
    chunk_tasks: int = 0
    """Tasks per chunk [0 = from memory_budget]; does not change the result beyond rounding."""

    def __post_init__(self) -> None:
        counts = ("meta_batch", "episodes", "inner_steps", "epochs")
        positive = ("inner_step_size", "clip", "memory_budget", "later_step_factor")
        rates = ("lr_angles", "lr_scales", "lr_heads", "lr_step_sizes")
        _require(self, counts, lambda value: value >= 1, "at least 1")
        _require(self, positive, lambda value: 0 < value < math.inf, "finite and positive")
        not_negative = (*rates, "max_grad_norm", "chunk_tasks", "target_kl", "entropy_bonus")
        _require(self, not_negative, lambda value: 0 <= value < math.inf, "finite and not negative")
        if not 0 <= self.dice_memory <= 1:
            raise UsageError(f"agent maml: dice_memory must be in [0, 1], not {self.dice_memory}")
        if not 0 < self.discount <= 1:
            raise UsageError(f"agent maml: discount must be in (0, 1], not {self.discount}")
        if self.episodes < 2 and self.baseline != "none":
            raise UsageError(f"agent maml: baseline {self.baseline} needs at least 2 episodes")


def _require(config: Config, names: tuple[str, ...], holds: Callable[[float], bool], wanted: str) -> None:
    for name in names:
        if not holds(getattr(config, name)):
            raise UsageError(f"agent maml: {name} must be {wanted}, not {getattr(config, name)}")


@dataclass(frozen=True)
class FastWeights:
    """An adapted policy for each task: parameters with a leading task axis, and what follows from them alone."""

    params: Params
    bound: Bound
    n_updates: int


Data = dict[str, Tensor]
"""One rollout as the losses need it: observation, action, valid, advantage, each [task, time, env, ...]."""


class MAML:
    """The learner; also an adapter, see `agents._rollout`."""

    def __init__(self, config: Config, policy: Policy, horizon: int) -> None:
        self.config, self.policy, self.horizon = config, policy, horizon
        self.n_rollouts = config.inner_steps + 1
        self.n_tasks, self.n_envs = config.meta_batch, config.episodes
        self.params: Params = {name: p.detach().clone() for name, p in policy.named_parameters()}
        if config.learn_step_sizes:
            steps = {STEP_PREFIX + n: torch.full_like(p, config.inner_step_size) for n, p in self.params.items()}
            self.params |= steps
        for value in self.params.values():
            value.requires_grad_()
        self._rates = self._learning_rates()
        self.optimiser = torch.optim.Adam(
            [{"params": [value], "lr": self._rates[name]} for name, value in self.params.items()]
        )
        self._caution = torch.ones(())
        self._chunk = config.chunk_tasks

    def _learning_rates(self) -> dict[str, float]:
        groups = self.policy.groups
        config = self.config
        rates = {"angles": config.lr_angles, "scales": config.lr_scales, "heads": config.lr_heads}
        return {n: config.lr_step_sizes if n.startswith(STEP_PREFIX) else rates[groups[n]] for n in self.params}

    # --- adapter -----------------------------------------------------------------------------------------------------

    def begin(self, n_tasks: int, n_envs: int) -> FastWeights:
        """The meta-learned initial weights, for every task."""
        params = {n: self.params[n].detach().expand(n_tasks, *self.params[n].shape) for n in self.policy.groups}
        return self._fast_weights(params, 0)

    def act(self, state: FastWeights, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, FastWeights]:
        distribution = vmap(self.policy.distribution)(state.bound, observation)
        head = self.policy.head
        uniform = torch.rand(
            *observation.shape[:2],
            head.n_noise,
            generator=generator,
            device=observation.device,
            dtype=observation.dtype,
        )
        return head.sample(distribution, head.noise(uniform)), state

    def to_environment(self, action: Tensor) -> Tensor:
        return self.policy.to_environment(action)

    @torch.no_grad()
    def adapt(self, state: FastWeights, rollout: Rollout) -> FastWeights:
        """One inner gradient step for every task."""
        factor = 1.0 if state.n_updates < self.config.inner_steps else self.config.later_step_factor
        data = self.data(rollout, standardised=self.config.standardise_inner)
        meta = {name: value.detach() for name, value in self.params.items()}
        step = vmap(partial(self._inner_step, factor=factor), in_dims=(0, None, 0))
        chunk = self._chunk or self._fitting_chunk(data["observation"], 5 * data["valid"][0].numel())
        parts = [
            step(_some(state.params, slice(first, first + chunk)), meta, _some(data, slice(first, first + chunk)))
            for first in range(0, len(data["valid"]), chunk)
        ]
        params = {name: torch.cat([part[name] for part in parts]) for name in state.params}
        return self._fast_weights(params, state.n_updates + 1)

    def _fast_weights(self, params: Params, n_updates: int) -> FastWeights:
        with torch.no_grad():
            return FastWeights(params, vmap(partial(bind, self.policy))(params), n_updates)

    # --- one task ----------------------------------------------------------------------------------------------------

    def _inner_step(self, params: Params, meta: Params, data: Data, factor: float = 1.0) -> Params:
        """theta + alpha * grad J(theta) on one task's data; differentiable unless first-order."""
        second_order = self.config.estimator == "dice"
        surrogate = partial(dice, memory=self.config.dice_memory) if second_order else policy_gradient

        def objective(values: Params) -> Tensor:
            log_prob, _ = self._log_prob(values, data)
            return surrogate(log_prob, data["advantage"], data["valid"]).mean() / self.horizon

        gradient = grad(objective)(params)
        if not second_order:
            gradient = {name: g.detach() for name, g in gradient.items()}
        return {
            n: p + factor * meta.get(STEP_PREFIX + n, self.config.inner_step_size) * gradient[n]
            for n, p in params.items()
        }

    def _log_prob(self, params: Params, data: Data) -> tuple[Tensor, dict[str, Tensor]]:
        """log pi [time, env] of one task's actions, and the distributions [time * env, ...]."""
        shape = data["valid"].shape
        distribution = self.policy.distribution(bind(self.policy, params), data["observation"].flatten(0, 1))
        log_prob: Tensor = self.policy.head.log_prob(distribution, data["action"].flatten(0, 1))
        return log_prob.reshape(shape), distribution

    def _task_objective(self, meta: Params, inner: list[Data], outer: Data) -> tuple[Tensor, Tensor, Tensor]:
        """PPO-clip objective, KL(old || new) and entropy of one task after its inner updates; sums over valid steps."""
        params = {name: meta[name] for name in self.policy.groups}
        for data in inner:
            params = self._inner_step(params, meta, data)
        log_prob, distribution = self._log_prob(params, outer)
        clipped = ppo_clip(log_prob, outer["old_log_prob"], outer["advantage"], outer["valid"], self.config.clip)
        old = {name.removeprefix("old."): value for name, value in outer.items() if name.startswith("old.")}
        valid = outer["valid"].flatten()
        kl = torch.where(valid, self.policy.head.kl(old, distribution), 0.0).sum()
        entropy = torch.where(valid, self.policy.head.entropy(distribution), 0.0).sum()
        return clipped.sum(), kl, entropy

    # --- the outer step ----------------------------------------------------------------------------------------------

    def data(self, rollout: Rollout, *, standardised: bool) -> Data:
        """Advantages and what the losses need, task axis first."""
        returns = returns_to_go(rollout.reward, self.config.discount)
        match self.config.baseline:
            case "leave-one-out":
                returns = returns - leave_one_out(returns)
            case "linear":
                returns = returns - linear_baseline(returns, rollout.observation, rollout.valid)
        advantage = torch.where(rollout.valid, returns, 0.0)
        if standardised:
            advantage = standardise(advantage, rollout.valid, per_task=True)
        columns = {"observation": rollout.observation, "action": rollout.action, "valid": rollout.valid}
        return {name: value.transpose(0, 1) for name, value in (columns | {"advantage": advantage}).items()}

    def update(self, rollouts: list[Rollout], states: list[FastWeights], remaining: float) -> dict[str, float]:
        """The outer step on the rollouts after 0..k inner updates; `states[j]` made `rollouts[j]`.

        `remaining` in (0, 1] multiplies the learning rates (linear annealing is the caller's 1 - iteration/iterations).
        Metrics are of the last epoch: `loss` (to be minimised), `kl` and `entropy` [nat], `grad_norm` before clipping.
        Raises TrainingError for a non-finite loss or gradient, before it changes a parameter.
        """
        inner = [self.data(rollout, standardised=self.config.standardise_inner) for rollout in rollouts[:-1]]
        outer = self._outer_data(rollouts[-1], states[-1])
        for group, rate in zip(self.optimiser.param_groups, self._rates.values(), strict=True):
            group["lr"] = rate * remaining * float(self._caution)
        metrics: dict[str, float] = {}
        for epoch in range(self.config.epochs):
            gradients, new = self.meta_gradient(inner, outer)
            metrics = metrics | new
            if epoch and 0 < 2 * self.config.target_kl < metrics["kl"]:
                break
            for value, gradient in zip(self.params.values(), gradients, strict=True):
                value.grad = -gradient
            norm = torch.nn.utils.clip_grad_norm_(self.params.values(), self.config.max_grad_norm or float("inf"))
            metrics["grad_norm"] = float(norm)
            if not all(map(math.isfinite, metrics.values())):
                raise TrainingError(f"the meta-gradient or loss is not finite in epoch {epoch}: {metrics}")
            self.optimiser.step()
        self._heed(metrics["kl"])
        for rollout in rollouts:
            self.policy.update_normalisation(rollout.observation[rollout.valid])
        return metrics

    def _heed(self, kl: float) -> None:
        """Lower the learning rates after too large a change of the policies; raise them again after a small one."""
        target = self.config.target_kl
        if target and kl > 2 * target:
            self._caution /= 1.5
        elif kl < target / 2:
            self._caution = (self._caution * 1.5).clamp_max(1.0)

    @torch.no_grad()
    def _outer_data(self, rollout: Rollout, state: FastWeights) -> Data:
        data = self.data(rollout, standardised=False)
        data["advantage"] = standardise(data["advantage"].transpose(0, 1), rollout.valid, per_task=False).transpose(
            0, 1
        )
        log_prob, distribution = vmap(self._log_prob)(state.params, data)
        return data | {"old_log_prob": log_prob} | {f"old.{name}": value for name, value in distribution.items()}

    def meta_gradient(self, inner: list[Data], outer: Data) -> tuple[list[Tensor], dict[str, float]]:
        """Gradient of the outer objective for every entry of `params`, and metrics; summed over chunks of tasks."""
        n_tasks = len(outer["valid"])
        n_valid = outer["valid"].sum()
        # The graph of an inner update holds the forward pass, its backward pass and their second-order products.
        passes = 5 * sum(data["valid"][0].numel() for data in inner) + outer["valid"][0].numel()
        chunk = self._chunk or self._fitting_chunk(outer["observation"], passes)
        objective: Callable[..., Any] = vmap(self._task_objective, in_dims=(None, 0, 0))
        total: list[Tensor] = [torch.zeros_like(value) for value in self.params.values()]
        sums = torch.zeros(3, device=n_valid.device)
        for first in range(0, n_tasks, chunk):
            part = slice(first, first + chunk)
            results = objective(self.params, [_some(data, part) for data in inner], _some(outer, part))
            clipped, kl, entropy = (result.sum() / n_valid for result in results)
            value = clipped + self.config.entropy_bonus * entropy
            gradients = torch.autograd.grad(value, list(self.params.values()), allow_unused=True)
            total = [t if g is None else t + g for t, g in zip(total, gradients, strict=True)]
            sums += torch.stack([-value, kl, entropy]).detach()
        return total, dict(zip(("loss", "kl", "entropy"), sums.tolist(), strict=True))

    def _fitting_chunk(self, observation: Tensor, passes: int) -> int:
        """Tasks whose graph fits into the memory budget, if a task's holds the forward pass of `passes` samples.

        Measured by what the policy saves for the gradient of some samples. The choice depends on shapes alone, so that
        it is the same when a run is resumed.
        """
        sample = observation[0].flatten(0, 1)[:512]
        fitting = int(self.config.memory_budget * 2**30 / (self._saved_bytes(sample) / len(sample) * passes))
        return max(1, min(fitting, len(observation)))

    def _saved_bytes(self, observation: Tensor) -> int:
        """What autograd keeps for the gradient of these observations' distributions [bytes]."""
        saved: dict[int, int] = {}

        def count(tensor: Tensor) -> Tensor:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        params = {name: self.params[name] for name in self.policy.groups}
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            self.policy.distribution(bind(self.policy, params), observation)
        return sum(saved.values())

    def check_memory(self) -> None:
        """Raises UsageError if the meta-gradient of a single task cannot fit, whatever the chunk."""
        some = torch.zeros(4, len(self.policy.scale), device=self.policy.scale.device)
        per_sample = (self._saved_bytes(some) - self._saved_bytes(some[:2])) / 2
        needed = per_sample * self.config.episodes * self.horizon * (5 * self.config.inner_steps + 1)
        if needed > physical_memory():
            raise UsageError(
                f"agent maml: the meta-gradient of one task needs about {needed / 2**30:.3g} GiB, this machine has "
                f"{physical_memory() / 2**30:.3g}; use fewer wires, layers, episodes or steps"
            )

    # --- persistence -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """All tensors that training goes on from: parameters, the optimiser's moments, the policy's buffers."""
        tensors = {f"params/{name}": value.detach() for name, value in self.params.items()}
        tensors["caution"] = self._caution
        tensors |= {f"buffers/{name}": value for name, value in _buffers(self.policy).items()}
        for name, value in self.params.items():
            for key, moment in self.optimiser.state.get(value, {}).items():
                tensors[f"adam/{name}/{key}"] = moment
        return tensors

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave. Raises UsageError if the tensors are of another model."""
        expected = {f"params/{name}": value for name, value in self.params.items()} | {"caution": self._caution}
        expected |= {f"buffers/{name}": value for name, value in _buffers(self.policy).items()}
        for name, value in expected.items():
            if name not in tensors or tensors[name].shape != value.shape:
                found = tuple(tensors[name].shape) if name in tensors else "nothing"
                raise UsageError(
                    f"the checkpoint is of another model: {name} should be {tuple(value.shape)}, is {found}"
                )
        with torch.no_grad():
            for name, value in expected.items():
                value.copy_(tensors[name])
        for name, value in self.params.items():
            prefix = f"adam/{name}/"
            moments = {key.removeprefix(prefix): t.clone() for key, t in tensors.items() if key.startswith(prefix)}
            if moments:  # Adam keeps its step count on the CPU
                self.optimiser.state[value] = {k: t if k == "step" else t.to(value.device) for k, t in moments.items()}


def _some(tensors: dict[str, Tensor], tasks: slice) -> dict[str, Tensor]:
    return {name: value[tasks] for name, value in tensors.items()}


def _buffers(policy: Policy) -> dict[str, Tensor]:
    persistent = policy.state_dict().keys()
    return {name: value for name, value in policy.named_buffers() if name in persistent}


def build(config: Config, setting: Setting) -> MAML:
    """The learner of the run's policy."""
    learner = MAML(config, setting.make_policy(), setting.horizon)
    learner.check_memory()
    return learner
