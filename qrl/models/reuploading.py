"""Data re-uploading circuit: trainable rotations and input scales, a ring of CZ.

After Perez-Salinas et al. 2020 (Data re-uploading for a universal quantum classifier). With trainable input scales the
circuit is a Fourier series with trainable frequencies (Schuld, Sweke and Meyer 2021; Jerbi et al. 2021).
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
    return reuploading_circuit(config, n_inputs, entangled=True)


def build(config: Config, frame: Frame, generator: Generator) -> QuantumLayer:
    """Build the circuit; its features are one expectation value per observable."""
    return quantum_layer(circuit, config, frame.n_inputs, generator)
