"""Quantum long short-term memory: an LSTM with a variational circuit between two linear maps as each affine map.

Chen, Yoo and Fang 2022 (Quantum long short-term memory), with v = (inputs, h) and circuits C
(`qrl.models.shared.cells.QuantumMaps`, whose docstring lists the differences):

    i, f, o = sigma(C_i(v)), sigma(C_f(v)), sigma(C_o(v))   g = tanh(C_g(v))   c' = f * c + i * g   h' = o * tanh(c')

The paper's two further circuits, after o * tanh(c'), are omitted: in every model a linear read-out takes their place.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from qrl.models.shared.cells import QUANTUM_GROUPS, BoundMaps, QuantumGatesConfig, QuantumMaps, SpanConfig, lstm_update
from qrl.policies.frame import Frame

LISTED_UNDER = "with a memory, for rl2"


@dataclass(frozen=True)
class Config(SpanConfig, QuantumGatesConfig):
    """Options of the cell."""


class QLSTM(nn.Module):
    """QLSTM cell: (inputs [batch, n_inputs], memory (h, c) [batch, 2 * n_hidden]) -> (h, new memory)."""

    broadcasts: ClassVar[bool] = True
    groups: ClassVar[dict[str, str]] = {f"gates.{name}": group for name, group in QUANTUM_GROUPS.items()}

    def __init__(self, config: Config, frame: Frame, generator: Generator) -> None:
        super().__init__()
        self.n_features, self.n_memory = config.n_hidden, 2 * config.n_hidden
        self.gates = QuantumMaps(config, 4, frame.n_inputs + config.n_hidden, config.n_hidden, generator)
        with torch.no_grad():
            self.gates.bias[1] = config.keep_bias(config.n_hidden, frame, generator)  # forget gate
            self.gates.bias[0] = -self.gates.bias[1]  # input gate

    def bind(self) -> BoundMaps:
        """Compute everything that depends only on the parameters."""
        return self.gates.bind()

    def run(
        self,
        bound: BoundMaps,
        inputs: Float[Tensor, "*tasks batch input"],
        memory: Float[Tensor, "*tasks batch memory"],
    ) -> tuple[Float[Tensor, "*tasks batch hidden"], Float[Tensor, "*tasks batch memory"]]:
        """Compute one step with bound parameters."""
        hidden, cell = memory.chunk(2, -1)
        return lstm_update(self.gates.run(bound, torch.cat([inputs, hidden], dim=-1)).unbind(-3), cell)

    def forward(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.run(self.bind(), inputs, memory)


def build(config: Config, frame: Frame, generator: Generator) -> QLSTM:
    """Build the cell; its features are the hidden state h."""
    return QLSTM(config, frame, generator)
