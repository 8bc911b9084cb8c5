"""Lowering: a `Circuit` rewritten with the two kinds of operation that the fused executor knows.

- A *local* unitary acts on one block of neighbouring wires and depends on weights and constants only. All local gates
  between two phases are one small matrix a block.
- A *phase* multiplies by exp(i angle), diagonal in the computational basis. A rotation by an input about X or Y is a
  phase between two constant local basis changes, which vanish into the neighbouring local unitaries. Two-wire gates
  across blocks are phases too: CNOT = H CZ H, CRX = H CRZ H, RXX = HH RZZ HH.

Gates are scheduled as early as possible into alternating local (even) and phase (odd) levels, so that an encoding layer
on all wires is one phase, however its gates were listed. Everything here is NumPy and happens once a circuit.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from qrl.circuit import GATES, Circuit, Gate, Input, Weight

MAX_BLOCK_WIRES = 5
"""Largest block fused into one dense unitary (benchmarks/simulator.py --blocks)."""

Array = np.ndarray

_I, _X, _Z = np.eye(2), np.array([[0, 1], [1, 0]]), np.diag([1.0, -1.0])
_Y = np.array([[0, -1j], [1j, 0]])
_H = (_X + _Z) / math.sqrt(2)
_PAULI = {"X": _X, "Y": _Y, "Z": _Z}
_FIXED = {"H": _H, "X": _X, "CZ": np.diag([1, 1, 1, -1]), "CNOT": np.eye(4)[[0, 1, 3, 2]]}
# V with V Z V^-1 = P: the rotation about P is a rotation about Z between V^-1 and V.
_BASIS = {"X": _H, "Y": np.diag([1, 1j]) @ _H, "Z": _I}


@dataclass(frozen=True)
class Factor:
    """One gate inside a block: constant + cos(w/2) cosine + sin(w/2) sine with w a weight, or `constant` alone."""

    constant: Array
    cosine: Array | None = None
    sine: Array | None = None
    weight: int = 0

    @classmethod
    def of(cls, matrices: Iterable[Array], weight: int) -> "Factor":
        """From the constant matrix, or all three."""
        constant, *rest = matrices
        return cls(constant, *rest, weight=weight)  # type: ignore[misc, arg-type]


@dataclass
class Local:
    """A local level: for each block its gates in order, as matrices of the block."""

    blocks: list[list[Factor]]


@dataclass
class Phase:
    """A phase level: angle = constant + sum of weights * row + sum of input angles * row; each row is [state]."""

    constant: Array
    weights: list[tuple[int, Array]] = field(default_factory=list)
    inputs: list[tuple[Input, Array]] = field(default_factory=list)


@dataclass(frozen=True)
class Measurement:
    """Observables that share a basis: a basis change a block, and their eigenvalues [state, observable]."""

    basis: list[Array]
    eigenvalues: Array


def block_wires(n_wires: int) -> tuple[tuple[int, ...], ...]:
    """Neighbouring wires in as few and as even blocks as `MAX_BLOCK_WIRES` allows."""
    n_blocks = math.ceil(n_wires / MAX_BLOCK_WIRES)
    return tuple(tuple(map(int, wires)) for wires in np.array_split(np.arange(n_wires), n_blocks))


class Lowering:
    """The levels, blocks and measurements of one circuit."""

    def __init__(self, circuit: Circuit) -> None:
        self.dim = 2**circuit.n_wires
        self.blocks = block_wires(circuit.n_wires)
        self.levels: list[Local | Phase] = []
        self._block_of = {wire: b for b, wires in enumerate(self.blocks) for wire in wires}
        self._front = [0] * circuit.n_wires
        # The eigenvalue of each wire's Z in each basis state: [wire, state]; wire 0 is the most significant bit.
        bits = (np.arange(self.dim) >> np.arange(circuit.n_wires)[::-1, None]) & 1
        self._z = 1.0 - 2.0 * bits
        for gate in circuit.gates:
            self._schedule(gate)
        self.measurements = self._group(circuit)

    def _level(self, wires: tuple[int, ...], kind: type[Local] | type[Phase]) -> Local | Phase:
        """The earliest level of this kind on which the wires are free."""
        level = max(self._front[wire] for wire in wires)
        level += (level % 2 == 0) == (kind is Phase)
        while len(self.levels) <= level:
            is_phase = len(self.levels) % 2
            self.levels.append(Phase(np.zeros(self.dim)) if is_phase else Local([[] for _ in self.blocks]))
        for wire in wires:
            self._front[wire] = level
        return self.levels[level]

    def _local(self, wires: tuple[int, ...], *matrices: Array, weight: int = 0) -> None:
        level, block = self._level(wires, Local), self._block_of[wires[0]]
        assert isinstance(level, Local)
        level.blocks[block].append(Factor.of((_embed(m, wires, self.blocks[block]) for m in matrices), weight))

    def _phase(self, wires: tuple[int, ...]) -> Phase:
        level = self._level(wires, Phase)
        assert isinstance(level, Phase)
        return level

    def _schedule(self, gate: Gate) -> None:
        kind, wires = GATES[gate.name], gate.wires
        several = len(self.blocks) > 1
        in_block = len({self._block_of[wire] for wire in wires}) == 1
        if gate.name == "CZ" and several:
            # A phase even inside a block: a ring of CZs stays one level instead of alternating between two kinds.
            self._phase(wires).constant += math.pi * np.prod((1 - self._z[list(wires)]) / 2, axis=0)
        elif gate.name == "CNOT" and not in_block:
            self._local(wires[1:], _H)
            self._schedule(Gate("CZ", wires))
            self._local(wires[1:], _H)
        elif not kind.rotation:
            self._local(wires, _FIXED[gate.name])
        elif isinstance(gate.angle, Input) or (several and len(wires) == 2):
            self._schedule_as_phase(gate)
        elif isinstance(gate.angle, Weight):
            self._local(wires, *_rotation(gate.name), weight=gate.angle.index)
        else:
            constant, cosine, sine = _rotation(gate.name)
            half = float(gate.angle or 0.0) / 2
            self._local(wires, constant + math.cos(half) * cosine + math.sin(half) * sine)

    def _schedule_as_phase(self, gate: Gate) -> None:
        kind = GATES[gate.name]
        targets = gate.wires[1:] if kind.controlled else gate.wires
        rotated = [(wire, _BASIS[p]) for wire, p in zip(targets, kind.rotation, strict=True) if p != "Z"]
        for wire, basis in rotated:
            self._local((wire,), basis.conj().T)
        row = -0.5 * np.prod(self._z[list(targets)], axis=0)
        if kind.controlled:
            row = row * (1 - self._z[gate.wires[0]]) / 2
        phase = self._phase(gate.wires)
        match gate.angle:
            case Input():
                phase.inputs.append((gate.angle, row))
            case Weight(index):
                phase.weights.append((index, row))
            case _:
                phase.constant += float(gate.angle or 0.0) * row
        for wire, basis in rotated:
            self._local((wire,), basis)

    def _group(self, circuit: Circuit) -> list[Measurement]:
        """Pauli words that agree wire by wire on the basis to measure in share one measurement."""
        groups: list[tuple[dict[int, str], Array]] = []
        for column, observable in enumerate(circuit.observables):
            for word in observable.words:
                fitting = (g for g in groups if all(g[0].get(wire, pauli) == pauli for wire, pauli in word.factors))
                group = next(fitting, None)
                if group is None:
                    group = ({}, np.zeros((self.dim, circuit.n_observables)))
                    groups.append(group)
                basis, values = group
                basis.update(word.factors)
                values[:, column] += word.coefficient * np.prod(self._z[[wire for wire, _ in word.factors]], axis=0)
        return [
            Measurement([_kron([_BASIS[basis.get(w, "Z")].conj().T for w in wires]) for wires in self.blocks], values)
            for basis, values in groups
        ]


def absorb_constants(chain: list[Factor], dim: int) -> list[Factor]:
    """The same product with every constant gate multiplied into a neighbouring factor that has a weight."""
    merged: list[Factor] = []
    pending = np.eye(dim)
    for factor in chain:
        if factor.cosine is None or factor.sine is None:
            pending = factor.constant @ pending
        else:
            parts = (m @ pending for m in (factor.constant, factor.cosine, factor.sine))
            merged.append(Factor.of(parts, factor.weight))
            pending = np.eye(dim)
    if not merged:
        return [Factor(pending)]
    last = merged[-1]
    assert last.cosine is not None and last.sine is not None
    parts = (pending @ m for m in (last.constant, last.cosine, last.sine))
    return [*merged[:-1], Factor.of(parts, last.weight)]


def _rotation(name: str) -> tuple[Array, Array, Array]:
    """(C, A, B) with gate(angle) = C + cos(angle/2) A + sin(angle/2) B."""
    kind = GATES[name]
    generator = _kron([_PAULI[p] for p in kind.rotation])
    cosine, sine = np.eye(len(generator)), -1j * generator
    if not kind.controlled:
        return np.zeros_like(cosine), cosine, sine
    off, on = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    return np.kron(off, _I), np.kron(on, cosine), np.kron(on, sine)


def _kron(matrices: list[Array]) -> Array:
    return reduce(np.kron, matrices, np.eye(1))


def _embed(matrix: Array, wires: tuple[int, ...], block: tuple[int, ...]) -> Array:
    """The matrix of a gate on `wires` as a matrix of the block, identity on the block's other wires."""
    n, k = len(block), len(wires)
    positions = [block.index(wire) for wire in wires]
    rest = [p for p in range(n) if p not in positions]
    full = np.kron(matrix, np.eye(2 ** (n - k))).reshape((2,) * (2 * n))
    order = np.argsort([*positions, *rest])
    return full.transpose([*order, *(n + order)]).reshape(2**n, 2**n)
