"""Random states of qubit registers, and their average density matrices.

Vectors of several registers have register 0 most significant. Random vectors are Haar-random: their distribution does
not change under any unitary of the space that they are drawn from.
"""

from itertools import product

import numpy as np
import torch
from jaxtyping import Complex128, Float64
from torch import Tensor


def haar_vectors(shape: tuple[int, ...], generator: torch.Generator) -> Complex128[Tensor, "*batch amplitude"]:
    """Draw random unit vectors along the last axis of `shape`."""
    return normalised(gaussian_vectors(shape, generator))


def gaussian_vectors(shape: tuple[int, ...], generator: torch.Generator) -> Complex128[Tensor, "*batch amplitude"]:
    """Draw vectors with independent complex Gaussian entries; any projection of them is isotropic in its subspace."""
    return torch.randn(shape, dtype=torch.complex128, generator=generator, device=generator.device)


def normalised(vectors: Complex128[Tensor, "*batch amplitude"]) -> Complex128[Tensor, "*batch amplitude"]:
    """Divide vectors by their norms."""
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)


def orthogonal_part(
    vectors: Complex128[Tensor, "*batch amplitude"], unit: Complex128[Tensor, "*batch amplitude"]
) -> Complex128[Tensor, "*batch amplitude"]:
    """Return unit vectors along the part of `vectors` that is orthogonal to the unit vectors `unit`."""
    overlap = (unit.conj() * vectors).sum(-1, keepdim=True)
    return normalised(vectors - overlap * unit)


def exchange_eigenvectors(
    pairs: Complex128[Tensor, "lane d d"], sign: Float64[Tensor, " lane"]
) -> Complex128[Tensor, "lane d d"]:
    """Project vectors of two registers on the symmetric (sign 1) or antisymmetric (sign -1) subspace; normalise."""
    projected = pairs + sign[:, None, None] * pairs.mT
    return normalised(projected.flatten(1)).reshape(projected.shape)


def turn_second_qubit(
    pairs: Complex128[Tensor, "lane 2 2"], angle: Float64[Tensor, " lane"]
) -> Complex128[Tensor, "lane 2 2"]:
    """Apply RZ(angle [rad]) to the second of two qubits."""
    half = torch.stack([-angle, angle], dim=-1) / 2
    return pairs * torch.polar(torch.ones_like(half), half)[:, None, :]


def bloch_vectors(amplitudes: Complex128[Tensor, " amplitude"]) -> Float64[Tensor, "qubit 3"]:
    """Return the expectation values of X, Y and Z of each qubit of a pure state, the first one most significant."""
    n_qubits = len(amplitudes).bit_length() - 1
    parts = [amplitudes.reshape(2**qubit, 2, -1).transpose(0, 1).flatten(1) for qubit in range(n_qubits)]
    density = torch.stack([part @ part.mH for part in parts])
    x, y, z = 2 * density[:, 1, 0].real, 2 * density[:, 1, 0].imag, (density[:, 0, 0] - density[:, 1, 1]).real
    return torch.stack([x, y, z], dim=-1)


# -- average density matrices ------------------------------------------------------------------------------------------


def symmetric_projector(dim: int, copies: int) -> Complex128[np.ndarray, "D D"]:
    """Return the projector on the symmetric subspace of `copies` registers, D = dim**copies.

    The subspace is spanned by the uniform superpositions of all basis states with equal occupation numbers.
    """
    types = [tuple(sorted(digits)) for digits in product(range(dim), repeat=copies)]
    index = {each: number for number, each in enumerate(sorted(set(types)))}
    number = np.array([index[each] for each in types])
    members = np.bincount(number)[number]
    return ((number[:, None] == number[None, :]) / members).astype(np.complex128)


def mixed(dim: int) -> Complex128[np.ndarray, "dim dim"]:
    """Return the maximally mixed state."""
    return np.eye(dim, dtype=np.complex128) / dim


def copies_state(dim: int, copies: int) -> Complex128[np.ndarray, "D D"]:
    """Return the mean of (ψψ†)^{⊗copies} over Haar-random ψ: the symmetric projector, normalised."""
    projector = symmetric_projector(dim, copies)
    return projector / projector.trace()


def insert_mixed(pair: Complex128[np.ndarray, "D D"], dim: int, position: int) -> Complex128[np.ndarray, "joint joint"]:
    """Return the state of three registers: two in the state `pair`, and register `position` maximally mixed."""
    joint = np.kron(mixed(dim), pair).reshape((dim,) * 6)
    return np.moveaxis(joint, (0, 3), (position, 3 + position)).reshape(dim**3, dim**3)
