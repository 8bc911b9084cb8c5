"""Hybrid: a classical GRU remembers, and a variational circuit over its memory decides.

The features are a re-uploading circuit's expectation values; the memory enters by a projection to one feature a wire.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from qrl.models.gru import GRU
from qrl.models.shared.ansatz import quantum_layer
from qrl.models.shared.cells import QuantumCellConfig, SpanConfig, cell_circuit
from qrl.policies.frame import Frame
from qrl.simulator.program import Bound


@dataclass(frozen=True)
class Config(SpanConfig, QuantumCellConfig):
    """Options of the GRU and the circuit."""

    n_layers: int = 3
    """Encoding layers of the circuit [layers], a variational one before, between and after; ours."""


class BoundFeatures(NamedTuple):
    """Everything of the features that depends on parameters alone; a pytree."""

    memory: dict[str, Tensor]
    circuit: Bound


class GRUWithCircuit(nn.Module):
    """(inputs [batch, n_inputs], memory [batch, n_hidden]) -> (expectation values, the new memory)."""

    def __init__(self, config: Config, frame: Frame, generator: Generator) -> None:
        super().__init__()
        self.memory = GRU(frame.n_inputs, config.keeping(config.n_hidden, frame, generator), generator)
        self.circuit = quantum_layer(cell_circuit, config, config.n_hidden, generator)
        self.n_features, self.n_memory = self.circuit.n_features, config.n_hidden

    @property
    def groups(self) -> dict[str, str]:
        """The learning-rate group of each parameter."""
        return {f"circuit.{name}": group for name, group in self.circuit.groups.items()}

    def bind(self) -> BoundFeatures:
        """Everything that depends on the parameters alone."""
        return BoundFeatures(dict(self.memory.named_parameters()), self.circuit.bind())

    def run(
        self, bound: BoundFeatures, inputs: Float[Tensor, "batch input"], memory: Float[Tensor, "batch hidden"]
    ) -> tuple[Float[Tensor, "batch feature"], Float[Tensor, "batch hidden"]]:
        """One step with bound parameters."""
        after, _ = torch.func.functional_call(self.memory, bound.memory, (inputs, memory))
        return self.circuit.run(bound.circuit, after), after

    def forward(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.run(self.bind(), inputs, memory)


def build(config: Config, frame: Frame, generator: Generator) -> GRUWithCircuit:
    """The features: one expectation value an observable."""
    return GRUWithCircuit(config, frame, generator)
