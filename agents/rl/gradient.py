"""Gradients and values of an objective that is a sum over chunks of data, one chunk's graph at a time."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

Terms = dict[str, Tensor]
"""Sums over valid steps: `objective`, which is maximised, and what is logged beside it."""

Chunk = TypeVar("Chunk")


def chunked_gradient(
    terms: Callable[[Chunk], Terms], leaves: Sequence[Tensor], chunks: Iterable[Chunk], scale: float
) -> tuple[list[Tensor], dict[str, float]]:
    """Return the gradient of `scale` times the objective's sum, and the metrics of `chunked_terms`.

    Args:
        terms: the terms of one chunk.
        leaves: what is differentiated for.
        chunks: what the data are divided into.
        scale: one over the number of valid steps, so that sums become means.
    """
    total = [torch.zeros_like(leaf) for leaf in leaves]
    sums: dict[str, float] = {}
    for chunk in chunks:
        scaled = {name: scale * value for name, value in terms(chunk).items()}
        gradients = torch.autograd.grad(scaled["objective"], leaves, allow_unused=True)
        total = [t if g is None else t + g for t, g in zip(total, gradients, strict=True)]
        sums = {name: sums.get(name, 0.0) + float(value.detach()) for name, value in scaled.items()}
    return total, _metrics(sums)


@torch.no_grad()
def chunked_terms(terms: Callable[[Chunk], Terms], chunks: Iterable[Chunk], scale: float) -> dict[str, float]:
    """Return the metrics: `loss`, the objective's negative, and the means of the other terms."""
    sums: dict[str, float] = {}
    for chunk in chunks:
        sums = {name: sums.get(name, 0.0) + scale * float(value) for name, value in terms(chunk).items()}
    return _metrics(sums)


def _metrics(sums: dict[str, float]) -> dict[str, float]:
    return {"loss": -sums["objective"], **{name: value for name, value in sums.items() if name != "objective"}}
