"""Circuit of Skolik et al. 2022 (Quantum agents in the Gym) for deep Q-learning on CartPole, unmodified.

Layers of RX of one input per wire, bounded by tanh, RY RZ on every wire (weights) and a ring of CZ; the observables are
products of Z on neighbouring pairs of wires. The last RZs commute with all later operations and have no effect; they
are kept as in the paper. With 4 wires and 5 layers the circuit has 40 angles and 20 input scales, and with a weight for
each of the two observables 62 parameters.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Generator

from qrl.circuits.angles import Input, Transform
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from qrl.layer import QuantumLayer
from qrl.models.shared.ansatz import QuantumConfig, check_capacity, quantum_layer, ring, weights, z_observables
from qrl.policies.frame import Frame


@dataclass(frozen=True)
class Config(QuantumConfig):
    """Options of the circuit."""

    OBSERVABLES = ("pairs", *QuantumConfig.OBSERVABLES)

    n_layers: int = 5
    """Layers [layers], each with an encoding (Skolik et al. 2022)."""
    observables: Literal["pairs", "local", "global", "both"] = "pairs"  # type: ignore[assignment]
    """pairs: Z0 Z1, Z2 Z3, ... (Skolik et al. 2022). local: Z on each wire. global: Z on all wires at once. both: local
    and global."""
    transform: Transform = "tanh"
    """g in the encoding angle g(scale * input) [rad] (Skolik et al. 2022)."""


def circuit(config: Config, n_inputs: int) -> Circuit:
    """Return the circuit for this number of inputs.

    Encoding gate k, counted over all wires and layers, takes input k modulo `n_inputs`.
    """
    check_capacity(config, n_inputs)
    n_wires, angle, gates = config.n_wires, weights(), []
    for layer in range(config.n_layers):
        encodings = range(layer * n_wires, (layer + 1) * n_wires)
        gates += [Gate("RX", (k % n_wires,), Input(k % n_inputs, k, config.transform)) for k in encodings]
        gates += [Gate(name, (wire,), next(angle)) for wire in range(n_wires) for name in ("RY", "RZ")]
        gates += [Gate("CZ", pair) for pair in ring(n_wires)]
    if config.observables == "pairs":
        if n_wires % 2:
            raise UsageError(f"model skolik: observables=pairs needs an even n_wires, not {n_wires}")
        observables = tuple(Observable.of(f"Z{wire} Z{wire + 1}") for wire in range(0, n_wires, 2))
    else:
        observables = z_observables(n_wires, config.observables)
    return Circuit(n_wires, tuple(gates), observables)


def n_inert(circuit: Circuit) -> int:
    """Return the number of angles without effect, those of the last RZs."""
    return circuit.n_wires


def build(config: Config, frame: Frame, generator: Generator) -> QuantumLayer:
    """Build the circuit; its features are one expectation value per observable."""
    return quantum_layer(circuit, config, frame.n_inputs, generator)
