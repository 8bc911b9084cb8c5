"""Matrices of gates and channels in NumPy, on ordered wires.

A map of density matrices is a matrix on *sites*, one of four levels per wire: the row index next to the column index,
|0><0|, |0><1|, |1><0|, |1><1|. The map of a gate U is U x U*, that of a channel the sum of K x K* over its Kraus
operators.
"""

import math
from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np

from qrl.circuits.gates import GATES

Array = np.ndarray

I, X, Z = np.eye(2), np.array([[0, 1], [1, 0]]), np.diag([1.0, -1.0])  # noqa: E741
Y = np.array([[0, -1j], [1j, 0]])
PAULI = {"X": X, "Y": Y, "Z": Z}
HADAMARD = (X + Z) / math.sqrt(2)
FIXED_GATES = {"H": HADAMARD, "X": X, "CZ": np.diag([1, 1, 1, -1]), "CNOT": np.eye(4)[[0, 1, 3, 2]]}
"""Matrices of gates without an angle."""

MAX_NOISY_WIRES = 6
"""Wires of the largest supported density matrix."""


def kron(matrices: Sequence[Array]) -> Array:
    """Return the Kronecker product of matrices on neighbouring wires."""
    return reduce(np.kron, matrices, np.eye(1))


def rotation(name: str) -> tuple[Array, Array, Array]:
    """Return (C, A, B) with the unitary of gate(angle) = C + cos(angle/2) A + sin(angle/2) B."""
    kind = GATES[name]
    generator = kron([PAULI[p] for p in kind.rotation])
    cosine, sine = np.eye(len(generator)), -1j * generator
    if not kind.controlled:
        return np.zeros_like(cosine), cosine, sine
    off, on = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    return np.kron(off, I), np.kron(on, cosine), np.kron(on, sine)


def embed(matrix: Array, wires: tuple[int, ...], block: tuple[int, ...], n_levels: int) -> Array:
    """Embed the matrix of a map on `wires` into the block, with the identity on the block's other wires."""
    n, k = len(block), len(wires)
    positions = [block.index(wire) for wire in wires]
    rest = [p for p in range(n) if p not in positions]
    full = np.kron(matrix, np.eye(n_levels ** (n - k))).reshape((n_levels,) * (2 * n))
    order = np.argsort([*positions, *rest])
    return full.transpose([*order, *(n + order)]).reshape(n_levels**n, n_levels**n)


def superoperator(kraus: Iterable[Array]) -> Array:
    """Return a channel's map of density matrices, sites in the order of its wires."""
    return sum((conjugation(k, k) for k in kraus), start=np.zeros(()))


def from_transfer(matrix: Array) -> Array:
    """Return the map of density matrices of a Pauli transfer matrix, sites in the order of the words' letters."""
    words = _words(matrix)
    return words @ matrix @ words.conj().T


def to_transfer(matrix: Array) -> Array:
    """Invert `from_transfer`: tr(P_i E(P_j)) / 2^n of Pauli words P, in the order II, IX, IY, IZ, XI, …"""
    words = _words(matrix)
    return (words.conj().T @ matrix @ words).real


def conjugation(left: Array, right: Array) -> Array:
    """Return the map rho -> left rho right^+."""
    return by_site(by_site(np.kron(left, right.conj())).T).T


def by_site(matrix: Array) -> Array:
    """Reorder rows from (all row indices, all column indices) to the row and column index of each wire in turn."""
    n = (len(matrix).bit_length() - 1) // 2
    order = [axis for wire in range(n) for axis in (wire, n + wire)]
    return matrix.reshape(*(2,) * (2 * n), -1).transpose(*order, 2 * n).reshape(matrix.shape)


def _words(matrix: Array) -> Array:
    """Return normalised Pauli words as columns, for a matrix on as many sites."""
    n_wires = (len(matrix).bit_length() - 1) // 2
    return kron([np.stack([p.ravel() for p in (I, X, Y, Z)], axis=1) / math.sqrt(2)] * n_wires)
