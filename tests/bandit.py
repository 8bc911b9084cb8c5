"""Meta-learning on a two-armed Bernoulli bandit, small enough that every expectation is a finite sum.

A data set D is `episodes` episodes of `pulls` pulls. All of them are laid out along the task axis of one rollout, so
that one call of the library gives its answer for every D; the exact answers come from pi alone, with its derivatives by
`torch.autograd.functional`. Values are per pull, as in `agents.maml`, whose surrogate is divided by the horizon. Flat
parameter vectors are called theta.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call, vmap

from agents._rollout import Rollout
from agents.maml import MAML, Config
from qrl.heads import Categorical
from qrl.models.reuploading import Config as CircuitConfig
from qrl.policy import Policy, make_policy

OBSERVATION = 0.7
"""What the policy sees at every step; not 0, so that a circuit's input scales matter."""


@dataclass(frozen=True)
class Bandit:
    """Two arms that pay 1 with probability `means`, and the size of one inner data set."""

    episodes: int = 2
    pulls: int = 1
    means: tuple[float, float] = (0.8, 0.3)

    def data_sets(self) -> tuple[Tensor, Tensor]:
        """Arms and rewards of every possible data set, each [data, time, env]."""
        outcomes = list(itertools.product((0, 1), (0.0, 1.0)))
        every = torch.tensor(list(itertools.product(outcomes, repeat=self.episodes * self.pulls)), dtype=torch.float64)
        arms, rewards = every.reshape(len(every), self.pulls, self.episodes, 2).unbind(-1)
        return arms.long(), rewards

    def probability(self, arms: Tensor, rewards: Tensor, pi: Tensor) -> Tensor:
        """P(D) [data] if the arms are drawn from pi [arm]."""
        paid = self.paid[arms]
        return (pi[arms] * torch.where(rewards > 0, paid, 1 - paid)).flatten(1).prod(-1)

    @property
    def paid(self) -> Tensor:
        """The arms' means [arm]."""
        return torch.tensor(self.means, dtype=torch.float64)

    def rollout(self) -> Rollout:
        """Every data set, one a task."""
        arms, rewards = (x.transpose(0, 1) for x in self.data_sets())
        valid = torch.ones_like(arms, dtype=torch.bool)
        last = valid & (torch.arange(self.pulls) == self.pulls - 1)[:, None, None]
        observation = torch.full((*arms.shape, 1), OBSERVATION, dtype=torch.float64)
        return Rollout(observation, arms, rewards, valid, last, torch.zeros_like(valid))


# --- policies and learner --------------------------------------------------------------------------------------------


class LogitPolicy(Policy):
    """A softmax policy whose only parameters are its two logits."""

    def __init__(self, logits: tuple[float, float] = (0.4, -0.3)) -> None:
        nn.Module.__init__(self)
        self.logits = nn.Parameter(torch.tensor(logits, dtype=torch.float64))
        self.head = Categorical  # type: ignore[assignment]  # its functions alone, without its temperature

    @property
    def groups(self) -> dict[str, str]:
        return {"logits": "heads"}

    def bind(self) -> dict[str, Tensor]:
        return {"logits": self.logits}

    def distribution(self, bound: dict[str, Tensor], observations: Tensor) -> dict[str, Tensor]:
        return {"log_probs": bound["logits"].log_softmax(-1).expand(len(observations), 2)}


def circuit_policy(n_wires: int = 1, n_layers: int = 1, seed: int = 0) -> Policy:
    """A re-uploading circuit that chooses the arm, in double precision."""
    observations = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    generator = torch.Generator().manual_seed(seed)
    config = CircuitConfig(n_wires=n_wires, n_layers=n_layers)
    return make_policy("reuploading", config, observations, gymnasium.spaces.Discrete(2), generator=generator).double()


def learner(policy: Policy, bandit: Bandit, **options: Any) -> MAML:
    """MAML with the plain estimator: a fixed step size, no discount, no baseline, advantages as they are."""
    plain: dict[str, Any] = {
        "episodes": bandit.episodes,
        "inner_step_size": 0.5,
        "learn_step_sizes": False,
        "baseline": "none",
        "discount": 1.0,
        "dice_memory": 1.0,
        "standardise_inner": False,
    }
    return MAML(Config(**(plain | options)), policy, bandit.pulls)


def flat(params: dict[str, Tensor]) -> Tensor:
    """The parameters as one vector."""
    return torch.cat([value.flatten() for value in params.values()])


def unflat(policy: Policy, theta: Tensor) -> dict[str, Tensor]:
    """The inverse of `flat` for the policy's own parameters."""
    parameters = dict(policy.named_parameters())
    parts = theta.split([p.numel() for p in parameters.values()])
    return {name: part.reshape(p.shape) for (name, p), part in zip(parameters.items(), parts, strict=True)}


# --- exact, from pi alone --------------------------------------------------------------------------------------------


def log_pi(policy: Policy) -> Callable[[Tensor], Tensor]:
    """theta -> log pi [arm]."""
    observation = torch.full((1, 1), OBSERVATION, dtype=torch.float64)
    return lambda theta: functional_call(policy, unflat(policy, theta), (observation,))["log_probs"][0]


def value(policy: Policy, bandit: Bandit) -> Callable[[Tensor], Tensor]:
    """theta -> V(theta), the mean reward of one pull."""
    function = log_pi(policy)
    return lambda theta: function(theta).exp() @ bandit.paid


def value_hessian(policy: Policy, bandit: Bandit, theta: Tensor) -> Tensor:
    """The Hessian of V [parameter, parameter]."""
    return hessian(value(policy, bandit), theta)


def inner_derivatives(maml: MAML, bandit: Bandit, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient g(D) [data, parameter] and Hessian H(D) [data, parameter, parameter] of the inner estimator.

    With l_t = log pi(a_t) and m_t = memory * m_t-1 + l_t, pull t of an episode adds A_t grad l_t to g and
    A_t [hess l_t + (grad m_t)(grad m_t)' - (grad m_t-)(grad m_t-)'] to H, m_t- = m_t - l_t.
    """
    function = log_pi(maml.policy)
    scores = jacobian(function, theta)
    curvatures = torch.stack([hessian(lambda x, arm=arm: function(x)[arm], theta) for arm in (0, 1)])
    arms, _ = bandit.data_sets()
    advantage = advantages(maml, bandit)
    size = arms[0].numel()
    trace = torch.zeros(len(arms), bandit.episodes, len(theta), dtype=theta.dtype)
    gradient, curvature = torch.zeros_like(trace[:, 0]), theta.new_zeros(len(arms), len(theta), len(theta))
    for t in range(bandit.pulls):
        score, weight = scores[arms[:, t]], advantage[:, t]
        before = maml.config.dice_memory * trace
        trace = before + score
        bend = curvatures[arms[:, t]] + _square(trace) - _square(before)
        gradient = gradient + (weight[..., None] * score).sum(1) / size
        curvature = curvature + (weight[..., None, None] * bend).sum(1) / size
    return gradient, curvature


def advantages(maml: MAML, bandit: Bandit) -> Tensor:
    """Returns-to-go minus the baseline [data, time, env]; for leave-one-out, the mean over the other episodes."""
    _, rewards = bandit.data_sets()
    returns = torch.stack([rewards[:, t:].sum(1) for t in range(bandit.pulls)], dim=1)
    match maml.config.baseline:
        case "none":
            return returns
        case "leave-one-out":
            others = ~torch.eye(bandit.episodes, dtype=torch.bool)
            return returns - torch.stack([returns[..., row].mean(-1) for row in others], dim=-1)
        case other:
            raise NotImplementedError(other)


def exact_meta_gradient(maml: MAML, bandit: Bandit, theta: Tensor) -> Tensor:
    """sum over D of P(D) (I + alpha H(D))' grad V(theta + alpha g(D)); for first-order without H."""
    step = maml.config.inner_step_size
    gradient, curvature = inner_derivatives(maml, bandit, theta)
    outer = _value_gradients(maml.policy, bandit, theta + step * gradient)
    if maml.config.estimator == "dice":
        outer = outer + step * (curvature.mT @ outer[..., None]).squeeze(-1)
    return bandit.probability(*bandit.data_sets(), log_pi(maml.policy)(theta).exp()) @ outer


def expected_update_gradient(maml: MAML, bandit: Bandit, theta: Tensor) -> Tensor:
    """d/dtheta V(theta + alpha grad V(theta))."""
    step, function = maml.config.inner_step_size, value(maml.policy, bandit)

    def updated(x: Tensor) -> Tensor:
        return function(x + step * jacobian(function, x, create_graph=True))

    return jacobian(updated, theta)


def sampled_update_gradient(maml: MAML, bandit: Bandit, theta: Tensor, width: float = 1e-4) -> Tensor:
    """d/dtheta of sum over D of P_theta(D) V(theta + alpha g_theta(D)), by central differences."""
    step, function = maml.config.inner_step_size, value(maml.policy, bandit)

    def objective(x: Tensor) -> Tensor:
        gradient, _ = inner_derivatives(maml, bandit, x)
        probability = bandit.probability(*bandit.data_sets(), log_pi(maml.policy)(x).exp())
        return probability @ vmap(function)(x + step * gradient)

    shifts = width * torch.eye(len(theta), dtype=theta.dtype)
    return torch.stack([objective(theta + shift) - objective(theta - shift) for shift in shifts]) / (2 * width)


def _value_gradients(policy: Policy, bandit: Bandit, thetas: Tensor) -> Tensor:
    """grad V at each of many theta [data, parameter]."""
    leaves = thetas.detach().requires_grad_()
    (gradients,) = torch.autograd.grad(vmap(value(policy, bandit))(leaves).sum(), leaves)
    return gradients


def _square(vectors: Tensor) -> Tensor:
    return vectors[..., :, None] * vectors[..., None, :]


# --- what the library gives ------------------------------------------------------------------------------------------


def library_update(maml: MAML, bandit: Bandit, theta: Tensor) -> tuple[Tensor, Tensor]:
    """The inner update averaged over P(D): its gradient estimate [parameter] and Hessian [parameter, parameter]."""
    step = maml.config.inner_step_size
    data = maml.data(bandit.rollout(), standardised=False)
    probability = bandit.probability(*bandit.data_sets(), log_pi(maml.policy)(theta).exp())

    def moved(x: Tensor) -> Tensor:
        updated = vmap(lambda d: flat(maml._inner_step(unflat(maml.policy, x), {}, d)))(data)
        return (probability @ updated - x) / step

    return moved(theta).detach(), jacobian(moved, theta)


def library_meta_gradient(maml: MAML, bandit: Bandit) -> Tensor:
    """The expectation of `MAML.meta_gradient` over inner and outer data, at the learner's own parameters [parameter].

    The outer rollout of data set D holds each arm once. Its advantages carry the arm's mean reward, the probability of
    D and, under the adapted policy, that of the arm: the outer objective is linear in them.
    """
    rollout = bandit.rollout()
    n_data = rollout.valid.shape[1]
    adapted = maml.adapt(maml.begin(n_data, bandit.episodes), rollout)
    arms = torch.arange(2).expand(n_data, 1, 2)
    outer = {
        "observation": torch.full((*arms.shape, 1), OBSERVATION, dtype=torch.float64),
        "action": arms,
        "valid": torch.ones_like(arms, dtype=torch.bool),
    }
    with torch.no_grad():
        log_prob, distribution = vmap(maml._log_prob)(adapted.params, outer)
        theta = flat({name: maml.params[name] for name in maml.policy.groups})
        probability = bandit.probability(*bandit.data_sets(), log_pi(maml.policy)(theta).exp())
    outer |= {"old_log_prob": log_prob} | {f"old.{name}": x for name, x in distribution.items()}
    outer["advantage"] = arms.numel() * probability[:, None, None] * log_prob.exp() * bandit.paid
    gradients, _ = maml.meta_gradient([maml.data(rollout, standardised=False)], outer)
    return flat({n: g for n, g in zip(maml.params, gradients, strict=True) if n in maml.policy.groups})


def parameters(maml: MAML) -> Tensor:
    """The learner's theta."""
    return flat({name: maml.params[name].detach() for name in maml.policy.groups})


def largest(difference: Tensor) -> float:
    """Largest absolute entry."""
    return float(np.abs(difference.detach().numpy()).max())
