"""Hybrid of a classical GRU as memory and a variational circuit over its memory as decision model.

The features are a re-uploading circuit's expectation values; a projection maps the memory to one feature per wire.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from jaxtyping import Float
from torch import Generator, Tensor, nn

from qrl.models.shared.ansatz import quantum_layer
from qrl.models.shared.cells import QuantumCellConfig, SpanConfig, cell_circuit
from qrl.policies.frame import Frame
from qrl.policies.gru_cell import GRU, BoundAffine
from qrl.simulator.program import Bound

LISTED_UNDER = "with a memory, for rl2"


@dataclass(frozen=True)
class Config(SpanConfig, QuantumCellConfig):
    """Options of the GRU and the circuit."""

    n_layers: int = 3
    """Encoding layers of the circuit [layers], with a variational layer before, between and after; ours."""


class BoundFeatures(NamedTuple):
    """Bound features: everything that depends only on parameters; a pytree."""

    memory: BoundAffine
    circuit: Bound


class GRUWithCircuit(nn.Module):
    """GRU and circuit: (inputs [batch, n_inputs], memory [batch, n_hidden]) -> (expectation values, new memory)."""

    broadcasts: ClassVar[bool] = True

    def __init__(self, config: Config, frame: Frame, generator: Generator) -> None:
        super().__init__()
        self.memory = GRU(frame.n_inputs, config.keep_bias(config.n_hidden, frame, generator), generator)
        self.circuit = quantum_layer(cell_circuit, config, config.n_hidden, generator)
        self.n_features, self.n_memory = self.circuit.n_features, config.n_hidden

    @property
    def groups(self) -> dict[str, str]:
        """Learning-rate group of each parameter."""
        return {f"circuit.{name}": group for name, group in self.circuit.groups.items()}

    def bind(self) -> BoundFeatures:
        """Compute everything that depends only on the parameters."""
        return BoundFeatures(self.memory.bind(), self.circuit.bind())

    def run(
        self,
        bound: BoundFeatures,
        inputs: Float[Tensor, "*tasks batch input"],
        memory: Float[Tensor, "*tasks batch hidden"],
    ) -> tuple[Float[Tensor, "*tasks batch feature"], Float[Tensor, "*tasks batch hidden"]]:
        """Compute one step with bound parameters."""
        new_memory, _ = self.memory.run(bound.memory, inputs, memory)
        return self.circuit.run(bound.circuit, new_memory), new_memory

    def forward(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.run(self.bind(), inputs, memory)


def build(config: Config, frame: Frame, generator: Generator) -> GRUWithCircuit:
    """Build the model; its features are one expectation value per observable."""
    return GRUWithCircuit(config, frame, generator)
