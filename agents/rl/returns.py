"""Returns and baselines, pure functions of rewards with axes time, task, env.

The objective is the return of an episode of at most H steps, or of a trial, as the environment family defines it. A
truncation at H ends the return, so nothing is bootstrapped there; baselines depend on the time step.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from agents.core.shard import WHOLE, Shard

_RIDGE = 1e-5


def returns_to_go(reward: Float[Tensor, "time task env"], discount: float = 1.0) -> Float[Tensor, "time task env"]:
    """G_t = sum over u >= t of discount^(u-t) r_u; rewards of padding are 0."""
    if discount == 1.0:
        return reward.flip(0).cumsum(0).flip(0)
    next_return = torch.zeros_like(reward[0])
    returns = torch.empty_like(reward)
    for t in range(len(reward) - 1, -1, -1):
        next_return = reward[t] + discount * next_return
        returns[t] = next_return
    return returns


def generalised_advantages(
    reward: Float[Tensor, "time trial"],
    value: Float[Tensor, "time trial"],
    valid: Bool[Tensor, "time trial"],
    discount: float,
    decay: float,
) -> Float[Tensor, "time trial"]:
    """A_t = sum_k (discount * decay)^k delta_t+k, delta_t = r_t + discount * V_t+1 - V_t (Schulman et al. 2016, GAE).

    The sums run over a whole trial (Duan et al. 2016): the end of an episode does not end it, and V_t+1 is then the
    value of the next episode's first observation. V is 0 after the last step of the trial. 0 where not valid.
    """
    advantage = torch.zeros_like(reward)
    next_advantage = torch.zeros_like(reward[0])
    next_value = torch.zeros_like(reward[0])
    for t in range(len(reward) - 1, -1, -1):
        delta = reward[t] + discount * next_value - value[t]
        next_advantage = torch.where(valid[t], delta + discount * decay * next_advantage, 0.0)
        next_value = torch.where(valid[t], value[t], 0.0)
        advantage[t] = next_advantage
    return advantage


def leave_one_out(returns: Float[Tensor, "time task env"]) -> Float[Tensor, "time task env"]:
    """b_t of an episode = mean return-to-go at t of the task's other episodes, 0 for those that have ended.

    Independent of the episode's own actions, hence unbiased to any order (Kool et al. 2019). Zero with one episode.
    """
    n_envs = returns.shape[2]
    if n_envs == 1:
        return torch.zeros_like(returns)
    return (returns.sum(2, keepdim=True) - returns) / (n_envs - 1)


def linear_baseline(
    returns: Float[Tensor, "time task env"],
    observation: Float[Tensor, "time task env obs"],
    valid: Bool[Tensor, "time task env"],
) -> Float[Tensor, "time task env"]:
    """V(s, t) linear in (s, s^2, t, t^2, t^3, 1), fitted per task; features of Duan et al. 2016 (Benchmarking deep RL).

    Cross-fitted: the fit for even episodes uses the odd ones and vice versa, so that an episode's baseline does not
    depend on its own actions and, unlike the usual fit to the same data, adds no bias. Zero with a single episode.
    """
    n_time, _, n_envs = returns.shape
    if n_envs == 1:
        return torch.zeros_like(returns)
    time = torch.arange(n_time, dtype=returns.dtype, device=returns.device) / 100
    powers = torch.stack([time, time**2, time**3, torch.ones_like(time)], dim=-1)[:, None, None]
    squashed = observation.clamp(-10, 10)
    features = torch.cat([squashed, squashed**2, powers.expand(*returns.shape, 4)], dim=-1)
    even = (torch.arange(n_envs, device=returns.device) % 2 == 0).expand_as(returns)
    baseline = torch.zeros_like(returns)
    for half in (even, ~even):
        weight = (valid & ~half).to(returns.dtype).permute(1, 0, 2).flatten(1)
        x = features.permute(1, 0, 2, 3).flatten(1, 2).double()
        y = returns.permute(1, 0, 2).flatten(1).double()
        weighted = (x * weight.double().unsqueeze(-1)).mT
        ridge = _RIDGE * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
        solution = torch.linalg.solve(weighted @ x + ridge, weighted @ y.unsqueeze(-1))
        fitted = (features.double() @ solution[None]).squeeze(-1).to(returns.dtype)
        baseline = torch.where(half, fitted, baseline)
    return baseline * valid


def score_advantages(
    before: Float[Tensor, "task env"], after: Float[Tensor, "task env"], shard: Shard = WHOLE
) -> Float[Tensor, "task env"]:
    """Advantage of having sampled each episode of an inner update: its task's mean return afterwards minus a baseline.

    The baseline is the mean return `before` of the task's other episodes plus the mean gain of the other tasks. It does
    not depend on the episode's own actions, so it adds no bias to the score-function estimate (Al-Shedivat et al. 2018;
    Stadie et al. 2018, E-MAML); the baseline is ours.
    """
    adapted = after.mean(1, keepdim=True)
    gain = adapted - before.mean(1, keepdim=True)
    n_tasks, (total,) = len(gain) * shard.count, shard.sum([gain.sum()])
    others = (total - gain) / (n_tasks - 1) if n_tasks > 1 else torch.zeros_like(gain)
    return adapted - leave_one_out(before[None])[0] - others


def standardise(
    advantage: Float[Tensor, "time task env"],
    valid: Bool[Tensor, "time task env"],
    *,
    per_task: bool,
    shard: Shard = WHOLE,
) -> Float[Tensor, "time task env"]:
    """Advantages divided by their standard deviation (around 0) over the valid steps of each task or of all tasks."""
    return torch.where(valid, advantage / deviation(advantage, valid, per_task=per_task, shard=shard), 0.0)


def deviation(
    advantage: Float[Tensor, "time task env"],
    valid: Bool[Tensor, "time task env"],
    *,
    per_task: bool,
    shard: Shard = WHOLE,
) -> Float[Tensor, "1 task_or_1 1"]:
    """Standard deviation of advantages around 0 over the valid steps of each task or of all tasks; at least 1e-8.

    All tasks are those of all shards.
    """
    axes = (0, 2) if per_task else (0, 1, 2)
    count, squares = valid.sum(axes, keepdim=True), (advantage * valid).square().sum(axes, keepdim=True)
    if not per_task:
        count, squares = shard.sum([count, squares])
    return (squares / count.clamp_min(1)).sqrt().clamp_min(1e-8)


def standard_scores(
    returns: Float[Tensor, "task env time"],
    valid: Bool[Tensor, "task env time"],
    *,
    per_episode: bool,
    shard: Shard = WHOLE,
) -> Float[Tensor, "task env time"]:
    """Returns minus their mean, divided by their standard deviation, over the valid steps of an episode or of all.

    Zero where all returns are equal within rounding.
    """
    axes, over = ((2,), WHOLE) if per_episode else ((0, 1, 2), shard)
    count, total = over.sum([valid.sum(axes, keepdim=True), (returns * valid).sum(axes, keepdim=True)])
    count = count.clamp_min(1)
    centred = torch.where(valid, returns - total / count, 0.0)
    (squares,) = over.sum([centred.square().sum(axes, keepdim=True)])
    spread = (squares / count).sqrt()
    largest = over.largest(torch.where(valid, returns, 0.0).abs().amax(axes, keepdim=True))
    return torch.where(spread > 16 * torch.finfo(returns.dtype).eps * largest, centred / (spread + 1e-8), 0.0)
