"""Surrogate objectives of one task, to be maximised; axes time, env."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def magic_box(x: Tensor, old: Tensor | None = None) -> Tensor:
    """exp(x - old); by default `old` is the value of x, so that the result is 1 with the gradient of x, to any order.

    The magic box of DiCE (Foerster et al. 2018). If `old` is the log-probability under the sampling policy, the result
    is the importance weight.
    """
    return (x - (x.detach() if old is None else old)).exp()


def dice(
    log_prob: Float[Tensor, "time env"],
    advantage: Float[Tensor, "time env"],
    valid: Bool[Tensor, "time env"],
    decay: float = 1.0,
    old_log_prob: Float[Tensor, "time env"] | None = None,
) -> Float[Tensor, " env"]:
    """Sum over t of [box(m_t) - box(m_t - l_t)] A_t for each episode, m_t = decay * m_t-1 + l_t: 0 in value.

    Loaded DiCE (Farquhar et al. 2019, Trading off bias and variance in any-order score function estimators), where
    `decay` is lambda. Its first derivative is the policy gradient sum_t grad l_t A_t. With `decay` 1, its second
    derivative is an unbiased estimate of the Hessian of the expected return, for any baseline in A that does not depend
    on the episode's own actions. A smaller `decay` damps the products of scores at distant steps, whose variance grows
    with the length of the episode; with 0 it is the low-variance curvature estimator of Rothfuss et al. 2019 (ProMP).

    With `old_log_prob`, of the sampling policy, the boxes are importance weights: equal at that policy, with equal
    derivatives, and elsewhere the function that has these derivatives.
    """
    log_prob = torch.where(valid, log_prob, 0.0)
    old = log_prob.detach() if old_log_prob is None else torch.where(valid, old_log_prob, 0.0)
    steps = torch.arange(len(log_prob), device=log_prob.device)
    lag = steps[:, None] - steps
    weights = torch.where(lag >= 0, decay ** lag.clamp_min(0).to(log_prob.dtype), 0.0)
    decayed, old_decayed = weights @ log_prob, weights @ old
    boxes = magic_box(decayed, old_decayed) - magic_box(decayed - log_prob, old_decayed - old)
    return (boxes * advantage).sum(0)


def lvc(
    log_prob: Float[Tensor, "time env"],
    advantage: Float[Tensor, "time env"],
    valid: Bool[Tensor, "time env"],
    old_log_prob: Float[Tensor, "time env"] | None = None,
) -> Float[Tensor, " env"]:
    """Sum over t of box(l_t) A_t for each episode: the low-variance curvature of Rothfuss et al. 2019 (ProMP).

    Its second derivative is sum_t A_t (hess l_t + grad l_t grad l_t'): the Hessian of the expected return without the
    products of scores at different steps. It equals `dice` with `decay` 0 up to a constant; `old_log_prob` as there.
    """
    log_prob = torch.where(valid, log_prob, 0.0)
    old = None if old_log_prob is None else torch.where(valid, old_log_prob, 0.0)
    return (magic_box(log_prob, old) * advantage).sum(0)


def policy_gradient(
    log_prob: Float[Tensor, "time env"], advantage: Float[Tensor, "time env"], valid: Bool[Tensor, "time env"]
) -> Float[Tensor, " env"]:
    """Sum over t of l_t A_t for each episode (Williams 1992).

    Its second derivative, sum_t A_t hess l_t, is that of the gradient estimate at fixed data, not the Hessian of the
    expected return.
    """
    return (torch.where(valid, log_prob, 0.0) * advantage).sum(0)


def ppo_clip(
    log_prob: Float[Tensor, "time env"],
    old_log_prob: Float[Tensor, "time env"],
    advantage: Float[Tensor, "time env"],
    valid: Bool[Tensor, "time env"],
    clip: float,
) -> Float[Tensor, " env"]:
    """Sum over t of min(r_t A_t, clip(r_t, 1-clip, 1+clip) A_t), r_t = pi/pi_old (Schulman et al. 2017, eq. 7)."""
    ratio = torch.where(valid, log_prob - old_log_prob, 0.0).exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).sum(0)
