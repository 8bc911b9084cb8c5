"""The inner update: one policy-gradient step a task, and the adapter that is made of it.

    theta_j+1 = theta_j + alpha * grad J_j(theta_j)   J_j: a surrogate on the task's j-th rollout, a mean over its steps

A mean over the steps there are, as in Finn et al. 2017, not over the horizon: where episodes end early because the
policy is bad, it has to change as fast as elsewhere. What differs between agents is where theta and alpha come from,
and how a meta-gradient goes through this step.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad, vmap

from agents.core.memory import check_fits, saved_bytes
from agents.core.options import Options
from agents.core.rollout import Rollout
from agents.rl.losses import policy_gradient
from agents.rl.returns import leave_one_out, linear_baseline, returns_to_go, standardise
from qrl.common.errors import UsageError
from qrl.policies.policy import BoundPolicy, Params, Policy, bind

STEP_PREFIX = "step_size."

GRADIENT_PASSES = 5
"""What the graph of an inner update holds of a sample at most [forward passes of the policy]."""

Data = dict[str, Tensor]
"""One rollout as the losses need it: observation, action, valid, advantage, each [task, time, env, ...]."""


@dataclass(frozen=True)
class InnerConfig(Options):
    """Options of the inner update; agents extend them."""

    episodes: int = 20
    """Episodes per task and rollout [episodes] (Finn et al. 2017)."""
    inner_step_size: float = 0.1
    """Initial inner step size [per unit of the gradient of the mean standardised advantage] (Finn et al. 2017: 0.1)."""
    later_step_factor: float = 0.3
    """Factor on the step sizes in updates beyond those trained through (ours; Finn et al. 2017: 0.5)."""
    baseline: Literal["leave-one-out", "linear", "none"] = "leave-one-out"
    """Baseline of the advantages. None biases the policy gradient (Kool et al. 2019; linear: Duan et al. 2016, but
    cross-fitted)."""
    discount: float = 0.99
    """Discount factor of the returns [per step] (Finn et al. 2017); evaluation reports undiscounted returns."""
    standardise_inner: bool = True
    """Divide inner advantages by each task's standard deviation: step sizes do not depend on the reward's scale, at the
    price of a factor that depends on the data (Finn et al. 2017)."""
    memory_budget: float = 2.0
    """Memory for the graph of a meta-gradient [GiB]; it is accumulated over chunks of tasks that fit."""
    chunk_tasks: int = 0
    """Tasks per chunk [0 = from memory_budget]; does not change the result beyond rounding."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(("episodes",), lambda value: value >= 1, "at least 1")
        positive = ("inner_step_size", "memory_budget", "later_step_factor")
        self.require(positive, lambda value: 0 < value < math.inf, "finite and positive")
        self.require(("chunk_tasks",), lambda value: value >= 0, "not negative")
        self.require(("discount",), lambda value: 0 < value <= 1, "in (0, 1]")
        if self.episodes < 2 and self.baseline != "none":
            raise UsageError(f"agent {self.agent}: baseline {self.baseline} needs at least 2 episodes")


@dataclass(frozen=True)
class FastWeights:
    """An adapted policy for each task: parameters with a leading task axis, and what follows from them alone."""

    params: Params
    bound: BoundPolicy
    n_updates: int


class GradientAdapter:
    """Adapts by policy-gradient steps from common initial weights; see `agents.core.rollout.Agent`. To be extended.

    `params` holds the initial weights and, as `step_size.NAME`, step sizes of their own for those parameters that have
    them; the others take `config.inner_step_size`. The first `n_trained` updates take whole steps.
    """

    n_trained = 1

    def __init__(self, config: InnerConfig, policy: Policy, horizon: int) -> None:
        self.config, self.policy, self.horizon = config, policy, horizon
        self.params: Params = {name: p.detach().clone() for name, p in policy.named_parameters()}
        self._chunk = config.chunk_tasks

    def begin(self, n_tasks: int, n_envs: int) -> FastWeights:
        """The initial weights, for every task."""
        # Clones: a state is a value, and an outer step moves the parameters in place.
        params = {n: self.params[n].detach().clone().expand(n_tasks, *self.params[n].shape) for n in self.policy.groups}
        return self._fast_weights(params, 0)

    def act(self, state: FastWeights, observation: Tensor, generator: torch.Generator) -> tuple[Tensor, FastWeights]:
        """One action a lane, drawn from its task's policy."""
        head = self.policy.head
        shape = (*observation.shape[:2], head.n_noise)
        uniform = torch.rand(shape, generator=generator, device=observation.device, dtype=observation.dtype)
        return self._sample(state, observation, head.noise(uniform)), state

    def mode(self, state: FastWeights, observation: Tensor) -> Tensor:
        """The likeliest action of its task's policy, of each lane."""
        return self._sample(state, observation, observation.new_zeros(*observation.shape[:2], self.policy.head.n_noise))

    def _sample(self, state: FastWeights, observation: Tensor, noise: Tensor) -> Tensor:
        distribution = vmap(self.policy.distribution)(state.bound, observation)
        action: Tensor = self.policy.head.sample(distribution, noise)
        return action

    def to_environment(self, action: Tensor) -> Tensor:
        """The policy's actions in the environment's units."""
        return self.policy.to_environment(action)

    @torch.no_grad()
    def adapt(self, state: FastWeights, rollout: Rollout) -> FastWeights:
        """One inner gradient step for every task."""
        factor = 1.0 if state.n_updates < self.n_trained else self.config.later_step_factor
        data = self.data(rollout, standardised=self.config.standardise_inner)
        meta = {name: value.detach() for name, value in self.params.items()}
        step = vmap(partial(self._inner_step, factor=factor), in_dims=(0, None, 0))
        parts = [
            step(some(state.params, part), meta, some(data, part))
            for part in self._chunks(data["observation"], GRADIENT_PASSES * data["valid"][0].numel())
        ]
        params = {name: torch.cat([part[name] for part in parts]) for name in state.params}
        return self._fast_weights(params, state.n_updates + 1)

    def _fast_weights(self, params: Params, n_updates: int) -> FastWeights:
        with torch.no_grad():
            return FastWeights(params, vmap(partial(bind, self.policy))(params), n_updates)

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

    def sampled(self, rollout: Rollout, state: FastWeights) -> Data:
        """The rollout for an importance-weighted objective: advantages standardised over all tasks, and the old policy.

        `state` made the rollout. Besides `data`: `old_log_prob`, and the old distributions as `old.NAME`.
        """
        data = self.data(rollout, standardised=False)
        advantage = standardise(data["advantage"].transpose(0, 1), rollout.valid, per_task=False)
        data["advantage"] = advantage.transpose(0, 1)
        with torch.no_grad():
            log_prob, distribution = vmap(self._log_prob)(state.params, data)
        return data | {"old_log_prob": log_prob} | {f"old.{name}": value for name, value in distribution.items()}

    def normalise(self, rollouts: list[Rollout]) -> None:
        """Take what was seen into the policy's normalisation of observations."""
        for rollout in rollouts:
            self.policy.update_normalisation(rollout.observation[rollout.valid])

    # --- one task ----------------------------------------------------------------------------------------------------

    def _inner_step(self, params: Params, meta: Params, data: Data, factor: float = 1.0) -> Params:
        """theta + alpha * grad J(theta) on one task's data; differentiable to the order that the surrogate is."""
        gradient = self._inner_gradient(params, data)
        return {n: p + factor * self._step_size(meta, n) * gradient[n] for n, p in params.items()}

    def _step_size(self, meta: Params, name: str) -> Tensor | float:
        return meta.get(STEP_PREFIX + name, self.config.inner_step_size)

    def _inner_gradient(self, params: Params, data: Data) -> Params:
        """grad J(theta)."""

        def objective(values: Params) -> Tensor:
            log_prob, _ = self._log_prob(values, data)
            return self._surrogate(log_prob, data).sum() / data["valid"].sum()

        return self._through(grad(objective)(params))

    def _surrogate(self, log_prob: Tensor, data: Data) -> Tensor:
        """What the inner update climbs, for each episode; see `agents.rl.losses`."""
        return policy_gradient(log_prob, data["advantage"], data["valid"])

    def _through(self, gradient: Params) -> Params:
        """The inner gradient as a meta-gradient sees it; here a constant."""
        return {name: g.detach() for name, g in gradient.items()}

    def _log_prob(self, params: Params, data: Data) -> tuple[Tensor, dict[str, Tensor]]:
        """log pi [time, env] of one task's actions, and the distributions [time * env, ...]."""
        shape = data["valid"].shape
        distribution = self.policy.distribution(bind(self.policy, params), data["observation"].flatten(0, 1))
        log_prob: Tensor = self.policy.head.log_prob(distribution, data["action"].flatten(0, 1))
        return log_prob.reshape(shape), distribution

    # --- memory ------------------------------------------------------------------------------------------------------

    def _chunks(self, observation: Tensor, passes: int) -> Iterator[slice]:
        """Slices of tasks whose graph fits into the memory budget, if a task's holds the forward pass of `passes`
        samples.

        Measured by what the policy saves for the gradient of some samples. The choice depends on shapes alone, so that
        it is the same when a run is resumed.
        """
        sample = observation[0].flatten(0, 1)[:512]
        per_sample = self._saved_bytes(sample) / len(sample)
        fitting = max(1, int(self.config.memory_budget * 2**30 / (per_sample * passes)))
        chunk = min(self._chunk or fitting, len(observation))
        yield from (slice(first, first + chunk) for first in range(0, len(observation), chunk))

    def _saved_bytes(self, observation: Tensor) -> int:
        """What autograd keeps for the gradient of these observations' distributions [bytes]."""
        params = {name: self.params[name].detach().requires_grad_() for name in self.policy.groups}
        return saved_bytes(self.policy, lambda: self.policy.distribution(bind(self.policy, params), observation))

    def check_memory(self, passes: int, episodes: int | None = None) -> None:
        """Raises UsageError if a graph of `passes` whole rollouts of a single task cannot fit, whatever the chunk.

        Of so many episodes each; by default as many as in training.
        """
        some = torch.zeros(4, len(self.policy.scale), device=self.policy.scale.device)
        per_sample = (self._saved_bytes(some) - self._saved_bytes(some[:2])) / 2
        needed = per_sample * (episodes or self.config.episodes) * self.horizon * passes
        check_fits(f"agent {self.config.agent}", "the gradient of one task", needed)

    def buffers(self) -> dict[str, Tensor]:
        """The policy's own state that is not trained (normalisation), by name."""
        persistent = self.policy.state_dict().keys()
        return {f"buffers/{name}": value for name, value in self.policy.named_buffers() if name in persistent}


def some(tensors: dict[str, Tensor], tasks: slice) -> dict[str, Tensor]:
    """These tasks of tensors whose first axis is the task."""
    return {name: value[tasks] for name, value in tensors.items()}
