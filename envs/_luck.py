"""Random numbers of the steps to come, from one number drawn at an episode's start.

A transition is a pure function of the state, so what is random in it has to be in the state. A seed that is hashed with
the number of the step takes one place there, however long the episode.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

# SplitMix64's constants, as the signed integers that torch has.
_STEP, _FIRST, _SECOND = (value - 2**64 for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def seeds(uniform: Float64[Tensor, " lane"]) -> Float64[Tensor, " lane"]:
    """A seed of each lane from a number in [0, 1): a whole number below 2^53, which a float64 holds exactly."""
    return (uniform * 2.0**53).floor()


def uniform(seed: Float64[Tensor, " lane"], step: Float64[Tensor, " lane"]) -> Float64[Tensor, " lane"]:
    """The uniform number in [0, 1) of each lane's step.

    SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"): the step-th number of the
    stream that begins at the seed.
    """
    mixed = _mixed(seed.to(torch.int64) + step.to(torch.int64) * _STEP)
    return ((mixed >> 11) & (2**53 - 1)).to(torch.float64) * 2.0**-53


def _mixed(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """A shift to the right that fills with zeros, as of unsigned integers."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
