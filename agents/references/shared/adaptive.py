"""Adaptive projective measurements of one register after another: strategies of an agent with a classical memory."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Complex128
from scipy.linalg import hadamard

from agents.references.shared.effects import Operator, measured_effect, success_rate

Basis = Complex128[np.ndarray, "outcome d"]
"""Orthonormal basis of a register, a vector per row."""

MAX_HISTORIES = 10_000
"""Largest number of sequences of bases and outcomes to search, which takes a fraction of a second."""


def adaptive_effect(first: Operator, second: Operator, dim: int, n_registers: int) -> Operator:
    """Return the effect of the best adaptive measurement in bases of a fixed set, for the mean states of two cases.

    Each register is measured in a basis that depends on the earlier outcomes. The best choice is found by backward
    induction. Sets that have too many histories are left out; the computational basis alone remains.
    """
    found = [measured_effect(first, second)]
    for bases in _sets_of_bases(dim):
        if (len(bases) * dim) ** n_registers <= MAX_HISTORIES:
            found.append(_best(second - first, bases, n_registers)[1])
    return max(found, key=lambda effect: success_rate(effect, (first, second)))


def _sets_of_bases(dim: int) -> list[Sequence[Basis]]:
    """Return the sets: real bases at equal angles for qubits, two mutually unbiased bases in larger dimensions."""
    if dim == 2:
        return [[_qubit_basis(np.pi * k / n) for k in range(n)] for n in (2, 3, 4)]
    return [[np.eye(dim, dtype=np.complex128), hadamard(dim, np.complex128) / np.sqrt(dim)]]


def _qubit_basis(angle: float) -> Basis:
    """Return the basis of a qubit along a direction in the XZ plane of the Bloch sphere, `angle` [rad] from Z."""
    cosine, sine = np.cos(angle / 2), np.sin(angle / 2)
    return np.array([[cosine, sine], [-sine, cosine]], np.complex128)


def _best(difference: Operator, bases: Sequence[Basis], n_registers: int) -> tuple[float, Operator]:
    """Return the largest sum of |difference| over outcomes, and the effect of answer 1, for the remaining registers.

    The difference of the two cases' states, not normalised, is conditioned on the earlier outcomes.
    """
    if n_registers == 0:
        number = difference.real
        return float(np.abs(number).item()), (number > 0).astype(np.complex128)
    dim = bases[0].shape[1]
    parts = difference.reshape(dim, len(difference) // dim, dim, len(difference) // dim)
    candidates = []
    for basis in bases:
        values, effects = zip(
            *(_best(np.einsum("a,aibj,b->ij", v.conj(), parts, v), bases, n_registers - 1) for v in basis), strict=True
        )
        candidates.append((sum(values), basis, effects))
    value, basis, effects = max(candidates, key=lambda candidate: candidate[0])
    projected = (np.kron(np.outer(v, v.conj()), effect) for v, effect in zip(basis, effects, strict=True))
    return value, sum(projected, np.zeros_like(difference))
