"""Long short-term memory (LSTM), the classical control of `qlstm`; its width follows a parameter budget.

Hochreiter and Schmidhuber 1997 with forget gates (Gers et al. 2000), as torch's `LSTMCell`:

    i, f, o = sigma(W x + U h + b)     g = tanh(W_g x + U_g h + b_g)     c' = f * c + i * g     h' = o * tanh(c')
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from qrl.models.shared.cells import CellConfig, lstm_update
from qrl.policies.frame import Frame
from qrl.policies.gru_cell import Affine, BoundAffine

LISTED_UNDER = "with a memory, for rl2"


@dataclass(frozen=True)
class Config(CellConfig):
    """Options of the network."""


class LSTM(nn.Module):
    """LSTM cell: (inputs [batch, n_inputs], memory (h, c) [batch, 2 * n_hidden]) -> (h, new memory).

    `keep_bias` holds the biases of the forget gate [n_hidden]; the input gate has the opposite biases (`SpanConfig`).
    """

    broadcasts: ClassVar[bool] = True

    def __init__(self, n_inputs: int, keep_bias: Float[Tensor, " hidden"], generator: Generator) -> None:
        super().__init__()
        n_hidden = len(keep_bias)
        self.n_features, self.n_memory = n_hidden, 2 * n_hidden
        self.gates = Affine(4, n_inputs, n_hidden, generator)
        with torch.no_grad():
            input_bias, forget_bias, *_ = self.gates.bias.chunk(4)
            forget_bias.copy_(keep_bias)
            input_bias.copy_(-forget_bias)

    def bind(self) -> BoundAffine:
        """Return the parameters."""
        return self.gates.bind()

    def run(
        self,
        bound: BoundAffine,
        inputs: Float[Tensor, "*tasks batch input"],
        memory: Float[Tensor, "*tasks batch memory"],
    ) -> tuple[Float[Tensor, "*tasks batch hidden"], Float[Tensor, "*tasks batch memory"]]:
        """Compute one step with bound parameters."""
        hidden, cell = memory.chunk(2, -1)
        gates = inputs @ bound.inputs.mT + hidden @ bound.memory.mT + bound.bias
        return lstm_update(gates.chunk(4, -1), cell)

    def forward(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.run(self.bind(), inputs, memory)


def build(config: Config, frame: Frame, generator: Generator) -> LSTM:
    """Build the cell; its features are the hidden state h."""
    width = config.width(frame, lambda width: Affine.size(4, frame.n_inputs, width))
    return LSTM(frame.n_inputs, config.keep_bias(width, frame, generator), generator)
