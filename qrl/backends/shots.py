"""Finite shots: sampled relative frequencies, and their gradient."""

import torch
from torch import Tensor

from qrl.common.autograd import Context, VmapInfo, with_signature


def frequencies(probabilities: Tensor, shots: int, generator: torch.Generator) -> Tensor:
    """Draw relative frequencies [..., outcome] of `shots` samples each, over 2**n outcomes.

    The gradient of the frequencies is that of the probabilities: the circuit's value is an unbiased estimate, its
    derivative is exact.
    """
    return _Frequencies.apply(probabilities, shots, generator)


@with_signature
class _Frequencies(torch.autograd.Function):
    """Identity with sampling noise: derivatives of every order are those of the identity."""

    @staticmethod
    def forward(probabilities: Tensor, shots: int, generator: torch.Generator) -> Tensor:
        return (multinomial(probabilities, shots, generator) / shots).to(probabilities.dtype)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[object, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Context, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient, None, None

    @staticmethod
    def jvp(ctx: Context, tangent: Tensor, *_: None) -> Tensor:
        return tangent.clone()

    @staticmethod
    def vmap(
        info: VmapInfo, in_dims: tuple[int | None, ...], probabilities: Tensor, shots: int, generator: torch.Generator
    ) -> tuple[Tensor, int]:
        axis = in_dims[0]
        assert axis is not None
        return _Frequencies.apply(probabilities.movedim(axis, 0), shots, generator), 0


def multinomial(probabilities: Tensor, shots: int, generator: torch.Generator) -> Tensor:
    """Draw counts [..., outcome], in double precision, of `shots` samples from each row of probabilities.

    A binomial draw divides the shots between the first and the second half of the outcomes, then recursively within
    each half. The counts are exactly multinomial, with one torch call per bit of the outcome for all rows together.
    """
    p = probabilities.detach().double().clamp_min(0)
    counts = p.new_full((*p.shape[:-1], 1), shots)
    while counts.shape[-1] < p.shape[-1]:
        halves = p.unflatten(-1, (counts.shape[-1], 2, -1)).sum(-1)
        first = torch.nan_to_num(halves[..., 0] / halves.sum(-1)).clamp(0, 1)
        left = torch.binomial(counts, first, generator=generator)
        counts = torch.stack([left, counts - left], dim=-1).flatten(-2)
    return counts
