"""Circuit of Jerbi et al. 2021 (Parametrized quantum policies for reinforcement learning), unmodified.

Layers of RX RY RZ on every wire (weights), a ring of CZ, and RX of one scaled input per wire; a last RX RY RZ; the
observable is Z on all wires at once. The last RZs commute with this observable and have no effect; they are kept as in
the paper. With 4 wires and 5 layers the circuit has 72 angles and 20 input scales, and with two weights of the
observable 94 parameters.
"""

from dataclasses import dataclass

from torch import Generator

from qrl.circuits.angles import Input
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.layer import QuantumLayer
from qrl.models.shared.ansatz import (
    Observables,
    QuantumConfig,
    check_capacity,
    quantum_layer,
    ring,
    weights,
    z_observables,
)
from qrl.policies.frame import Frame


@dataclass(frozen=True)
class Config(QuantumConfig):
    """Options of the circuit."""

    n_layers: int = 5
    """Encoding layers [layers], with a variational layer before, between and after (Jerbi et al. 2021)."""
    observables: Observables = "global"
    """local: Z on each wire. global: Z on all wires at once (Jerbi et al. 2021). both."""


def circuit(config: Config, n_inputs: int) -> Circuit:
    """Return the circuit for this number of inputs.

    Encoding gate k, counted over all wires and layers, takes input k modulo `n_inputs`.
    """
    check_capacity(config, n_inputs)
    wires, angle, gates = range(config.n_wires), weights(), []
    for layer in range(config.n_layers + 1):
        gates += [Gate(name, (wire,), next(angle)) for wire in wires for name in ("RX", "RY", "RZ")]
        if layer < config.n_layers:
            gates += [Gate("CZ", pair) for pair in ring(config.n_wires)]
            encodings = (layer * config.n_wires + wire for wire in wires)
            gates += [Gate("RX", (k % config.n_wires,), Input(k % n_inputs, k, config.transform)) for k in encodings]
    return Circuit(config.n_wires, tuple(gates), z_observables(config.n_wires, config.observables))


def n_inert(circuit: Circuit) -> int:
    """Return the number of angles without effect, those of the last RZs."""
    return circuit.n_wires


def build(config: Config, frame: Frame, generator: Generator) -> QuantumLayer:
    """Build the circuit; its features are one expectation value per observable."""
    return quantum_layer(circuit, config, frame.n_inputs, generator)
