"""Finite shots: what a device's counts say of probabilities, and which gradient goes through them."""

import torch
from torch import Tensor

from qrl.common.autograd import Context, VmapInfo


def frequencies(probabilities: Tensor, shots: int, generator: torch.Generator) -> Tensor:
    """Relative frequencies [..., outcome] of `shots` draws each; outcomes are 2**n.

    Their gradient is that of the probabilities, as if these had been given: an unbiased estimate of them is used where
    the circuit's value is needed, and its exact derivative where that is.
    """
    return _Frequencies.apply(probabilities, shots, generator)


class _Frequencies(torch.autograd.Function):
    """The identity with noise: derivatives of every order are those of the identity."""

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
    """Counts [..., outcome], in double precision, of `shots` draws from each row of probabilities.

    A binomial draw divides the shots between the first and the second half of the outcomes, each half's likewise
    between its halves, and so on: exact, and one call of torch for all rows a bit of the outcome.
    """
    p = probabilities.detach().double().clamp_min(0)
    counts = p.new_full((*p.shape[:-1], 1), shots)
    while counts.shape[-1] < p.shape[-1]:
        halves = p.unflatten(-1, (counts.shape[-1], 2, -1)).sum(-1)
        first = torch.nan_to_num(halves[..., 0] / halves.sum(-1)).clamp(0, 1)
        left = torch.binomial(counts, first, generator=generator)
        counts = torch.stack([left, counts - left], dim=-1).flatten(-2)
    return counts
