"""What the executor's state is: amplitudes, or a density matrix written as a vector.

A wire of a density matrix is one site of four levels, its row and its column index side by side: |0><0|, |0><1|,
|1><0|, |1><1|. A gate U is then the matrix U x U*, a channel the sum of K x K* over its Kraus operators, and a diagonal
exp(i a) the diagonal exp(i (a[row] - a[column])): local maps and phases, as those of amplitudes.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from qrl.circuits.circuit import GATES

Array = np.ndarray

I, X, Z = np.eye(2), np.array([[0, 1], [1, 0]]), np.diag([1.0, -1.0])  # noqa: E741
Y = np.array([[0, -1j], [1j, 0]])
PAULI = {"X": X, "Y": Y, "Z": Z}


@dataclass(frozen=True)
class Rotation:
    """constant + cos(rate w) cosine + sin(rate w) sine, with w the angle [rad]; matrices on the gate's wires."""

    matrices: tuple[Array, Array, Array]
    rate: float


class Space(ABC):
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


class Amplitudes(Space):
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


class Densities(Space):
    """Density matrices."""

    n_levels = 4
    max_block_wires = 2

    def operator(self, unitary: Array) -> Array:
        return superoperator([unitary])

    def rotations(self, name: str) -> list[Rotation]:
        kind = GATES[name]
        generator = kron([PAULI[p] for p in kind.rotation])
        if not kind.controlled:
            return [Rotation(_turn(generator), 1.0)]
        # A rotation by the angle if the control is 1 is one by half of it and one by half of it times the control's Z.
        return [Rotation(_turn(np.kron(I, generator)), 0.5), Rotation(_turn(np.kron(Z, generator)), -0.5)]

    def diagonal(self, angles: Array) -> Array:
        return _by_site(np.subtract.outer(angles, angles).reshape(-1, 1)).ravel()

    def populations(self, n_wires: int) -> Array:
        return np.flatnonzero(_by_site(np.eye(2**n_wires).reshape(-1, 1)))


AMPLITUDES, DENSITIES = Amplitudes(), Densities()


def superoperator(kraus: Iterable[Array]) -> Array:
    """The map of density matrices that a channel is, sites in the order of its wires."""
    return sum((_both(k, k) for k in kraus), start=np.zeros(()))


def from_transfer(matrix: Array) -> Array:
    """The map of density matrices whose Pauli transfer matrix this is, sites in the order of the words' letters."""
    words = _words(matrix)
    return words @ matrix @ words.conj().T


def to_transfer(matrix: Array) -> Array:
    """The inverse of `from_transfer`: tr(P_i E(P_j)) / 2^n of Pauli words P, in the order II, IX, IY, IZ, XI, …"""
    words = _words(matrix)
    return (words.conj().T @ matrix @ words).real


def rotation(name: str) -> tuple[Array, Array, Array]:
    """(C, A, B) with the unitary of gate(angle) = C + cos(angle/2) A + sin(angle/2) B."""
    kind = GATES[name]
    generator = kron([PAULI[p] for p in kind.rotation])
    cosine, sine = np.eye(len(generator)), -1j * generator
    if not kind.controlled:
        return np.zeros_like(cosine), cosine, sine
    off, on = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    return np.kron(off, I), np.kron(on, cosine), np.kron(on, sine)


def kron(matrices: Sequence[Array]) -> Array:
    """The product of matrices on neighbouring wires."""
    return reduce(np.kron, matrices, np.eye(1))


def _words(matrix: Array) -> Array:
    """Pauli words as columns, for a matrix on as many sites, of length 1."""
    n_wires = (len(matrix).bit_length() - 1) // 2
    return kron([np.stack([p.ravel() for p in (I, X, Y, Z)], axis=1) / math.sqrt(2)] * n_wires)


def embed(matrix: Array, wires: tuple[int, ...], block: tuple[int, ...], n_levels: int) -> Array:
    """The matrix of a map on `wires` as a matrix of the block, identity on the block's other wires."""
    n, k = len(block), len(wires)
    positions = [block.index(wire) for wire in wires]
    rest = [p for p in range(n) if p not in positions]
    full = np.kron(matrix, np.eye(n_levels ** (n - k))).reshape((n_levels,) * (2 * n))
    order = np.argsort([*positions, *rest])
    return full.transpose([*order, *(n + order)]).reshape(n_levels**n, n_levels**n)


def _turn(generator: Array) -> tuple[Array, Array, Array]:
    """The map of exp(-i w P / 2) as constant + cos(w) cosine + sin(w) sine, for P a Pauli word."""
    one = np.eye(len(generator))
    kept, turned = _both(one, one), _both(generator, generator)
    sine = _both(-1j * generator, one) + _both(one, -1j * generator)
    return (kept + turned) / 2, (kept - turned) / 2, sine / 2


def _both(left: Array, right: Array) -> Array:
    """rho -> left rho right^+."""
    return _by_site(_by_site(np.kron(left, right.conj())).T).T


def _by_site(matrix: Array) -> Array:
    """Rows numbered by all row indices and then all column indices, sorted to both indices of each wire in turn."""
    n = (len(matrix).bit_length() - 1) // 2
    order = [axis for wire in range(n) for axis in (wire, n + wire)]
    return matrix.reshape(*(2,) * (2 * n), -1).transpose(*order, 2 * n).reshape(matrix.shape)
