"""Meta-learning on finite decision processes so small that every expectation is a finite sum.

A data set D is `episodes` episodes. All data sets, or all sequences of them for several inner steps, are laid out along
the task axis of a rollout, so that one call of the library gives its answer for every one. The exact answers come from
pi alone, with its derivatives by `torch.autograd.functional`.

Values are per step, the expected return divided by the horizon. The inner surrogate is a mean over the steps there are.
theta is the policy's parameters as one vector; meta is theta, followed by the step sizes where those are learned.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import gymnasium
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call, vmap
from torch.utils import _pytree as pytree

from agents.core.pytree import flatten
from agents.core.rollout import Rollout
from agents.maml import MAML, Config
from agents.rl.batch import Batch, inner_batch, plain_batch, select_tasks
from agents.rl.inner_update import inner_update
from agents.rl.meta import with_old_policy
from qrl.models.reuploading import Config as CircuitConfig
from qrl.policies.heads import Categorical
from qrl.policies.policy import BoundPolicy, Policy, make_policy

OBSERVATION = torch.tensor([0.7, -0.4], dtype=torch.float64)
"""What the policy sees in each state; not 0, so that a circuit's input scales matter."""

N_ACTIONS = 2
END = -1
"""The state that ends an episode."""


class Outcome(NamedTuple):
    """What may follow an action: its probability, the reward, the next state."""

    probability: float
    reward: float
    state: int


@dataclass(frozen=True)
class Problem:
    """A decision process that starts in state 0, `outcomes[state][action]`, and the size of one inner data set.

    The order of a data set's episodes makes no difference to an estimator, so each set is listed once and its orders
    are counted; with `ordered` every order is listed by itself.
    """

    outcomes: tuple[tuple[tuple[Outcome, ...], ...], ...]
    horizon: int
    episodes: int = 2
    ordered: bool = False

    @cached_property
    def episode_list(self) -> list[tuple[float, tuple[tuple[int, int, float], ...]]]:
        """Every possible episode: the probability of its outcomes, and (state, action, reward) of its steps."""
        return list(self._episodes(0, self.horizon))

    def _episodes(self, state: int, steps: int) -> Iterator[tuple[float, tuple[tuple[int, int, float], ...]]]:
        if steps == 0 or state == END:
            yield 1.0, ()
            return
        for action, outcomes in enumerate(self.outcomes[state]):
            merged: Counter[tuple[float, int]] = Counter()  # where the last step leads makes no difference
            for outcome in outcomes:
                merged[outcome.reward, outcome.state if steps > 1 else END] += outcome.probability  # type: ignore[assignment]
            for (reward, following), probability in merged.items():
                for chance, rest in self._episodes(following, steps - 1):
                    yield probability * chance, ((state, action, reward), *rest)

    @cached_property
    def chance(self) -> Tensor:
        """Probability of an episode's outcomes, given its actions [episode]."""
        return torch.tensor([chance for chance, _ in self.episode_list], dtype=torch.float64)

    @cached_property
    def steps(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """States, actions, rewards and validity of every episode, each [episode, time]; padding is 0."""
        padded = [[*steps, *[(0, 0, 0.0)] * (self.horizon - len(steps))] for _, steps in self.episode_list]
        states, actions, rewards = torch.tensor(padded, dtype=torch.float64).unbind(-1)
        length = torch.tensor([len(steps) for _, steps in self.episode_list])
        return states.long(), actions.long(), rewards, torch.arange(self.horizon) < length[:, None]

    @cached_property
    def returns_to_go(self) -> Tensor:
        """Rewards from each step on [episode, time]."""
        rewards = self.steps[2]
        return torch.stack([rewards[:, t:].sum(1) for t in range(self.horizon)], dim=1)

    @cached_property
    def returns(self) -> Tensor:
        """The episodes' returns, per step [episode]."""
        return self.returns_to_go[:, 0] / self.horizon

    @cached_property
    def members(self) -> Tensor:
        """The episodes that every data set is made of [data, env]."""
        indices = range(len(self.chance))
        if self.ordered:
            return torch.tensor(list(itertools.product(indices, repeat=self.episodes)))
        return torch.tensor(list(itertools.combinations_with_replacement(indices, self.episodes)))

    @cached_property
    def orders(self) -> Tensor:
        """In how many orders of its episodes each data set may come [data]."""
        if self.ordered:
            return torch.ones(len(self.members), dtype=torch.float64)
        repeats = [math.prod(map(math.factorial, Counter(row).values())) for row in self.members.tolist()]
        return math.factorial(self.episodes) / torch.tensor(repeats, dtype=torch.float64)

    def rollout(self, members: Tensor) -> Rollout:
        """Data sets [task, env] of episodes as a rollout, one a task."""
        columns = [column[members].movedim(2, 0) for column in self.steps]
        states, actions, rewards, valid = columns
        following = torch.cat([valid[1:], torch.zeros_like(valid[:1])])
        last = torch.arange(self.horizon)[:, None, None] == self.horizon - 1
        terminated, truncated = valid & ~following & ~last, valid & last
        episode = torch.zeros_like(valid, dtype=torch.int64)
        return Rollout(OBSERVATION[states][..., None], actions, rewards, valid, terminated, truncated, episode)


def bandit(episodes: int = 2, pulls: int = 1, means: tuple[float, float] = (0.8, 0.3), **options: Any) -> Problem:
    """Two arms that pay 1 with probability `means`; an episode is `pulls` pulls."""
    arms = tuple((Outcome(mean, 1.0, 0), Outcome(1 - mean, 0.0, 0)) for mean in means)
    return Problem((arms,), pulls, episodes, **options)


def two_states(episodes: int = 2, **options: Any) -> Problem:
    """Two states, two steps: the action decides on the reward and on the odds of the next state."""
    reward = ((1.0, -0.5), (0.3, 2.0))
    to_other = ((0.8, 0.3), (0.4, 0.9))  # probability that the next state is 1
    outcomes = tuple(
        tuple((Outcome(p, r, 1), Outcome(1 - p, r, 0)) for r, p in zip(*row, strict=True))
        for row in zip(reward, to_other, strict=True)
    )
    return Problem(outcomes, 2, episodes, **options)


def early_end(episodes: int = 2, **options: Any) -> Problem:
    """`two_states` where action 1 in the first state may end the episode, so that there is padding."""
    problem = two_states()
    (first, _), later = problem.outcomes
    ending = (Outcome(0.5, -0.5, END), Outcome(0.3, -0.5, 1), Outcome(0.2, -0.5, 0))
    return Problem(((first, ending), later), 2, episodes, **options)


# --- policies and learner --------------------------------------------------------------------------------------------


class LogitPolicy(Policy):
    """A softmax policy whose only parameters are its logits, two a state."""

    def __init__(self, n_states: int = 1) -> None:
        nn.Module.__init__(self)
        logits = torch.tensor([[0.4, -0.3], [-0.2, 0.1]], dtype=torch.float64)
        self.logits = nn.Parameter(logits[:n_states].clone())
        self.head = Categorical  # type: ignore[assignment]  # its functions alone, without its temperature

    @property
    def groups(self) -> dict[str, str]:
        return {"logits": "heads"}

    def bind(self) -> BoundPolicy:
        return BoundPolicy({}, {}, {"logits": self.logits})

    def distribution(self, bound: BoundPolicy, observations: Tensor) -> dict[str, Tensor]:
        logits = bound.head["logits"]
        state = (observations == OBSERVATION[: len(logits)]).to(observations.dtype)
        return {"log_probs": (state @ logits).log_softmax(-1)}


def circuit_policy(n_wires: int = 1, n_layers: int = 1, seed: int = 0) -> Policy:
    """A re-uploading circuit that chooses the action, in double precision."""
    observations = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    generator = torch.Generator().manual_seed(seed)
    config = CircuitConfig(n_wires=n_wires, n_layers=n_layers)
    actions = gymnasium.spaces.Discrete(N_ACTIONS)
    return make_policy("reuploading", config, observations, actions, generator=generator).double()


def policies(problem: Problem) -> dict[str, Policy]:
    """The policies that everything is shown for."""
    logits = LogitPolicy(len(problem.outcomes))
    return {"logits": logits, "1 wire": circuit_policy(1), "2 wires": circuit_policy(2)}


def learner(policy: Policy, problem: Problem, **options: Any) -> MAML:
    """MAML with the plain estimator: a fixed step size, no discount, no baseline, advantages as they are."""
    plain: dict[str, Any] = {
        "episodes": problem.episodes,
        "inner_step_size": 0.5,
        "learn_step_sizes": False,
        "baseline": "none",
        "discount": 1.0,
        "standardise_inner": False,
    }
    if options.get("estimator", "dice") == "dice":
        plain["dice_memory"] = 1.0
    return MAML(Config(**(plain | options)), policy, problem.horizon)


def flat(params: dict[str, Tensor]) -> Tensor:
    """The parameters as one vector."""
    return torch.cat([value.flatten() for value in params.values()])


def unflat(policy: Policy, theta: Tensor) -> dict[str, Tensor]:
    """The inverse of `flat` for the policy's own parameters."""
    parameters = dict(policy.named_parameters())
    parts = theta.split([p.numel() for p in parameters.values()])
    return {name: part.reshape(p.shape) for (name, p), part in zip(parameters.items(), parts, strict=True)}


def parameters(maml: MAML) -> Tensor:
    """The learner's theta, and its step sizes if it learns them."""
    return flatten(maml.meta).detach()


# --- exact, from pi alone --------------------------------------------------------------------------------------------

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
    """Every sequence of inner data sets, and what follows from it.

    `data` [sequence, step]: the data sets' numbers. `log_probability` [sequence] of drawing them. `theta` [sequence,
    parameter]: the adapted parameters. `jacobian` [sequence, parameter, meta]: their derivative as the estimator has
    it.
    `scores`: for each step, the derivative of the log-probability of each episode [sequence, env, meta].
    """

    data: Tensor
    log_probability: Tensor
    theta: Tensor
    jacobian: Tensor
    scores: tuple[Tensor, ...]

    @property
    def probability(self) -> Tensor:
        """Of drawing the data sets [sequence]."""
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
    - emaml: B_t = hess l_t, what it is at fixed data
    - first-order: nothing

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
    """The entries of sequences for their continuations, by any data set."""
    return x.repeat_interleave(n_data, 0)


def _bend(maml: MAML, problem: Problem, thetas: Tensor, score: Tensor) -> Tensor:
    """B_t of `sequences` [theta, episode, time, parameter, parameter]; score is [theta, episode, time, parameter]."""
    estimator, function = maml.config.estimator, log_pi(maml.policy, problem)
    if estimator == "first-order":
        return _square(torch.zeros_like(score))
    bend = steps_of(problem, slope(lambda x: slope(function, x), thetas).detach())
    if estimator == "emaml":
        return bend
    memory = {"dice": maml.config.dice_memory, "lvc": 0.0}[estimator]
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
    """Probabilities [sequence], and the meta-gradient of each, with its outer expectation taken [sequence, meta]."""
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

    leave-one-out: b is that of `agents.rl.returns.score_advantages` for many tasks alike, the mean return of the data
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
    """Trace of the covariance of one task's meta-gradient: with the outer expectation taken, and from as many outer
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
    """The derivative of `sampled_objective`: adapt on sampled data, then act."""
    return jacobian(sampled_objective(maml, problem), meta)


def expected_update_gradient(maml: MAML, problem: Problem, meta: Tensor) -> Tensor:
    """The derivative of V after steps along the gradient of V itself, with a fixed step size."""
    function = value(maml.policy, problem)

    def updated(thetas: Tensor) -> Tensor:
        for _ in range(maml.config.inner_steps):
            thetas = thetas + maml.config.inner_step_size * slope(function, thetas)
        return function(thetas)

    return slope(updated, meta[None])[0].detach()


def central_difference(function: Function, at: Tensor, width: float = 1e-3) -> Tensor:
    """The gradient of a scalar function from values alone, of fourth order in the width."""
    with torch.no_grad():
        points = [[function(at + k * width * unit) for k in (-2, -1, 1, 2)] for unit in torch.eye(len(at)).to(at)]
    return torch.tensor(points, dtype=at.dtype) @ torch.tensor([1.0, -8.0, 8.0, -1.0]).to(at) / (12 * width)


# --- what the library gives ------------------------------------------------------------------------------------------


def library_update(maml: MAML, problem: Problem, theta: Tensor) -> tuple[Tensor, Tensor]:
    """The inner update averaged over P(D): its gradient estimate [parameter] and Hessian [parameter, parameter].

    The library divides by the number of steps in D, where the value is divided by the horizon; its answer for each D is
    multiplied by the quotient, so that its expectation is known also where episodes end early.
    """
    step = maml.config.inner_step_size
    data = inner_batch(problem.rollout(problem.members), maml.config)
    log_prob = steps_of(problem, log_pi(maml.policy, problem)(theta[None]))[0].sum(-1) + problem.chance.log()
    probability = (log_prob[problem.members].sum(-1).exp() * problem.orders).detach()
    weight = probability * data.valid.sum((1, 2)) / (problem.episodes * problem.horizon)

    def updated(x: Tensor, batch: Batch) -> Tensor:
        theta = unflat(maml.policy, x)
        return flat(inner_update(theta, maml.inner_gradient(theta, batch), step))

    def moved(x: Tensor) -> Tensor:
        return weight @ (vmap(lambda batch: updated(x, batch))(data) - x) / step

    return moved(theta).detach(), jacobian(moved, theta)


def library_meta_gradient(
    maml: MAML, problem: Problem, baseline: ScoreBaseline = "none", weight: Tensor | None = None
) -> Tensor:
    """The expectation of `MAML.meta_gradient` over inner and outer data, at the learner's own parameters [meta].

    Every sequence of data sets is a task, whose outer rollout holds each possible episode once. The outer objective is
    linear in the advantages, so these carry the probabilities of the sequence and, under the adapted policy, of the
    episode, beside its return; and for emaml the inner data carry V after adaptation likewise. `weight` [sequence]
    takes the place of the sequences' probabilities: with numbers at random, the sum tells of each sequence by itself.
    """
    meta = parameters(maml)
    drawn = sequences(maml, problem, meta, derivatives=False)
    weight = drawn.probability.detach() if weight is None else weight
    state, inner = maml.begin(len(drawn.data), problem.episodes), []
    for data in drawn.data.unbind(1):
        rollout = problem.rollout(problem.members[data])
        inner.append(with_old_policy(maml.policy, state.params, inner_batch(rollout, maml.config)))
        state = maml.adapt(state, rollout)
    outer = _every_episode(maml, problem, state.params)
    n_valid = outer.valid.sum()
    outer = replace(outer, advantage=n_valid * weight[:, None, None] * outer.advantage)
    if maml.config.estimator == "emaml":
        inner = [
            replace(each, score=n_valid * (weight[:, None] * score)[:, None].expand_as(each.valid))
            for each, score in zip(inner, score_advantages(maml, problem, drawn, baseline), strict=True)
        ]
    gradients, _ = maml.meta_gradient((tuple(inner), outer))
    return torch.cat([each.flatten() for each in gradients])


@torch.no_grad()
def _every_episode(maml: MAML, problem: Problem, params: dict[str, Tensor]) -> Batch:
    """Outer data of tasks with these parameters: an episode of each kind, its return weighed by its probability."""
    n_tasks = len(next(iter(params.values())))
    rollout = problem.rollout(torch.arange(len(problem.chance)).expand(n_tasks, -1))
    outer = with_old_policy(maml.policy, params, plain_batch(rollout, maml.config))
    assert outer.old_log_prob is not None
    probability = problem.chance * torch.where(outer.valid, outer.old_log_prob, 0.0).sum(1).exp()
    weighed = probability * problem.returns
    return replace(outer, advantage=torch.where(outer.valid, weighed[:, None], 0.0))


def library_training_gradient(maml: MAML, problem: Problem) -> Tensor:
    """As `library_meta_gradient` for one inner step, from what the library itself makes of two rollouts [meta].

    The outer rollout, too, is one of N episodes here, and beside each pair of rollouts stands a second task with a pair
    that stays the same. The library divides outer advantages and scores by one number that depends on the data; they
    are multiplied by it again, as a quotient has no simple expectation.
    """
    drawn = sequences(maml, problem, parameters(maml), derivatives=False)
    log_prob = steps_of(problem, log_pi(maml.policy, problem)(drawn.theta)).sum(-1) + problem.chance.log()
    probability = drawn.probability[:, None] * (log_prob[:, problem.members].sum(-1).exp() * problem.orders)
    size, n_data = problem.episodes * problem.horizon, len(problem.members)
    columns: tuple[list[Batch], list[Batch]] = ([], [])
    for before, after in itertools.product(range(n_data), repeat=2):
        inner, outer, unit = _two_tasks(maml, problem, (before, n_data // 2), (after, n_data // 3))
        assert inner.score is not None
        weight = unit * probability[before, after].detach() / size
        columns[0].append(replace(inner, score=weight * inner.score))
        columns[1].append(replace(outer, advantage=weight * outer.advantage))
    first, last = (pytree.tree_map(lambda *parts: torch.cat(parts), *column) for column in columns)
    n_valid = last.valid.sum()
    first, last = replace(first, score=n_valid * first.score), replace(last, advantage=n_valid * last.advantage)
    gradients, _ = maml.meta_gradient(((first,), last))
    return torch.cat([each.flatten() for each in gradients])


def _two_tasks(
    maml: MAML, problem: Problem, before: tuple[int, int], after: tuple[int, int]
) -> tuple[Batch, Batch, Tensor]:
    """Inner and outer data of the first of two tasks with these data sets, and what the library divided them by."""
    rollouts = [problem.rollout(problem.members[list(tasks)]) for tasks in (before, after)]
    start = maml.begin(2, problem.episodes)
    (inner,), outer = maml.batches(rollouts, [start, maml.adapt(start, rollouts[0])])
    plain = plain_batch(rollouts[1], maml.config).advantage
    unit = (plain.square().sum() / outer.valid.sum()).sqrt().clamp_min(1e-8)
    return select_tasks(inner, slice(1)), select_tasks(outer, slice(1)), unit


def largest(difference: Tensor) -> float:
    """Largest absolute entry."""
    return float(difference.detach().abs().max())
