"""Data re-uploading circuit with Ising couplings: entanglers exp(-i theta ZZ / 2) around a ring, theta trainable.

Otherwise as `reuploading`. An angle of 0 is no entanglement: how much there is, is learned. Weights: n_wires
(2 n_layers + 1), and n_wires n_layers couplings (of two wires n_layers); input scales: 2 n_wires n_layers.
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
    """The circuit for this many inputs."""
    couplings = [("RZZ", pair) for pair in ring(config.n_wires)]
    return layered_circuit(config, n_inputs, rotations=("RZ", "RY"), entanglers=lambda layer: couplings)


def build(config: Config, frame: Frame, generator: Generator) -> QuantumLayer:
    """The features: one expectation value an observable."""
    return quantum_layer(circuit, config, frame.n_inputs, generator)
