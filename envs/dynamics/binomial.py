"""Counts of a measurement that is repeated, from numbers in [0, 1) that were drawn beforehand."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor


def binomial(
    uniform: Float64[Tensor, " lane"], probability: Float64[Tensor, " lane"], trials: int
) -> Float64[Tensor, " lane"]:
    """The binomial distribution's inverse: the smallest count whose cumulative probability is above `uniform`.

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
