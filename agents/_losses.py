"""Surrogate objectives, one task each; axes time, env. To be maximised."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def magic_box(x: Tensor) -> Tensor:
    """exp(x - stop_gradient(x)): 1 in value, the gradient of x, and so on to any order (Foerster et al. 2018, DiCE)."""
    return (x - x.detach()).exp()


def dice(
    log_prob: Float[Tensor, "time env"], advantage: Float[Tensor, "time env"], valid: Bool[Tensor, "time env"]
) -> Float[Tensor, " env"]:
    """Sum over t of [box(l_1 + .. + l_t) - box(l_1 + .. + l_{t-1})] A_t for each episode: 0 in value.

    Loaded DiCE (Farquhar et al. 2019, eq. 9, lambda = 1). Its first derivative is the policy gradient sum_t grad l_t A_t;
    its second derivative is an unbiased estimate of the Hessian of the expected return, for any baseline in A that does
    not depend on the episode's own actions.
    """
    log_prob = torch.where(valid, log_prob, 0.0)
    up_to = log_prob.cumsum(0)
    return ((magic_box(up_to) - magic_box(up_to - log_prob)) * advantage).sum(0)


def policy_gradient(
    log_prob: Float[Tensor, "time env"], advantage: Float[Tensor, "time env"], valid: Bool[Tensor, "time env"]
) -> Float[Tensor, " env"]:
    """Sum over t of l_t A_t for each episode (Williams 1992). First derivatives only: its second is not the Hessian."""
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
