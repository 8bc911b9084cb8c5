"""Quantum gated recurrent unit: a GRU with a variational circuit between two linear maps as each affine map.

With v = (inputs, memory) and circuits C (`qrl.models.shared.cells.QuantumMaps`), after Chen, Yoo and Fang 2022, who
apply the construction to an LSTM:

    z, r = sigma(C_z(v)), sigma(C_r(v))     n = tanh(C_x(v) + r * C_h(v))     h' = z * h + (1 - z) * n

The reset gate is placed as in torch's `GRUCell`, so that all four circuits of a step run side by side.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from qrl.models.shared.cells import QUANTUM_GROUPS, BoundMaps, QuantumGatesConfig, QuantumMaps, SpanConfig
from qrl.policies.frame import Frame

LISTED_UNDER = "with a memory, for rl2"


@dataclass(frozen=True)
class Config(SpanConfig, QuantumGatesConfig):
    """Options of the cell."""


class QGRU(nn.Module):
    """QGRU cell: (inputs [batch, n_inputs], memory [batch, n_hidden]) -> (new memory as features, new memory)."""

    broadcasts: ClassVar[bool] = True
    groups: ClassVar[dict[str, str]] = {f"gates.{name}": group for name, group in QUANTUM_GROUPS.items()}

    def __init__(self, config: Config, frame: Frame, generator: Generator) -> None:
        super().__init__()
        self.n_features = self.n_memory = n_hidden = config.n_hidden
        self.gates = QuantumMaps(config, 4, frame.n_inputs + n_hidden, n_hidden, generator)
        with torch.no_grad():
            self.gates.bias[0] = config.keep_bias(n_hidden, frame, generator)

    def bind(self) -> BoundMaps:
        """Compute everything that depends only on the parameters."""
        return self.gates.bind()

    def run(
        self,
        bound: BoundMaps,
        inputs: Float[Tensor, "*tasks batch input"],
        memory: Float[Tensor, "*tasks batch hidden"],
    ) -> tuple[Float[Tensor, "*tasks batch hidden"], Float[Tensor, "*tasks batch hidden"]]:
        """Compute one step with bound parameters."""
        update, reset, from_inputs, from_memory = self.gates.run(bound, torch.cat([inputs, memory], dim=-1)).unbind(-3)
        candidate = torch.tanh(from_inputs + torch.sigmoid(reset) * from_memory)
        new_memory = candidate + torch.sigmoid(update) * (memory - candidate)
        return new_memory, new_memory

    def forward(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.run(self.bind(), inputs, memory)


def build(config: Config, frame: Frame, generator: Generator) -> QGRU:
    """Build the cell; its features are the memory."""
    return QGRU(config, frame, generator)
