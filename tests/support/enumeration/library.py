"""Results of the library on enumerated processes, averaged over all data sets."""

import itertools
from dataclasses import replace

import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.func import vmap
from torch.utils import _pytree as pytree

from agents.maml import MAML
from agents.rl.batch import Batch, inner_batch, plain_batch, select_tasks
from agents.rl.inner_update import inner_update
from agents.rl.meta import with_old_policy
from tests.support.enumeration.expectations import (
    ScoreBaseline,
    log_pi,
    score_advantages,
    sequences,
    steps_of,
)
from tests.support.enumeration.policies import flat, parameters, unflat
from tests.support.enumeration.processes import (
    Problem,
)


def library_update(maml: MAML, problem: Problem, theta: Tensor) -> tuple[Tensor, Tensor]:
    """The inner update averaged over P(D): its gradient estimate [parameter] and Hessian [parameter, parameter].

    The library divides by the number of steps in D, but the value is divided by the horizon; its result for each D is
    multiplied by the ratio, so that its expectation is known also if episodes end early.
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

    Every sequence of data sets is a task, whose outer rollout has each possible episode once. The outer objective is
    linear in the advantages, so these carry the probabilities of the sequence and, under the adapted policy, of the
    episode, in addition to its return; for emaml the inner data likewise carry V after adaptation. `weight` [sequence]
    replaces the sequences' probabilities: with random numbers, the sum tests each sequence separately.
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
    """Outer data of tasks with these parameters: every episode once, its return weighted by its probability."""
    n_tasks = len(next(iter(params.values())))
    rollout = problem.rollout(torch.arange(len(problem.chance)).expand(n_tasks, -1))
    outer = with_old_policy(maml.policy, params, plain_batch(rollout, maml.config))
    assert outer.old_log_prob is not None
    probability = problem.chance * torch.where(outer.valid, outer.old_log_prob, 0.0).sum(1).exp()
    weighed = probability * problem.returns
    return replace(outer, advantage=torch.where(outer.valid, weighed[:, None], 0.0))


def library_training_gradient(maml: MAML, problem: Problem) -> Tensor:
    """As `library_meta_gradient` for one inner step, with the library's own processing of two rollouts [meta].

    The outer rollout, too, has N episodes here, and each pair of rollouts is accompanied by a second task with a fixed
    pair. The library divides outer advantages and scores by one number that depends on the data; they
    are multiplied by it again, as a ratio has no simple expectation.
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
    """Inner and outer data of the first of two tasks with these data sets, and the library's divisor."""
    rollouts = [problem.rollout(problem.members[list(tasks)]) for tasks in (before, after)]
    start = maml.begin(2, problem.episodes)
    (inner,), outer = maml.batches(rollouts, [start, maml.adapt(start, rollouts[0])])
    plain = plain_batch(rollouts[1], maml.config).advantage
    unit = (plain.square().sum() / outer.valid.sum()).sqrt().clamp_min(1e-8)
    return select_tasks(inner, slice(1)), select_tasks(outer, slice(1)), unit


def largest(difference: Tensor) -> float:
    """Largest absolute entry."""
    return float(difference.detach().abs().max())
