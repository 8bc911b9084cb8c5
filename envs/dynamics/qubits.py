"""Open systems of a few qubits: the density matrix as a real vector, and its Lindblad equation.

The vector r of a density matrix ρ of n qubits has the 4^n entries Tr(P ρ), one for each Pauli word P. The letters are
in the order I, X, Y, Z, and the first qubit's letter is the most significant. The Lindblad equation is then r' = G r
with a real matrix G, which is linear in all rates. The qubits form a chain, each coupled to the next.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations, product
from typing import Literal

import numpy as np
import torch
from jaxtyping import Complex128, Float64
from torch import Tensor

from qrl.circuits.matrices import I, X, Y, Z

N_RATES = 5
"""Number of rates of a single qubit: rotations about x, y and z [rad/us], 1 / T1 and 1 / T_phi [1/us]."""

MAX_QUBITS = 3
"""Largest number of qubits."""

_PAULI = torch.as_tensor(np.stack([I, X, Y, Z]), dtype=torch.complex128)


@lru_cache
def pauli_matrices(n_qubits: int) -> Complex128[Tensor, "word row column"]:
    """Return all Pauli words as matrices, in the order of the vector."""
    words = torch.ones(1, 1, 1, dtype=torch.complex128)
    for _ in range(n_qubits):
        words = torch.stack([torch.kron(word, letter) for word in words for letter in _PAULI])
    return words


def vector_of(state: Complex128[Tensor, " amplitude"]) -> Float64[Tensor, " word"]:
    """Return Tr(P |ψ><ψ|) of a pure state for all words P."""
    words = pauli_matrices(int(math.log2(len(state))))
    return torch.einsum("i,wij,j->w", state.conj(), words, state).real


NamedState = Literal["plus", "flip", "ghz"]
"""Names of target states: (|0> + |1>) / √2 on each qubit; |1...1>; (|0...0> + |1...1>) / √2."""


def named_state(name: NamedState, n_qubits: int) -> Complex128[Tensor, " amplitude"]:
    """Return a state by its name, as amplitudes [2^n]."""
    amplitudes = torch.zeros(2**n_qubits, dtype=torch.complex128)
    match name:
        case "plus":
            amplitudes[:] = 2 ** (-n_qubits / 2)
        case "flip":
            amplitudes[-1] = 1.0
        case "ghz":
            amplitudes[0] = amplitudes[-1] = math.sqrt(0.5)
    return amplitudes


def qubit_indices(n_qubits: int) -> list[int]:
    """Return for each qubit the index in the vector of the word with X on that qubit and I on the others."""
    return [4 ** (n_qubits - 1 - qubit) for qubit in range(n_qubits)]


def bloch_vectors(vector: Float64[Tensor, " word"], n_qubits: int) -> Float64[Tensor, "qubit 3"]:
    """Return the expectation values of X, Y and Z of each qubit."""
    return torch.stack([vector[[index, 2 * index, 3 * index]] for index in qubit_indices(n_qubits)])


def word_indices(letters: Sequence[int], n_qubits: int) -> list[int]:
    """Return the indices in the vector of words with one or two of these letters and I elsewhere.

    Words of one letter come first, qubit by qubit, then words of two letters, pair by pair. X, Y and Z are 1, 2 and 3.
    """
    indices = qubit_indices(n_qubits)
    singles = [letter * index for index in indices for letter in letters]
    pairs = [a * one + b * other for one, other in combinations(indices, 2) for a, b in product(letters, repeat=2)]
    return singles + pairs


# -- the generator -----------------------------------------------------------------------------------------------------


def _on_words(n_qubits: int, change: Callable[[Tensor], Tensor]) -> Float64[Tensor, "word word"]:
    """Return the matrix, acting on vectors, of a linear map of density matrices."""
    words = pauli_matrices(n_qubits)
    return torch.einsum("vij,wji->vw", words, change(words)).real / 2**n_qubits


def _commutator(hamiltonian: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the map ρ' = -i [H, ρ]."""
    return lambda rho: -1j * (hamiltonian @ rho - rho @ hamiltonian)


def _dissipator(jump: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the map ρ' = L ρ L† - (L†L ρ + ρ L†L) / 2."""
    rate = jump.mH @ jump
    return lambda rho: jump @ rho @ jump.mH - (rate @ rho + rho @ rate) / 2


@lru_cache
def _terms(n_qubits: int) -> Float64[Tensor, "term entry"]:
    """Return the coefficient matrix of each rate of one qubit, or of a pair, in the generator, flattened.

    The order is the rates of the first qubit, the rates of the second, and the coupling of the two. A rate of 1 stands
    for H = X/2, Y/2, Z/2; relaxation from 1 to 0; pure dephasing; H = ZZ/4.
    """
    one, x, y, z = _PAULI
    lower = (x + 1j * y) / 2
    singles = [
        (_commutator, x / 2),
        (_commutator, y / 2),
        (_commutator, z / 2),
        (_dissipator, lower),
        (_dissipator, z / math.sqrt(2)),
    ]
    if n_qubits == 1:
        kinds = singles
    else:
        kinds = [(kind, torch.kron(matrix, one)) for kind, matrix in singles]
        kinds += [(kind, torch.kron(one, matrix)) for kind, matrix in singles]
        kinds.append((_commutator, torch.kron(z, z) / 4))
    return torch.stack([_on_words(n_qubits, kind(matrix)).flatten() for kind, matrix in kinds])


def generators(
    local: Float64[Tensor, "lane qubit rate"], coupling: Float64[Tensor, "lane pair"]
) -> list[Float64[Tensor, "lane row column"]]:
    """Return the terms of the generator [1/us]: one on the first two qubits and, for three qubits, one on the last two.

    Args:
        local: N_RATES rates of each qubit.
        coupling: coupling of each qubit to the next [rad/us]; the Hamiltonian is coupling · ZZ/4.
    """
    n_qubits = local.shape[1]
    size = min(n_qubits, 2)
    rates = [torch.cat([local[:, :2].flatten(1), coupling[:, :1]], dim=1)]
    if n_qubits == MAX_QUBITS:  # the first term includes the middle qubit's local rates
        rates.append(torch.cat([torch.zeros_like(local[:, 1]), local[:, 2], coupling[:, 1:]], dim=1))
    terms = _terms(size).to(local.device)
    return [(rate @ terms).unflatten(1, (4**size, 4**size)) for rate in rates]


def norm_bound(
    local: Float64[Tensor, "lane qubit rate"], coupling: Float64[Tensor, "lane pair"]
) -> Float64[Tensor, " lane"]:
    """Return a bound on the generator's spectral norm [1/us].

    The norm of the Hamiltonian part is the difference of the extreme eigenvalues of H; the norm of the relaxation alone
    is √2 / T1.
    """
    rotations = local[..., :3].norm(dim=-1) + math.sqrt(2) * local[..., 3] + local[..., 4]
    return rotations.sum(1) + coupling.abs().sum(1) / 2


# -- the evolution -----------------------------------------------------------------------------------------------------


def taylor_order(bound: float, error: float = 1e-14) -> int:
    """Return the order of exp's Taylor series with a remainder below `error` for matrices of norm up to `bound`."""
    order, remainder = 0, bound * math.exp(bound)  # Lagrange's bound of the remainder
    while remainder > error:
        order += 1
        remainder *= bound / (order + 1)
    return order


def evolve(
    vector: Float64[Tensor, "lane word"],
    generator: list[Float64[Tensor, "lane row column"]],
    time: float,
    order: int,
) -> Float64[Tensor, "lane word"]:
    """Return exp(G time) r by the Taylor series up to `order`; G is the sum of the terms from `generators`."""
    head, *tail = [time * part for part in generator]
    shape = (len(vector), head.shape[-1], -1)
    start = after = vector.reshape(shape)
    for k in range(order, 0, -1):  # 1 + G (1 + G/2 (1 + G/3 (...)))
        total = torch.baddbmm(start, head, after, alpha=1 / k)
        for part in tail:
            pair = (len(vector), 4, 16)
            total = torch.baddbmm(total.view(pair), after.view(pair), part.mT, alpha=1 / k).view_as(start)
        after = total
    return after.reshape(vector.shape)
