"""Quantum gated recurrent unit: a GRU each of whose affine maps is a variational circuit between two linear maps.

With v = (inputs, memory) and circuits C (`qrl.models.shared.cells.QuantumMaps`), after Chen, Yoo and Fang 2022, who do
it to an LSTM:

    z, r = sigma(C_z(v)), sigma(C_r(v))     n = tanh(C_x(v) + r * C_h(v))     h' = z * h + (1 - z) * n

the reset gate where torch's `GRUCell` has it, so that all four circuits of a step run side by side.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from qrl.models.shared.cells import QUANTUM_GROUPS, BoundMaps, QuantumGatesConfig, QuantumMaps, SpanConfig
from qrl.policies.frame import Frame


@dataclass(frozen=True)
class Config(SpanConfig, QuantumGatesConfig):
    """Options of the cell."""


class QGRU(nn.Module):
    """(inputs [batch, n_inputs], memory [batch, n_hidden]) -> (the new memory, as features and as memory)."""

    groups: ClassVar[dict[str, str]] = {f"gates.{name}": group for name, group in QUANTUM_GROUPS.items()}

    def __init__(self, config: Config, frame: Frame, generator: Generator) -> None:
        super().__init__()
        self.n_features = self.n_memory = n_hidden = config.n_hidden
        self.gates = QuantumMaps(config, 4, frame.n_inputs + n_hidden, n_hidden, generator)
        with torch.no_grad():
            self.gates.bias[0] = config.keeping(n_hidden, frame, generator)

    def bind(self) -> BoundMaps:
        """Everything that depends on the parameters alone."""
        return self.gates.bind()

    def run(
        self, bound: BoundMaps, inputs: Float[Tensor, "batch input"], memory: Float[Tensor, "batch hidden"]
    ) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch hidden"]]:
        """One step with bound parameters."""
        update, reset, seen, kept = self.gates.run(bound, torch.cat([inputs, memory], dim=-1)).unbind()
        candidate = torch.tanh(seen + torch.sigmoid(reset) * kept)
        after = candidate + torch.sigmoid(update) * (memory - candidate)
        return after, after

    def forward(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.run(self.bind(), inputs, memory)


def build(config: Config, frame: Frame, generator: Generator) -> QGRU:
    """The features: the memory."""
    return QGRU(config, frame, generator)
