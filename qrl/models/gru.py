"""Gated recurrent unit (GRU), the classical control of `qgru`; its width follows a parameter budget.

Cho et al. 2014 in the form of torch's `GRUCell`, with the reset gate after the memory's matrix product:

    z, r = sigma(W x + U h + b)     n = tanh(W_n x + r * (U_n h) + b_n)     h' = z * h + (1 - z) * n
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from qrl.models.shared.cells import Affine, BoundAffine, CellConfig
from qrl.policies.frame import Frame

LISTED_UNDER = "with a memory, for rl2"


@dataclass(frozen=True)
class Config(CellConfig):
    """Options of the network."""


class GRU(nn.Module):
    """GRU cell: (inputs [batch, n_inputs], memory [batch, n_hidden]) -> (new memory as features, new memory).

    `keep_bias` holds the biases of the update gate z [n_hidden] (`SpanConfig`).
    """

    broadcasts: ClassVar[bool] = True

    def __init__(self, n_inputs: int, keep_bias: Float[Tensor, " hidden"], generator: Generator) -> None:
        super().__init__()
        self.n_features = self.n_memory = n_hidden = len(keep_bias)
        self.gates = Affine(3, n_inputs, n_hidden, generator)
        with torch.no_grad():
            self.gates.bias[:n_hidden] = keep_bias

    def bind(self) -> BoundAffine:
        """Return the parameters."""
        return self.gates.bind()

    def run(
        self,
        bound: BoundAffine,
        inputs: Float[Tensor, "*tasks batch input"],
        memory: Float[Tensor, "*tasks batch hidden"],
    ) -> tuple[Float[Tensor, "*tasks batch hidden"], Float[Tensor, "*tasks batch hidden"]]:
        """Compute one step with bound parameters."""
        from_inputs, from_memory = inputs @ bound.inputs.mT + bound.bias, memory @ bound.memory.mT
        width = 2 * self.n_memory
        update, reset = torch.sigmoid(from_inputs[..., :width] + from_memory[..., :width]).chunk(2, -1)
        candidate = torch.tanh(from_inputs[..., width:] + reset * from_memory[..., width:])
        new_memory = candidate + update * (memory - candidate)
        return new_memory, new_memory

    def forward(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.run(self.bind(), inputs, memory)


def build(config: Config, frame: Frame, generator: Generator) -> GRU:
    """Build the cell; its features are the memory."""
    width = config.width(frame, lambda width: Affine.size(3, frame.n_inputs, width))
    return GRU(frame.n_inputs, config.keep_bias(width, frame, generator), generator)
