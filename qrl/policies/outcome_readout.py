"""Read-out of a measurement: outputs that depend on the outcome, and on a classical memory for each outcome."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn


class BoundReadout(NamedTuple):
    """Parameters of `OutcomeReadout` as values; a pytree."""

    table: Float[Tensor, "*tasks outcome output"]
    weight: Float[Tensor, "*tasks outcome weight"]


class OutcomeReadout(nn.Module):
    """Read-out with a bias and weights of the classical memory for each outcome."""

    def __init__(self, n_outcomes: int, n_outputs: int, n_hidden: int, generator: Generator) -> None:
        super().__init__()
        self.table = nn.Parameter(uniform(generator, 0.1, n_outcomes, n_outputs))
        bound = 1 / math.sqrt(max(1, n_hidden))
        self.weight = nn.Parameter(uniform(generator, bound, n_outcomes, n_outputs * n_hidden))

    def bind(self) -> BoundReadout:
        """Return the parameters."""
        return BoundReadout(self.table, self.weight)


def read_outcome(
    bound: BoundReadout, outcome: Int[Tensor, "*tasks batch"], hidden: Float[Tensor, "*tasks batch hidden"]
) -> Float[Tensor, "*tasks batch output"]:
    """Return table[outcome] + weight[outcome] hidden."""
    n_outputs, index = bound.table.shape[-1], outcome.unsqueeze(-1)
    outputs = bound.table.gather(-2, index.expand(*outcome.shape, n_outputs))
    if not hidden.shape[-1]:
        return outputs
    rows = bound.weight.gather(-2, index.expand(*outcome.shape, bound.weight.shape[-1]))
    return outputs + (rows.unflatten(-1, (n_outputs, -1)) @ hidden.unsqueeze(-1)).squeeze(-1)


def uniform(generator: Generator, bound: float, *shape: int) -> Tensor:
    """Draw numbers uniformly within a distance of 0."""
    return bound * (2 * torch.rand(*shape, generator=generator) - 1)
