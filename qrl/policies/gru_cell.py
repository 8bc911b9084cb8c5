"""Cell of a gated recurrent unit (GRU), for model `gru`, critics, and classical memories beside quantum ones."""

from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from qrl.policies.frame import check_size
from qrl.policies.task_axes import for_batch


class BoundAffine(NamedTuple):
    """Parameters of `Affine` as values; a pytree."""

    inputs: Tensor
    memory: Tensor
    bias: Tensor


class Affine(nn.Module):
    """`n_maps` affine maps of inputs and memory side by side, as one matrix product each for inputs and memory.

    Weights of the inputs are Glorot-uniform, those of the memory orthogonal, as usual in recurrent networks; biases are
    0.
    """

    def __init__(self, n_maps: int, n_inputs: int, n_hidden: int, generator: Generator) -> None:
        super().__init__()
        check_size(self.size(n_maps, n_inputs, n_hidden))
        self.inputs = nn.Parameter(torch.empty(n_maps * n_hidden, n_inputs))
        self.memory = nn.Parameter(torch.empty(n_maps * n_hidden, n_hidden))
        self.bias = nn.Parameter(torch.zeros(n_maps * n_hidden))
        for weight, init in ((self.inputs, nn.init.xavier_uniform_), (self.memory, nn.init.orthogonal_)):
            for each in weight.detach().chunk(n_maps):
                init(each, generator=generator)
        self.n_maps = n_maps

    def bind(self) -> BoundAffine:
        """Return the parameters."""
        return BoundAffine(self.inputs, self.memory, for_batch(self.bias))

    @staticmethod
    def size(n_maps: int, n_inputs: int, n_hidden: int) -> int:
        """Return the number of parameters."""
        return n_maps * n_hidden * (n_inputs + n_hidden + 1)


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
