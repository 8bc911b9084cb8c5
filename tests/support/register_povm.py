"""Measurement of all registers of an episode that a policy on registers amounts to, by Kraus operators in NumPy.

Nothing here is shared with the simulation of the library: projectors, channels and the order of wires are written out,
and operators act on the density matrix of all registers instead of sampled amplitudes.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from qrl.models.shared.register_cell import Storage

Matrix = NDArray[np.complex128]
Outcomes = tuple[int, ...]
Unitary = Callable[[int, Outcomes], Matrix]
"""Unitary on memory and register, from the number of the register and the outcomes before it."""

ZERO, ONE, EYE, Z = np.diag([1.0, 0]), np.diag([0, 1.0]), np.eye(2), np.diag([1.0, -1.0])


def kron(factors: list[Matrix]) -> Matrix:
    """Kronecker product; the identity of dimension 1 for no factors."""
    return reduce(np.kron, factors, np.eye(1))


def projectors(n_wires: int, measured: tuple[int, ...]) -> list[Matrix]:
    """Projectors of a measurement of these wires, first wire most significant in the outcome."""
    results = itertools.product((ZERO, ONE), repeat=len(measured))
    return [kron([dict(zip(measured, found, strict=True)).get(w, EYE) for w in range(n_wires)]) for found in results]


def storage_kraus(n_wires: int, storage: Storage) -> list[Matrix]:
    """Kraus operators of dephasing each wire, then of replacing the state of all wires by the maximally mixed one."""
    keep, flip = np.sqrt(1 - storage.dephasing / 2), np.sqrt(storage.dephasing / 2)
    dephase = [kron(list(f)) for f in itertools.product((keep * EYE, flip * Z), repeat=n_wires)]
    size, p = 2**n_wires, storage.depolarising
    units = [np.sqrt(p / size) * np.outer(np.eye(size)[i], np.eye(size)[j]) for i, j in np.ndindex(size, size)]
    operators = [b @ a for a in dephase for b in [np.sqrt(1 - p) * np.eye(size), *units]]
    return [each for each in operators if np.abs(each).max() > 0]


def branches(
    unitary: Unitary, n_memory: int, dim: int, n_registers: int, measured: tuple[int, ...], storage: Storage
) -> Iterator[tuple[Outcomes, Matrix]]:
    """Yield (outcomes of the steps, POVM element [D, D]) for every history of an episode; D = dim**n_registers.

    An outcome is the memory's times `dim` plus the register's; every wire of the memory is measured at the last step.
    """
    size, total = 2**n_memory, dim**n_registers
    start = np.einsum("m,rc->mrc", np.eye(size)[0], np.eye(total)).astype(complex)
    kraus = storage_kraus(n_memory, storage)

    def descend(step: int, past: Outcomes, operators: list[Matrix]) -> Iterator[tuple[Outcomes, Matrix]]:
        if step == n_registers:
            yield past, sum(np.einsum("mrc,mrd->cd", each.conj(), each) for each in operators)
            return
        last = step == n_registers - 1
        gate = unitary(step, past).reshape(size, dim, size, dim)
        turned = [np.einsum("abmr,mrqc->abqc", gate, e.reshape(size, dim, -1, total)) for e in operators]
        for k, projector in enumerate(projectors(n_memory, tuple(range(n_memory)) if last else measured)):
            for r in range(dim):
                kept = [np.einsum("am,mqc->aqc", projector, each[:, r]) for each in turned]
                if not last:
                    kept = [np.einsum("am,mqc->aqc", error, each) for each in kept for error in kraus]
                yield from descend(step + 1, (*past, k * dim + r), kept)

    yield from descend(0, (), [start])


def partial_transpose(matrix: Matrix, dim: int) -> Matrix:
    """Transpose the first of two registers of dimension `dim`."""
    return matrix.reshape(dim, dim, dim, dim).transpose(2, 1, 0, 3).reshape(dim**2, dim**2)
