"""Data re-uploading circuit with strongly entangling layers: general rotations, CNOTs of growing range.

The variational layers are those of Schuld, Bocharov, Svore and Wiebe 2020 (Circuit-centric quantum classifiers, Phys.
Rev. A 101, 032308) in the form of PennyLane's `StronglyEntanglingLayers`; the inputs enter between them as in
`reuploading`. Weights: n_wires (3 n_layers + 1); input scales: 2 n_wires n_layers.
"""

from dataclasses import dataclass

from torch import Generator

from qrl.circuits.circuit import Circuit
from qrl.layer import QuantumLayer
from qrl.models.shared.ansatz import Entangler, QuantumConfig, layered_circuit, quantum_layer
from qrl.policies.frame import Frame


@dataclass(frozen=True)
class Config(QuantumConfig):
    """Options of the circuit."""


def cnots(n_wires: int, layer: int) -> list[Entangler]:
    """Return CNOTs from each wire to the one `layer mod (n_wires - 1) + 1` further along the ring.

    A single wire has none. Two wires have both CNOTs, which do not commute and therefore do not cancel.
    """
    if n_wires == 1:
        return []
    reach = layer % (n_wires - 1) + 1
    return [("CNOT", (wire, (wire + reach) % n_wires)) for wire in range(n_wires)]


def circuit(config: Config, n_inputs: int) -> Circuit:
    """Return the circuit for this number of inputs.

    Rot(phi, theta, omega) is RZ(phi), then RY(theta), then RZ(omega).
    """
    return layered_circuit(
        config, n_inputs, rotations=("RZ", "RY", "RZ"), entanglers=lambda layer: cnots(config.n_wires, layer)
    )


def build(config: Config, frame: Frame, generator: Generator) -> QuantumLayer:
    """Build the circuit; its features are one expectation value per observable."""
    return quantum_layer(circuit, config, frame.n_inputs, generator)
