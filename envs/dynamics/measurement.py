"""Repeated measurements: counts of shots, drawn from the random number generators of the lanes."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from envs.dynamics.per_lane_rng import next_uniform


def binomial(
    uniform: Float64[Tensor, " lane"], probability: Float64[Tensor, " lane"], trials: int
) -> Float64[Tensor, " lane"]:
    """Invert the binomial distribution: return the smallest count whose cumulative probability is above `uniform`.

    The sum is restricted to counts within 5 √trials of the mean: by Hoeffding's inequality all other counts together
    have a probability of 4e-22, below the resolution of float64.
    """
    half_width = math.ceil(5 * math.sqrt(trials))
    first = ((trials * probability).floor() - half_width).clamp_min(0)
    count = first[:, None] + torch.arange(2 * half_width + 2, dtype=torch.float64, device=uniform.device)
    others = (trials - count).clamp_min(0)  # counts above `trials` come last, where the cumulative probability is 1
    log_power = torch.xlogy(count, probability[:, None]) + torch.special.xlog1py(others, -probability[:, None])
    log_coefficient = math.lgamma(trials + 1) - torch.lgamma(count + 1) - torch.lgamma(others + 1)
    passed = (log_coefficient + log_power).exp().cumsum(1) <= uniform[:, None]
    return (first + passed.sum(1)).clamp_max(trials)


def estimates(
    probability: Float64[Tensor, "lane outcome"], shots: int, rng_state: Float64[Tensor, "lane rng"]
) -> tuple[Float64[Tensor, "lane outcome"], Float64[Tensor, "lane rng"]]:
    """Estimate each probability by the relative frequency in `shots` shots.

    Args:
        probability: probability of each outcome.
        shots: shots for each outcome.
        rng_state: states of the generators, one per outcome, two numbers each.

    Returns:
        the estimates, and the next states of the generators.
    """
    rng_state, uniform = next_uniform(rng_state.reshape(-1, 2))
    columns = zip(uniform.reshape(probability.shape).unbind(1), probability.unbind(1), strict=True)
    counts = torch.stack([binomial(*column, shots) for column in columns], dim=1)
    return counts / shots, rng_state.reshape(len(probability), -1)
