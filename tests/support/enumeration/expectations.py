"""Exact meta-gradients on enumerated processes, from pi and its derivatives by `torch.autograd.functional`.

Values are per step, the expected return divided by the horizon. The inner surrogate is a mean over the valid steps.
theta is the policy's parameters as one vector; meta is theta, followed by the step sizes if those are learned.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call, vmap

from agents.maml import MAML
from qrl.policies.policy import Policy
from tests.support.enumeration.policies import unflat
from tests.support.enumeration.processes import OBSERVATION, Problem

Function = Callable[[Tensor], Tensor]
"""Of many theta at once: [theta, parameter] -> [theta, ...]."""


def log_pi(policy: Policy, problem: Problem) -> Function:
    """thetas -> log pi [theta, state, action]."""
    observation = OBSERVATION[: len(problem.outcomes), None]
    return vmap(lambda theta: functional_call(policy, unflat(policy, theta), (observation,))["log_probs"])


def slope(function: Function, thetas: Tensor) -> Tensor:
    """First derivative of a function of many theta [theta, ..., parameter]; differentiable itself."""
    return jacobian(lambda x: function(x).sum(0), thetas, create_graph=True, vectorize=True).movedim(-2, 0)


def steps_of(problem: Problem, table: Tensor) -> Tensor:
    """A table [theta, state, action, ...] looked up at each step of every episode [theta, episode, time, ...]."""
    states, actions, _, valid = problem.steps
    found = table[:, states, actions]
    return torch.where(valid.reshape(*valid.shape, *[1] * (found.ndim - 3)), found, 0.0)


def value(policy: Policy, problem: Problem) -> Function:
    """thetas -> V [theta]."""
    function = log_pi(policy, problem)

    def v(thetas: Tensor) -> Tensor:
        return (problem.chance * steps_of(problem, function(thetas)).sum(-1).exp()) @ problem.returns

    return v


def value_hessian(policy: Policy, problem: Problem, theta: Tensor) -> Tensor:
    """The Hessian of V [parameter, parameter]."""
    function = value(policy, problem)
    return hessian(lambda x: function(x[None])[0], theta)


def advantages(maml: MAML, problem: Problem) -> Tensor:
    """Returns-to-go, as configured minus the mean over the set's other episodes and standardised [data, env, time]."""
    valid, returns = problem.steps[3], problem.returns_to_go[problem.members]
    match maml.config.baseline:
        case "leave-one-out":
            others = ~torch.eye(problem.episodes, dtype=torch.bool)
            returns = returns - torch.stack([returns[:, row].mean(1) for row in others], dim=1)
        case "linear":
            raise ValueError("a baseline that is fitted to the data is not enumerated")
    valid = valid[problem.members]
    result = torch.where(valid, returns, 0.0)
    if maml.config.standardise_inner:
        variance = result.square().sum((1, 2), keepdim=True) / valid.sum((1, 2), keepdim=True)
        result = torch.where(variance > 0, result / variance.clamp_min(1e-12).sqrt(), 0.0)
    return result


@dataclass(frozen=True)
class Sequences:
    """Every sequence of inner data sets, with the resulting parameters and derivatives.

    `data` [sequence, step]: the data sets' indices. `log_probability` [sequence] of drawing them. `theta` [sequence,
    parameter]: the adapted parameters. `jacobian` [sequence, parameter, meta]: the estimator's derivative of them.
    `scores`: for each step, the derivative of the log-probability of each episode [sequence, env, meta].
    """

    data: Tensor
    log_probability: Tensor
    theta: Tensor
    jacobian: Tensor
    scores: tuple[Tensor, ...]

    @property
    def probability(self) -> Tensor:
        """Probability of the data sets [sequence]."""
        return self.log_probability.exp()

    def detach(self) -> "Sequences":
        """The same as constants."""
        scores = tuple(x.detach() for x in self.scores)
        return Sequences(self.data, self.log_probability.detach(), self.theta.detach(), self.jacobian.detach(), scores)


def sequences(maml: MAML, problem: Problem, meta: Tensor, *, derivatives: bool = True) -> Sequences:
    """All inner updates from theta. Without `derivatives`, differentiable, and `jacobian` and `scores` are empty.

    With l_t = log pi(a_t), step t of an episode adds A_t grad l_t to the gradient g, and A_t B_t to its derivative C,
    both divided by the number of steps in the data set:

    - dice: B_t = hess l_t + (grad m_t)(grad m_t)' - (grad m_t-)(grad m_t-)', m_t = m_t- + l_t, m_t+1- = memory * m_t
    - lvc: B_t = hess l_t + (grad l_t)(grad l_t)'
    - emaml: B_t = hess l_t, at fixed data
    - first-order: zero

    An update by alpha g then has the derivatives I + diag(alpha) C in theta and diag(g) in alpha.
    """
    size = sum(p.numel() for p in maml.policy.parameters())
    theta, rate = meta[:size], meta[size:]
    step = rate if len(rate) else torch.full_like(theta, maml.config.inner_step_size)
    n_data = len(problem.members)
    member = (problem.members[..., None] == torch.arange(len(problem.chance))).to(theta.dtype)
    n_steps = problem.steps[3].sum(1)[problem.members].sum(1)
    total = torch.einsum("dem,det->dmt", member, advantages(maml, problem)) / n_steps[:, None, None]
    order, function = problem.orders.log(), log_pi(maml.policy, problem)
    now = Sequences(
        data=torch.zeros(1, 0, dtype=torch.long),
        log_probability=theta.new_zeros(1),
        theta=theta[None],
        jacobian=torch.eye(size, len(meta), dtype=theta.dtype)[None],
        scores=(),
    )
    for _ in range(maml.config.inner_steps):
        score = steps_of(problem, slope(function, now.theta))
        gradient = torch.einsum("dmt,smtp->sdp", total, score)
        log_prob = steps_of(problem, function(now.theta)).sum(-1) + problem.chance.log()
        following = Sequences(
            data=torch.cat([_each(now.data, n_data), torch.arange(n_data).repeat(len(now.data))[:, None]], dim=1),
            log_probability=_each(now.log_probability, n_data) + (log_prob @ member.sum(1).mT + order).flatten(),
            theta=(now.theta[:, None] + step * gradient).flatten(0, 1),
            jacobian=now.jacobian[:0],
            scores=(),
        )
        if derivatives:
            curvature = torch.einsum("dmt,smtpq->sdpq", total, _bend(maml, problem, now.theta, score))
            jacobian = now.jacobian[:, None] + step[:, None] * (curvature @ now.jacobian[:, None])
            if len(rate):
                jacobian[..., size:] += gradient.diag_embed()
            own = (score.sum(2) @ now.jacobian)[:, problem.members].flatten(0, 1)
            scores = (*(_each(x, n_data) for x in now.scores), own)
            following = replace(following, jacobian=jacobian.flatten(0, 1), scores=scores).detach()
        now = following
    return now


def _each(x: Tensor, n_data: int) -> Tensor:
    """Repeat the entries of sequences for their continuations by every data set."""
    return x.repeat_interleave(n_data, 0)


def _bend(maml: MAML, problem: Problem, thetas: Tensor, score: Tensor) -> Tensor:
    """B_t of `sequences` [theta, episode, time, parameter, parameter]; score is [theta, episode, time, parameter]."""
    estimator, function = maml.config.estimator, log_pi(maml.policy, problem)
    if estimator == "first-order":
        return _square(torch.zeros_like(score))
    bend = steps_of(problem, slope(lambda x: slope(function, x), thetas).detach())
    if estimator == "emaml":
        return bend
    memory = {"dice": maml.config.dice_lambda, "lvc": 0.0}[estimator]
    before, products = torch.zeros_like(score[:, :, 0]), []
    for t in range(problem.horizon):
        trace = before + score[:, :, t]
        products.append(_square(trace) - _square(before))
        before = memory * trace
    return bend + torch.stack(products, dim=2)


def _square(vectors: Tensor) -> Tensor:
    return vectors[..., :, None] * vectors[..., None, :]


ScoreBaseline = Literal["none", "leave-one-out", "perfect"]


def estimates(maml: MAML, problem: Problem, meta: Tensor, baseline: ScoreBaseline = "none") -> tuple[Tensor, Tensor]:
    """Probabilities [sequence], and the meta-gradient of each in expectation over outer data [sequence, meta]."""
    drawn = sequences(maml, problem, meta)
    return drawn.probability, _estimates(maml, problem, drawn, baseline)


def _estimates(maml: MAML, problem: Problem, drawn: Sequences, baseline: ScoreBaseline) -> Tensor:
    """(d theta_k / d meta)' grad V(theta_k); with emaml plus (V(theta_k) - b) times the scores [sequence, meta]."""
    result = (slope(value(maml.policy, problem), drawn.theta).detach()[:, None] @ drawn.jacobian).squeeze(1)
    if maml.config.estimator == "emaml":
        weights = score_advantages(maml, problem, drawn, baseline)
        terms = [(w[..., None] * score).sum(1) for w, score in zip(weights, drawn.scores, strict=True)]
        result = torch.stack([result, *terms]).sum(0)
    return result


@torch.no_grad()
def score_advantages(maml: MAML, problem: Problem, drawn: Sequences, baseline: ScoreBaseline) -> list[Tensor]:
    """V(theta_k) - b for every episode of each inner data set, [sequence, env] each.

    leave-one-out: b is that of `agents.rl.returns.score_advantages` for many equal tasks, the mean return of the data
    set's other episodes, 0 without any, plus the expected gain of adaptation over the data set. perfect: E[V(theta_k)].
    """
    after = value(maml.policy, problem)(drawn.theta)[:, None].expand(-1, problem.episodes)
    if baseline != "leave-one-out":
        return [after - (drawn.probability @ after if baseline == "perfect" else 0.0)] * drawn.data.shape[1]
    returns = problem.returns[problem.members]
    others = (returns.sum(1, keepdim=True) - returns) / max(problem.episodes - 1, 1)
    gains = [drawn.probability @ (after[:, 0] - returns[data].mean(1)) for data in drawn.data.unbind(1)]
    return [after - others[data] - gain for data, gain in zip(drawn.data.unbind(1), gains, strict=True)]


def variances(maml: MAML, problem: Problem, meta: Tensor, baseline: ScoreBaseline = "none") -> tuple[float, float]:
    """Trace of the covariance of one task's meta-gradient: in expectation over outer data, and with as many outer
    episodes as inner ones.
    """
    drawn = sequences(maml, problem, meta)
    each = _estimates(maml, problem, drawn, baseline)
    inner = drawn.probability @ (each - drawn.probability @ each).square().sum(-1)
    return float(inner), float(inner + drawn.probability @ outer_variances(maml, problem, drawn))


def outer_variances(maml: MAML, problem: Problem, drawn: Sequences) -> Tensor:
    """Trace of the covariance of the meta-gradient over outer data, given the inner ones [sequence].

    A mean over pairs of N episodes of a function h, hence (4 (N - 2) Var E[h | one] + 2 Var h) / N (N - 1) (Hoeffding
    1948, eq. 5.13). Without baseline h is the mean over the two, and N may be 1.
    """
    function, n, togo = log_pi(maml.policy, problem), problem.episodes, problem.returns_to_go / problem.horizon
    score = steps_of(problem, slope(function, drawn.theta)).detach() @ drawn.jacobian[:, None]
    p = (steps_of(problem, function(drawn.theta).detach()).sum(-1) + problem.chance.log()).exp()
    own = torch.einsum("mt,smtq->smq", togo, score)
    if maml.config.estimator == "emaml":
        own = own + problem.returns[:, None] * torch.stack([x.sum(1) for x in drawn.scores]).sum(0)[:, None]
    mean = torch.einsum("sm,smq->sq", p, own).square().sum(-1)
    if n == 1 or maml.config.baseline == "none":
        return (torch.einsum("sm,smq->s", p, own.square()) - mean) / n
    h = own[:, :, None] - torch.einsum("jt,smtq->smjq", togo, score)
    h = (h + h.transpose(1, 2)) / 2
    one = torch.einsum("smjq,sj->smq", h, p)
    variance_of_one = torch.einsum("sm,smq->s", p, one.square()) - torch.einsum("sm,smq->sq", p, one).square().sum(-1)
    mean = torch.einsum("sm,smq->sq", p, one).square().sum(-1)
    variance = torch.einsum("sm,sj,smjq->s", p, p, h.square()) - mean
    return (4 * (n - 2) * variance_of_one + 2 * variance) / (n * (n - 1))


def exact_meta_gradient(maml: MAML, problem: Problem, meta: Tensor, **options: Any) -> Tensor:
    """The expectation of `estimates` [meta]."""
    probability, each = estimates(maml, problem, meta, **options)
    return probability @ each


def sampled_objective(maml: MAML, problem: Problem) -> Function:
    """meta [meta] -> the sum over sequences of P(D) V(theta_k), []."""
    function = value(maml.policy, problem)

    def objective(meta: Tensor) -> Tensor:
        drawn = sequences(maml, problem, meta, derivatives=False)
        return drawn.probability @ function(drawn.theta)

    return objective


def sampled_update_gradient(maml: MAML, problem: Problem, meta: Tensor) -> Tensor:
    """Derivative of `sampled_objective`: adapt on sampled data, then act."""
    return jacobian(sampled_objective(maml, problem), meta)


def expected_update_gradient(maml: MAML, problem: Problem, meta: Tensor) -> Tensor:
    """Derivative of V after gradient steps on V itself, with a fixed step size."""
    function = value(maml.policy, problem)

    def updated(thetas: Tensor) -> Tensor:
        for _ in range(maml.config.inner_steps):
            thetas = thetas + maml.config.inner_step_size * slope(function, thetas)
        return function(thetas)

    return slope(updated, meta[None])[0].detach()


def central_difference(function: Function, at: Tensor, width: float = 1e-3) -> Tensor:
    """Gradient of a scalar function by fourth-order central differences."""
    with torch.no_grad():
        points = [[function(at + k * width * unit) for k in (-2, -1, 1, 2)] for unit in torch.eye(len(at)).to(at)]
    return torch.tensor(points, dtype=at.dtype) @ torch.tensor([1.0, -8.0, 8.0, -1.0]).to(at) / (12 * width)
