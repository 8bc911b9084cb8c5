"""Circuit on a quantum memory and an arriving register: rotations of every wire, then an entangler, in layers.

The memory has wires 0 to n_memory - 1, the register the wires after it. A layer is RZ, RY, RZ on every wire, then the
entangler; rotations of every wire end the circuit.

- `pairs`: RXX, RYY, RZZ with trainable angles on memory wire k n + j and register wire j, for every wire j of the
  register (n wires) and every block k of the memory. One such layer between rotations is any two-wire gate on each pair
  (Kraus and Cirac 2001), among them SWAP, which stores the register, and the measurement in the Bell basis.
- `ring`: CZ between neighbours on a ring of all wires.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from qrl.circuits.angles import Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.matrices import FIXED_GATES, HADAMARD, PAULI, I, embed, kron
from qrl.circuits.observables import Observable
from qrl.common.autograd import PerDevice
from qrl.models.shared.ansatz import ring

PairEntangler = Literal["pairs", "ring"]

PAIR_ROTATIONS = ("RXX", "RYY", "RZZ")

BELL = FIXED_GATES["CNOT"] @ np.kron(HADAMARD, I)
"""Bell states as columns, the common eigenvectors of XX, YY and ZZ."""


@dataclass(frozen=True)
class RegisterCircuit:
    """Layered circuit on `n_memory` wires of memory and `n_register` wires of an arriving register."""

    n_memory: int
    n_register: int
    n_layers: int
    entangler: PairEntangler
    _constants: PerDevice["Constants"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Not a cached property, which torch.compile cannot look into.
        object.__setattr__(self, "_constants", PerDevice(partial(_constants_of, self)))

    @property
    def n_wires(self) -> int:
        return self.n_memory + self.n_register

    @cached_property
    def blocks(self) -> list[list[tuple[int, int]]]:
        """Disjoint pairs of a memory wire and a register wire, by block of the memory."""
        n = self.n_register
        starts = range(0, self.n_memory, n)
        return [
            [(k, self.n_memory + k - start) for k in range(start, min(start + n, self.n_memory))] for start in starts
        ]

    @property
    def n_pair_weights(self) -> int:
        """Number of entangler angles of a layer."""
        return len(PAIR_ROTATIONS) * self.n_memory if self.entangler == "pairs" else 0

    @property
    def n_weights(self) -> int:
        return self.n_layers * (3 * self.n_wires + self.n_pair_weights) + 3 * self.n_wires if self.n_layers else 0

    def gates(self) -> tuple[Gate, ...]:
        """Return the gates; angles are numbered layer by layer, as in `unitary`."""
        gates: list[Gate] = []

        def add(name: str, *wires: int) -> None:
            gates.append(Gate(name, wires, Weight(sum(gate.is_parametric for gate in gates))))

        def rotate() -> None:
            for wire in range(self.n_wires):
                for name in ("RZ", "RY", "RZ"):
                    add(name, wire)

        for _ in range(self.n_layers):
            rotate()
            if self.entangler == "ring":
                gates += [Gate("CZ", pair) for pair in ring(self.n_wires)]
                continue
            for block in self.blocks:
                for pair in block:
                    for name in PAIR_ROTATIONS:
                        add(name, *pair)
        if self.n_layers:
            rotate()
        return tuple(gates)

    def circuit(self) -> Circuit:
        """Return the circuit, with Z on every wire as observables."""
        return Circuit(self.n_wires, self.gates(), tuple(Observable.of(f"Z{wire}") for wire in range(self.n_wires)))

    def unitary(self, weights: Float[Tensor, "*lead weight"]) -> Complex[Tensor, "*lead state state"]:
        """Return the unitary; wire 0 is the most significant bit."""
        if not self.n_layers:
            identity = self._constants.like(weights).identity
            return identity.expand(*weights.shape[:-1], *identity.shape)
        layers, last = weights.split([weights.shape[-1] - 3 * self.n_wires, 3 * self.n_wires], dim=-1)
        layers = layers.unflatten(-1, (self.n_layers, -1))
        angles = torch.cat([layers[..., : 3 * self.n_wires], last.unsqueeze(-2)], dim=-2)
        turns = rotations(angles.unflatten(-1, (self.n_wires, 3)))
        entanglers = self._entanglers(layers[..., 3 * self.n_wires :])
        total = turns[..., 0, :, :]
        for layer in range(self.n_layers):
            total = turns[..., layer + 1, :, :] @ (entanglers[..., layer, :, :] @ total)
        return total

    def _entanglers(self, angles: Float[Tensor, "*lead layer angle"]) -> Complex[Tensor, "*lead layer state state"]:
        """Return the entangler of each layer."""
        constants = self._constants.like(angles)
        if self.entangler == "ring":
            return constants.ring.expand(*angles.shape[:-1], -1, -1)
        total = constants.identity
        sizes = [len(signs) for _, signs in constants.pairs]
        for angle, (eigenvectors, signs) in zip(angles.split(sizes, dim=-1), constants.pairs, strict=True):
            phase = -0.5 * (angle @ signs)
            gate = (eigenvectors * torch.complex(phase.cos(), phase.sin()).unsqueeze(-2)) @ eigenvectors.mT
            total = gate @ total
        return total.expand(*angles.shape[:-1], -1, -1)


def rotations(angles: Float[Tensor, "*lead wire 3"]) -> Complex[Tensor, "*lead state state"]:
    """Return the Kronecker product over wires of RZ(c) RY(b) RZ(a), for angles (a, b, c) of each wire [rad]."""
    a, b, c = (angles / 2).unbind(-1)
    cos, sin, outer, inner = b.cos(), b.sin(), a + c, a - c
    entries = [(cos, -outer), (-sin, inner), (sin, -inner), (cos, outer)]
    parts = [torch.complex(size * phase.cos(), size * phase.sin()) for size, phase in entries]
    total, *others = torch.stack(parts, dim=-1).unflatten(-1, (2, 2)).unbind(-3)
    for wire in others:
        total = (total[..., :, None, :, None] * wire[..., None, :, None, :]).flatten(-4, -3).flatten(-2)
    return total


class Constants(NamedTuple):
    """Constants of the entanglers in one precision on one device."""

    identity: Complex[Tensor, "state state"]
    ring: Complex[Tensor, "state state"]
    """CZ on a ring of all wires."""
    pairs: tuple[tuple[Complex[Tensor, "state state"], Float[Tensor, "angle state"]], ...]
    """Eigenvectors, and eigenvalues of XX, YY and ZZ, for each block of pairs."""


def _constants_of(circuit: RegisterCircuit, dtype: torch.dtype, device: torch.device) -> Constants:
    """Return the constants; `dtype` is that of the weights."""

    def as_complex(matrix: np.ndarray) -> Tensor:
        return torch.as_tensor(matrix, device=device).to(dtype.to_complex())

    pairs = tuple(
        (as_complex(basis), torch.as_tensor(signs, dtype=dtype, device=device)) for basis, signs in _pairs(circuit)
    )
    return Constants(as_complex(np.eye(2**circuit.n_wires)), torch.diag(as_complex(_ring(circuit.n_wires))), pairs)


@lru_cache
def _ring(n_wires: int) -> np.ndarray:
    """Return the diagonal of CZ gates on a ring."""
    block = tuple(range(n_wires))
    diagonal = np.ones(2**n_wires)
    for pair in ring(n_wires):
        diagonal = diagonal * np.diag(embed(FIXED_GATES["CZ"], pair, block, 2))
    return diagonal


@lru_cache
def _pairs(circuit: RegisterCircuit) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, for each block of pairs, eigenvectors [state, state] and eigenvalues of its XX, YY, ZZ [angle, state]."""
    wires = tuple(range(circuit.n_wires))
    found = []
    for block in circuit.blocks:
        basis = np.eye(2**circuit.n_wires)
        for pair in block:
            basis = basis @ embed(BELL, pair, wires, 2)
        signs = [
            np.diag(basis.T @ embed(kron([PAULI[name[-1]]] * 2), pair, wires, 2) @ basis).real
            for pair in block
            for name in PAIR_ROTATIONS
        ]
        found.append((basis.real, np.stack(signs)))
    return found
