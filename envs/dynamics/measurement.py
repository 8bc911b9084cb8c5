"""Repeated measurements: counts of shots, drawn by the random number generators of the lanes."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from envs.dynamics.per_lane_rng import next_uniform


def binomial(
    uniform: Float64[Tensor, " lane"], probability: Float64[Tensor, " lane"], trials: int
) -> Float64[Tensor, " lane"]:
    """Inverse of the binomial distribution: the smallest count whose cumulative probability is above `uniform`.

    Summed over the counts within 5 √trials of the mean only: by Hoeffding's inequality the others have a probability
    of 4e-22 in all, below what a float64 resolves.
    """
    reach = math.ceil(5 * math.sqrt(trials))
    first = ((trials * probability).floor() - reach).clamp_min(0)
    count = first[:, None] + torch.arange(2 * reach + 2, dtype=torch.float64, device=uniform.device)
    others = (trials - count).clamp_min(0)  # counts beyond all trials come last, where all probability is spent
    logs = torch.xlogy(count, probability[:, None]) + torch.special.xlog1py(others, -probability[:, None])
    ways = math.lgamma(trials + 1) - torch.lgamma(count + 1) - torch.lgamma(others + 1)
    passed = (ways + logs).exp().cumsum(1) <= uniform[:, None]
    return (first + passed.sum(1)).clamp_max(trials)


def estimates(
    probability: Float64[Tensor, "lane outcome"], shots: int, rng_state: Float64[Tensor, "lane rng"]
) -> tuple[Float64[Tensor, "lane outcome"], Float64[Tensor, "lane rng"]]:
    """Estimate each probability by its share in so many shots; the estimates, and the next state of the generators.

    Args:
        probability: of each outcome.
        shots: for each of them.
        rng_state: of a generator for each outcome, two numbers each.
    """
    rng_state, uniform = next_uniform(rng_state.reshape(-1, 2))
    columns = zip(uniform.reshape(probability.shape).unbind(1), probability.unbind(1), strict=True)
    counts = torch.stack([binomial(*column, shots) for column in columns], dim=1)
    return counts / shots, rng_state.reshape(len(probability), -1)
