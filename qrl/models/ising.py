"""Data re-uploading circuit with Ising couplings: entanglers exp(-i theta ZZ / 2) on a ring, theta trainable.

Otherwise the circuit is that of `reuploading`. A coupling angle of 0 means no entanglement, so the amount of
entanglement is learned. Weights: n_wires (2 n_layers + 1), and n_wires n_layers couplings (n_layers couplings for two
wires); input scales: 2 n_wires n_layers.
"""

from dataclasses import dataclass

from torch import Generator

from qrl.circuits.circuit import Circuit
from qrl.layer import QuantumLayer
from qrl.models.shared.ansatz import QuantumConfig, layered_circuit, quantum_layer, ring
from qrl.policies.frame import Frame


@dataclass(frozen=True)
class Config(QuantumConfig):
    """Options of the circuit."""


def circuit(config: Config, n_inputs: int) -> Circuit:
    """Return the circuit for this number of inputs."""
    couplings = [("RZZ", pair) for pair in ring(config.n_wires)]
    return layered_circuit(config, n_inputs, rotations=("RZ", "RY"), entanglers=lambda layer: couplings)


def build(config: Config, frame: Frame, generator: Generator) -> QuantumLayer:
    """Build the circuit; its features are one expectation value per observable."""
    return quantum_layer(circuit, config, frame.n_inputs, generator)
