"""Circuits as arrays of the kernel's C interface (interface.h)."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

import numpy as np

from qrl.circuits.angles import TRANSFORMS, Angle, Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import GATES, Gate


class Kind(IntEnum):
    """Kind of a gate."""

    DIAGONAL = 0
    """Rotation about a word of Z."""
    IMAGINARY = 1
    """Rotation about a word that flips bits, with an even number of Y."""
    REAL = 2
    """Rotation about Y."""
    SIGNS = 3
    """Diagonal of +1 and -1."""
    FLIP = 4
    HADAMARD = 5


class Output(IntEnum):
    """Output of a call."""

    VALUES = 0
    """Expectation values of the circuit's observables."""
    PROBABILITIES = 1
    """Outcome probabilities [state]."""
    AMPLITUDES = 2
    """Real and imaginary parts in turn, [2 * state]."""


class Source(IntEnum):
    """Source of a term of an angle."""

    CONSTANT = 0
    WEIGHT = 1
    INPUT = 2


_GATE_FIELDS = ("kind", "flip", "sign", "negative", "control", "first_term", "n_terms", "n_fused")


class CGate(ctypes.Structure):
    """`QrlGate` of interface.h."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int32) for name in _GATE_FIELDS),
        ("table", ctypes.c_int64),
    ]


class CTerm(ctypes.Structure):
    """`QrlTerm` of interface.h."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int32) for name in ("source", "index", "feature", "transform")),
        ("constant", ctypes.c_double),
    ]


class CWord(ctypes.Structure):
    """`QrlWord` of interface.h."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int32) for name in ("observable", "flip", "sign", "phase")),
        ("coefficient", ctypes.c_double),
    ]


class CCircuit(ctypes.Structure):
    """`QrlCircuit` of interface.h."""

    _fields_: ClassVar = [
        *((f"n_{name}", ctypes.c_int32) for name in ("wires", "gates", "terms", "words")),
        *((f"n_{name}", ctypes.c_int32) for name in ("observables", "weights", "scales", "inputs")),
        *((name, ctypes.c_void_p) for name in ("gates", "terms", "words", "signs")),
    ]


@dataclass
class _Operation:
    """Gate of the kernel; a rotation by a sum of angles."""

    kind: Kind
    wires: frozenset[int]
    flip: int = 0
    sign: int = 0
    control: int = 0
    negative: bool = False
    angles: list[Angle] = field(default_factory=list)
    pairs: list[tuple[int, ...]] = field(default_factory=list)
    """SIGNS: wires of each CZ."""

    @property
    def turns_one_wire(self) -> bool:
        """Whether the gate is a rotation of one wire."""
        return bool(self.angles) and len(self.wires) == 1

    def joins(self, other: "_Operation") -> bool:
        """Return whether this gate and the other one, applied in sequence, are one gate of the kernel."""
        if self.kind != other.kind or self.kind in (Kind.FLIP, Kind.HADAMARD):
            return False
        return self.kind == Kind.SIGNS or self._word == other._word

    @property
    def _word(self) -> tuple[int, int, int, bool]:
        return self.flip, self.sign, self.control, self.negative


class EncodedCircuit:
    """Circuit in the kernel's arrays.

    `gates`: those of the circuit, or those and a change of basis. Rotations about the same word that follow each other
    become one, and so does a run of CZ. The forward pass applies a run of rotations of one wire as one matrix.
    """

    def __init__(self, circuit: Circuit, gates: Sequence[Gate], output: Output) -> None:
        self.output, self.size = output, 2**circuit.n_wires
        self.n_weights, self.n_scales, self.n_inputs = circuit.n_weights, circuit.n_scales, circuit.n_inputs
        self.n_columns = {
            Output.VALUES: circuit.n_observables,
            Output.PROBABILITIES: self.size,
            Output.AMPLITUDES: 2 * self.size,
        }[output]
        operations = _merged([_operation(gate, circuit.n_wires) for gate in gates])
        terms = [_term(angle) for operation in operations for angle in operation.angles]
        tables = _Tables(operations, circuit.n_wires)
        words = _words(circuit) if output == Output.VALUES else []
        firsts = np.cumsum([0, *(len(operation.angles) for operation in operations)])
        encoded = [
            CGate(o.kind, o.flip, o.sign, o.negative, o.control, int(first), len(o.angles), fused, tables.offset(o))
            for o, first, fused in zip(operations, firsts[:-1], _n_fused(operations), strict=True)
        ]
        self._gates = (CGate * len(encoded))(*encoded)
        self._terms = (CTerm * len(terms))(*terms)
        self._words = (CWord * len(words))(*words)
        self._signs = tables.signs
        self.n_gates = len(operations)
        self._circuit = CCircuit(
            *(circuit.n_wires, len(encoded), len(terms), len(words)),
            *(circuit.n_observables, self.n_weights, self.n_scales, self.n_inputs),
            *(ctypes.addressof(array) for array in (self._gates, self._terms, self._words)),
            self._signs.ctypes.data,
        )
        self.pointer = ctypes.pointer(self._circuit)
        """Pointer to the arrays; valid as long as this object."""


def _operation(gate: Gate, n_wires: int) -> _Operation:
    """Return a gate of the kernel."""
    kind, wires = GATES[gate.name], frozenset(gate.wires)
    bits = [1 << (n_wires - 1 - wire) for wire in gate.wires]
    if kind.rotation:
        control, targets = (bits[0], bits[1:]) if kind.controlled else (0, bits)
        flip = sum(bit for bit, pauli in zip(targets, kind.rotation, strict=True) if pauli != "Z")
        sign = sum(bit for bit, pauli in zip(targets, kind.rotation, strict=True) if pauli != "X")
        assert gate.angle is not None
        if kind.rotation == "Y":
            return _Operation(Kind.REAL, wires, flip, control=control, angles=[gate.angle])
        rotation = Kind.IMAGINARY if flip else Kind.DIAGONAL
        # Y = i X Z: two of them give a factor -1.
        return _Operation(rotation, wires, flip, sign, control, kind.rotation == "YY", [gate.angle])
    if gate.name == "CZ":
        return _Operation(Kind.SIGNS, wires, pairs=[tuple(bits)])
    if gate.name == "H":
        return _Operation(Kind.HADAMARD, wires, flip=bits[-1])
    return _Operation(Kind.FLIP, wires, flip=bits[-1], control=bits[0] if len(bits) == 2 else 0)


def _merged(operations: Sequence[_Operation]) -> list[_Operation]:
    """Join gates, and bring the rotations of a wire together, as far as gates on other wires lie in between."""
    merged: list[_Operation] = []
    for operation in operations:
        touching = (k for k in reversed(range(len(merged))) if merged[k].wires & operation.wires)
        last = next(touching, None)
        if operation.kind == Kind.SIGNS and merged and merged[-1].kind == Kind.SIGNS:
            last = len(merged) - 1
        if last is None:
            merged.append(operation)
        elif merged[last].joins(operation):
            merged[last].angles += operation.angles
            merged[last].pairs += operation.pairs
            merged[last].wires |= operation.wires
        elif operation.turns_one_wire and merged[last].turns_one_wire:
            merged.insert(last + 1, operation)
        else:
            merged.append(operation)
    return merged


def _n_fused(operations: Sequence[_Operation]) -> list[int]:
    """Return how many gates are applied as one from each gate on, more than 1 for rotations of one wire; 0 within."""
    lengths: list[int] = []
    first = 0
    for k, operation in enumerate(operations):
        before = operations[k - 1] if k else None
        if (
            before is not None
            and before.turns_one_wire
            and operation.turns_one_wire
            and before.wires == operation.wires
        ):
            lengths[first] += 1
            lengths.append(0)
        else:
            first = k
            lengths.append(1)
    return lengths


def _term(angle: Angle) -> CTerm:
    match angle:
        case Weight(index):
            return CTerm(Source.WEIGHT, index)
        case Input(feature, scale, transform):
            return CTerm(Source.INPUT, -1 if scale is None else scale, feature, TRANSFORMS.index(transform))
        case float() | int():
            return CTerm(Source.CONSTANT, constant=angle)
    raise AssertionError(f"{angle} is substituted before")


class _Tables:
    """Signs of all runs of CZ, one after the other; equal ones are stored once."""

    def __init__(self, operations: Sequence[_Operation], n_wires: int) -> None:
        states = np.arange(2**n_wires)
        self._offsets: dict[tuple[tuple[int, ...], ...], int] = {}
        rows: list[np.ndarray] = []
        for pairs in (tuple(operation.pairs) for operation in operations if operation.kind == Kind.SIGNS):
            if pairs not in self._offsets:
                self._offsets[pairs] = len(rows) * len(states)
                both = [(states & mask) == mask for mask in map(sum, pairs)]
                rows.append(np.where(np.logical_xor.reduce(both), -1, 1))
        self.signs = np.array(rows, dtype=np.int8)

    def offset(self, operation: _Operation) -> int:
        """Return the position of an operation's first sign."""
        return self._offsets.get(tuple(operation.pairs), 0)


def _words(circuit: Circuit) -> list[CWord]:
    """Return the words of all observables, observable by observable."""
    words = []
    for column, observable in enumerate(circuit.observables):
        for word in observable.words:
            factors = [(1 << (circuit.n_wires - 1 - wire), pauli) for wire, pauli in word.factors]
            flip = sum(bit for bit, pauli in factors if pauli != "Z")
            sign = sum(bit for bit, pauli in factors if pauli != "X")
            n_y = sum(pauli == "Y" for _, pauli in factors)
            words.append(CWord(column, flip, sign, n_y % 4, word.coefficient))
    return words
