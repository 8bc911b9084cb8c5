"""Random number generator for each lane, whose state is part of the environment's state.

A transition is a pure function of the environment's state, so that the state has to contain its randomness. The
generator's state is two integers, which take two entries of the environment's state for episodes of any length.

The generator is that of L'Ecuyer (1988, "Efficient and portable combined random number generators"): the difference of
two multiplicative generators, with a period of 2.3 · 10^18. All products are below 2^53, so that float64 is exact.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

MODULI = torch.tensor([2147483563, 2147483399], dtype=torch.float64)
MULTIPLIERS = torch.tensor([40014, 40692], dtype=torch.float64)
N_OUTPUTS = 2147483562


def init_rng_state(uniform: Float64[Tensor, "lane 2"]) -> Float64[Tensor, "lane 2"]:
    """Return a generator's state for each pair of uniforms in [0, 1): integers from 1 to the modulus minus 1."""
    return (uniform * (MODULI - 1).to(uniform.device)).floor() + 1


def next_uniform(rng_state: Float64[Tensor, "lane 2"]) -> tuple[Float64[Tensor, "lane 2"], Float64[Tensor, " lane"]]:
    """Return the generators' next states, and one uniform number in [0, 1) from each generator."""
    rng_state = torch.fmod(rng_state * MULTIPLIERS.to(rng_state.device), MODULI.to(rng_state.device))
    first, second = rng_state.unbind(-1)
    return rng_state, torch.remainder(first - second, N_OUTPUTS) / N_OUTPUTS
