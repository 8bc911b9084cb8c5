"""Best success rates on quantum data, with a coherent and with a classical memory.

A classical memory measures each register before the next one arrives, so that it performs local operations with one-way
classical communication; these are tests whose partial transposes are positive (PPT). The cases of `symmetry`, `match`
and `same` do not change under the same unitary on both registers, so an optimal test is αI + βF with the exchange F. It
accepts ψ, φ with probability α + β|⟨ψ|φ⟩|². A quantum test needs 0 ≤ α ± β ≤ 1, so β ≤ 1/2. The partial transpose has
the eigenvalues α and α + βd, so that a PPT test needs β ≤ 1/(d + 1), and measuring both registers in one basis attains
this.
"""

import math
from typing import Literal

from envs.core.quantum_data import Ceiling

Mode = Literal["symmetry", "match", "same", "one_shot", "purity"]
"""Decision that an agent takes about the registers of an episode; see `envs/quantum_memory.py`."""

PURITY_BOUNDS = {
    (1, 3): 11 / 16,
    (1, 4): 113 / 160,
    (1, 5): 37 / 48,
    (1, 6): 45 / 56,
    (2, 3): 43 / 64,
    (2, 4): 1291 / 1792,
    (3, 3): 787 / 1280,
}
"""Bound on the success rate of any classical memory in `purity`, by qubits of a register and copies, for more than two
copies: the optimum of a linear programme over PPT tests, which a test of this library solves again."""


def most_copies(n_qubits: int) -> int:
    """Return the largest number of copies with a known bound on classical memories."""
    return max(copies for qubits, copies in PURITY_BOUNDS if qubits == n_qubits)


def coherent_optimum(mode: Mode, n_qubits: int, n_registers: int) -> float:
    """Return the success rate of the best agent with a coherent memory (Helstrom bound)."""
    d = 2**n_qubits
    match mode:
        case "symmetry":
            return 1.0
        case "match":
            return 3 / 4
        case "same":
            return 1 / 2 + (d - 1) / (4 * d)
        case "one_shot":
            return 1 / 2 + math.sqrt(3) * (d - 1) / (6 * d)
        case "purity":
            return 1 - math.comb(d + n_registers - 1, n_registers) / (2 * d**n_registers)


def classical_ceiling(mode: Mode, n_qubits: int, n_registers: int) -> Ceiling:
    """Return the largest success rate of any agent with a classical memory, or a bound on it.

    In `one_shot`, outcomes v and w of the two examples leave the last step a success rate of
    1/2 + √(1 - |⟨v|w⟩|²) / (2(d + 1)). The mean of |⟨v|w⟩|² is 1/d, and the square root is concave, so that its mean is
    at most √(1 - 1/d); examples measured in mutually unbiased bases attain this.
    """
    d = 2**n_qubits
    match mode:
        case "symmetry":
            return Ceiling(1 / 2 + 1 / (d + 1), "exact")
        case "match":
            return Ceiling(1 / 2 + 1 / (2 * (d + 1)), "exact")
        case "one_shot":
            return Ceiling(1 / 2 + math.sqrt(1 - 1 / d) / (2 * (d + 1)), "exact")
        case "purity" if n_registers > 2:
            return Ceiling(PURITY_BOUNDS[n_qubits, n_registers], "bound")
        case "same" | "purity":
            return Ceiling(1 / 2 + (d - 1) / (2 * d * (d + 1)), "exact")


def storage_threshold(n_qubits: int, n_registers: int) -> float | None:
    """Return the noise of storage at which the best coherent memory reaches the ceiling; None for three registers on.

    With this probability the stored first register is replaced by the maximally mixed state. For a pair, the second
    register alone is maximally mixed in both cases, so that noise p shrinks the difference of their states, and with it
    the success rate above 1/2, by 1 - p. The ceiling above 1/2 is 2/(d + 1) of the optimum above 1/2 in `symmetry`,
    `match` and `same`, hence p = 1 - 2/(d + 1).
    """
    return 1 - 2 / (2**n_qubits + 1) if n_registers == 2 else None
