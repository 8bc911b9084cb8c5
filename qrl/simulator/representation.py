"""State representations of the executor: amplitudes, or a density matrix written as a vector.

A wire of a density matrix is one site of four levels, its row index next to its column index: |0><0|, |0><1|, |1><0|,
|1><1|. A gate U is then the matrix U x U*, a channel the sum of K x K* over its Kraus operators, and a diagonal exp(i
a) the diagonal exp(i (a[row] - a[column])). These are again local maps and phases, as for amplitudes.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from qrl.circuits.gates import GATES
from qrl.circuits.matrices import PAULI, Array, I, Z, by_site, conjugation, kron, rotation, superoperator


@dataclass(frozen=True)
class Rotation:
    """Rotation: constant + cos(rate w) cosine + sin(rate w) sine, with w the angle [rad].

    The matrices act on the gate's wires.
    """

    matrices: tuple[Array, Array, Array]
    rate: float


class StateRepresentation(ABC):
    """Action of gates on a state."""

    n_levels: int
    """Levels per wire."""
    max_block_wires: int
    """Largest block fused into one dense matrix (benchmarks/simulator.py --blocks)."""

    @abstractmethod
    def operator(self, unitary: Array) -> Array:
        """Return the map of a gate on its wires."""

    @abstractmethod
    def rotations(self, name: str) -> list[Rotation]:
        """Return the maps, applied in order, that form a rotation or controlled rotation on its wires."""

    @abstractmethod
    def diagonal(self, angles: Array) -> Array:
        """Return the angles [rad] of a phase for every entry of the state, given the angles of the basis states."""

    @abstractmethod
    def populations(self, n_wires: int) -> Array | None:
        """Return the indices of the entries that are probabilities; None: the squares of all entries are."""


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
        # A controlled rotation is a rotation by half the angle and one by half the angle times the control's Z.
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
    """Return the map of exp(-i w P / 2) as constant + cos(w) cosine + sin(w) sine, for a Pauli word P."""
    one = np.eye(len(generator))
    identity_map, generator_map = conjugation(one, one), conjugation(generator, generator)
    sine = conjugation(-1j * generator, one) + conjugation(one, -1j * generator)
    return (identity_map + generator_map) / 2, (identity_map - generator_map) / 2, sine / 2
