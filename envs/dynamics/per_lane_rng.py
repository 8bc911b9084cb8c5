"""Random numbers of the steps to come, from what was drawn at an episode's start.

A transition is a pure function of the state, so what is random in it has to be in the state. Two whole numbers that are
carried on from step to step take two places there, however long the episode.

The generator is that of L'Ecuyer (1988, "Efficient and portable combined random number generators"): the difference of
two multiplicative ones, with a period of 2.3 · 10^18. Its products are below 2^53, so float64 holds them exactly.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

MODULI = torch.tensor([2147483563, 2147483399], dtype=torch.float64)
MULTIPLIERS = torch.tensor([40014, 40692], dtype=torch.float64)
N_OUTPUTS = 2147483562


def seeds(uniform: Float64[Tensor, "lane 2"]) -> Float64[Tensor, "lane 2"]:
    """The numbers to start from, of numbers in [0, 1) that were drawn: whole, from 1 to below each modulus."""
    return (uniform * (MODULI - 1).to(uniform.device)).floor() + 1


def advance(seed: Float64[Tensor, "lane 2"]) -> tuple[Float64[Tensor, "lane 2"], Float64[Tensor, " lane"]]:
    """The numbers to go on from, and a uniform number in [0, 1)."""
    seed = torch.fmod(seed * MULTIPLIERS.to(seed.device), MODULI.to(seed.device))
    first, second = seed.unbind(-1)
    return seed, torch.remainder(first - second, N_OUTPUTS) / N_OUTPUTS
