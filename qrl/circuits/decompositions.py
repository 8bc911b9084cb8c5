"""Decompositions of gates into simpler ones."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from qrl.circuits.gates import GATES, Gate

QASM_NAMES = {name: "cx" if name == "CNOT" else name.lower() for name in GATES}
"""Names of the gates in OpenQASM and Qiskit."""


@dataclass(frozen=True)
class DecomposedGate:
    """One gate of a decomposition."""

    name: str
    wires: tuple[int, ...]
    """Positions among the wires of the whole gate."""
    angle_scale: float | None = None
    """The gate's angle as a multiple of the whole gate's angle."""
    constant: float | None = None
    """The gate's angle [rad], if independent of the whole gate's angle."""
    native: str | None = None
    """Native gate whose error follows this gate, "" for none; None: this gate is decomposed further."""


@dataclass(frozen=True)
class ScaledGate:
    """Gate with its angle multiplied by `angle_scale`."""

    gate: Gate
    angle_scale: float = 1.0

    def expand(self, decomposition: Sequence[DecomposedGate]) -> Iterator[tuple["ScaledGate", DecomposedGate]]:
        """Yield the gates of this decomposition in order, each with its entry."""
        for entry in decomposition:
            wires, angle = tuple(self.gate.wires[wire] for wire in entry.wires), self.gate.angle
            if entry.angle_scale is None:
                yield ScaledGate(Gate(entry.name, wires, entry.constant)), entry
            elif self.gate.is_parametric:
                yield ScaledGate(Gate(entry.name, wires, angle), self.angle_scale * entry.angle_scale), entry
            else:
                number = self.angle_scale * entry.angle_scale * self.gate.constant
                yield ScaledGate(Gate(entry.name, wires, number)), entry

    def decompose(self, names: Collection[str]) -> Iterator["ScaledGate"]:
        """Yield, in order, the gates that remain after decomposing all gates of these names (`DECOMPOSITIONS`)."""
        if self.gate.name in names:
            for each, _ in self.expand(DECOMPOSITIONS[self.gate.name]):
                yield from each.decompose(names)
        else:
            yield self


_CNOT = DecomposedGate("CNOT", (0, 1))
_BOTH_H = (DecomposedGate("H", (0,)), DecomposedGate("H", (1,)))
_HALVES = {axis: tuple(p for s in (0.5, -0.5) for p in (DecomposedGate(axis, (1,), s), _CNOT)) for axis in ("RY", "RZ")}

DECOMPOSITIONS: dict[str, tuple[DecomposedGate, ...]] = {
    "RZZ": (_CNOT, DecomposedGate("RZ", (1,), 1.0), _CNOT),
    "RXX": (*_BOTH_H, DecomposedGate("RZZ", (0, 1), 1.0), *_BOTH_H),
    "RYY": (
        *(DecomposedGate("RX", (wire,), constant=-math.pi / 2) for wire in (0, 1)),
        DecomposedGate("RZZ", (0, 1), 1.0),
        *(DecomposedGate("RX", (wire,), constant=math.pi / 2) for wire in (0, 1)),
    ),
    "CRX": (DecomposedGate("H", (1,)), DecomposedGate("CRZ", (0, 1), 1.0), DecomposedGate("H", (1,))),
    "CRY": _HALVES["RY"],
    "CRZ": _HALVES["RZ"],
}
"""Decompositions of two-wire rotations into one-wire rotations, H and CNOT."""
