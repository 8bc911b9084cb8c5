"""Data re-uploading circuit without entanglers: the control for entanglement.

Bowles et al. 2024 (Better than classical?) find that removing entanglement often changes nothing; this model tests
their finding. With local observables each feature depends on one wire alone.
"""

from dataclasses import dataclass

from torch import Generator

from qrl.circuits.circuit import Circuit
from qrl.layer import QuantumLayer
from qrl.models.shared.ansatz import QuantumConfig, quantum_layer, reuploading_circuit
from qrl.policies.frame import Frame


@dataclass(frozen=True)
class Config(QuantumConfig):
    """Options of the circuit."""


def circuit(config: Config, n_inputs: int) -> Circuit:
    """Return the circuit for this number of inputs."""
    return reuploading_circuit(config, n_inputs, entangled=False)


def build(config: Config, frame: Frame, generator: Generator) -> QuantumLayer:
    """Build the circuit; its features are one expectation value per observable."""
    return quantum_layer(circuit, config, frame.n_inputs, generator)
