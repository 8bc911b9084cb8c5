"""Measurements of all registers of an episode of `quantum_memory`: the effect M of answer 1, D = d**registers.

An agent that measures the effect answers 1 with probability ⟨Ψ|M|Ψ⟩ on registers in state Ψ, and 0 otherwise. Its
success rate is 1/2 + tr(M (ρ1 - ρ0)) / 2 for cases of equal probability with mean states ρ0 and ρ1.
"""

import numpy as np
from jaxtyping import Complex128, Float64
from scipy.linalg import hadamard

from envs.dynamics.registers import symmetric_projector
from envs.quantum_memory import QuantumMemory

Operator = Complex128[np.ndarray, "D D"]
"""Operator on all registers of an episode, register 0 most significant."""

ZERO = 1e-10
"""Eigenvalues up to this number count as zero: the states' entries are of order 1 / D, with D up to 1024."""


def mean_states(family: QuantumMemory) -> tuple[Operator, Operator]:
    """Return the mean state of each case; if there is a frame, averaged over all frames."""
    first, second = family.case_states()
    if family.config.frame == "none":
        return first, second
    bit = np.arange(len(first)) % 2  # A mean over RZ removes coherences between the two values of register B.
    same = bit[:, None] == bit[None, :]
    return first * same, second * same


def helstrom_effect(first: Operator, second: Operator) -> Operator:
    """Return the effect with the largest success rate: the projector on the positive part of ρ1 - ρ0.

    Vectors in the kernel are answered by a fair coin (Helstrom 1976, chapter 4).
    """
    values, vectors = np.linalg.eigh(second - first)
    return (vectors * _decisions(values)) @ vectors.conj().T


def measured_effect(first: Operator, second: Operator) -> Operator:
    """Return the Bayes-optimal effect if each register is measured in the computational basis; a tie is a fair coin."""
    return np.diag(_decisions(np.diag(second - first).real)).astype(np.complex128)


def _decisions(advantage: Float64[np.ndarray, " D"]) -> Float64[np.ndarray, " D"]:
    """Return the probability of answer 1 for each outcome, from how much likelier it is in the second case."""
    return np.where(np.abs(advantage) <= ZERO, 0.5, advantage > 0)


def swap_test_effect(family: QuantumMemory) -> Operator:
    """Return the effect of a failed swap test of two registers, or a failed permutation test of several.

    The test projects on the symmetric subspace (Barenco et al. 1997, quant-ph/9604028); two registers in ψ⊗φ pass with
    probability (1 + |⟨ψ|φ⟩|²) / 2. In `one_shot`, the last register is compared with the first example.
    """
    d, n = family.registers.dim, family.registers.n_registers
    if family.config.mode != "one_shot":
        return np.eye(d**n) - symmetric_projector(d, n)
    failed = (np.eye(d**2) - symmetric_projector(d, 2)).reshape(d, d, d, d)
    return np.einsum("acAC,bB->abcABC", failed, np.eye(d)).reshape(d**3, d**3)


def unbiased_examples_effect(dim: int) -> Operator:
    """Return the effect of the best classical memory in `one_shot`.

    The first example is measured in the computational basis, the second one in its Hadamard transform, which is
    mutually unbiased to it. After outcomes v and w, the mean states of the examples are (1 + |v⟩⟨v|) / (d + 1) and
    (1 + |w⟩⟨w|) / (d + 1); the last register is measured by Helstrom's effect for these two.
    """
    effect = np.zeros((dim**3, dim**3), np.complex128)
    for v in np.eye(dim, dtype=np.complex128):
        for w in hadamard(dim, np.complex128) / np.sqrt(dim):
            outcomes = (np.outer(v, v), np.outer(w, w))
            last = helstrom_effect(*(each / (dim + 1) for each in outcomes))
            effect += np.kron(np.kron(*outcomes), last)
    return effect


def success_rate(effect: Operator, states: tuple[Operator, Operator]) -> float:
    """Return the success rate of an effect for the mean states of two equally likely cases."""
    first, second = states
    return float(0.5 + 0.5 * np.vdot(effect, second - first).real)  # the effect is Hermitian
