"""What the executor's state is: amplitudes, or a density matrix written as a vector.

A wire of a density matrix is one site of four levels, its row and its column index side by side: |0><0|, |0><1|,
|1><0|, |1><1|. A gate U is then the matrix U x U*, a channel the sum of K x K* over its Kraus operators, and a diagonal
exp(i a) the diagonal exp(i (a[row] - a[column])): local maps and phases, as those of amplitudes.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from qrl.circuits.gates import GATES
from qrl.circuits.matrices import PAULI, Array, I, Z, by_site, conjugation, kron, rotation, superoperator


@dataclass(frozen=True)
class Rotation:
    """constant + cos(rate w) cosine + sin(rate w) sine, with w the angle [rad]; matrices on the gate's wires."""

    matrices: tuple[Array, Array, Array]
    rate: float


class StateRepresentation(ABC):
    """How gates act on a state."""

    n_levels: int
    """Of a wire."""
    max_block_wires: int
    """Largest block fused into one dense matrix (benchmarks/simulator.py --blocks)."""

    @abstractmethod
    def operator(self, unitary: Array) -> Array:
        """The map of a gate, on its wires."""

    @abstractmethod
    def rotations(self, name: str) -> list[Rotation]:
        """The maps, one after the other, that a rotation or controlled rotation is made of, on its wires."""

    @abstractmethod
    def diagonal(self, angles: Array) -> Array:
        """The angles [rad] of a phase in every entry of the state, from those in every basis state."""

    @abstractmethod
    def populations(self, n_wires: int) -> Array | None:
        """Which entries of the state are probabilities; None: the squares of all are."""


class Amplitudes(StateRepresentation):
    """State vectors."""

    n_levels = 2
    max_block_wires = 5

    def operator(self, unitary: Array) -> Array:
        return unitary

    def rotations(self, name: str) -> list[Rotation]:
        return [Rotation(rotation(name), 0.5)]

    def diagonal(self, angles: Array) -> Array:
        return angles

    def populations(self, n_wires: int) -> None:
        return None


class Densities(StateRepresentation):
    """Density matrices."""

    n_levels = 4
    max_block_wires = 2

    def operator(self, unitary: Array) -> Array:
        return superoperator([unitary])

    def rotations(self, name: str) -> list[Rotation]:
        kind = GATES[name]
        generator = kron([PAULI[p] for p in kind.rotation])
        if not kind.controlled:
            return [Rotation(_rotation_map(generator), 1.0)]
        # A rotation by the angle if the control is 1 is one by half of it and one by half of it times the control's Z.
        return [
            Rotation(_rotation_map(np.kron(I, generator)), 0.5),
            Rotation(_rotation_map(np.kron(Z, generator)), -0.5),
        ]

    def diagonal(self, angles: Array) -> Array:
        return by_site(np.subtract.outer(angles, angles).reshape(-1, 1)).ravel()

    def populations(self, n_wires: int) -> Array:
        return np.flatnonzero(by_site(np.eye(2**n_wires).reshape(-1, 1)))


AMPLITUDES, DENSITIES = Amplitudes(), Densities()


def _rotation_map(generator: Array) -> tuple[Array, Array, Array]:
    """The map of exp(-i w P / 2) as constant + cos(w) cosine + sin(w) sine, for P a Pauli word."""
    one = np.eye(len(generator))
    kept, turned = conjugation(one, one), conjugation(generator, generator)
    sine = conjugation(-1j * generator, one) + conjugation(one, -1j * generator)
    return (kept + turned) / 2, (kept - turned) / 2, sine / 2
