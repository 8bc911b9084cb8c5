"""Gates in terms of others: what a gate is made of where there are only simpler ones."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from qrl.circuits.gates import GATES, Gate, Input, Weight

NAMES = {"H": "h", "X": "x", "CZ": "cz", "CNOT": "cx"} | {name: name.lower() for name, k in GATES.items() if k.rotation}
"""What OpenQASM and Qiskit call a gate."""


@dataclass(frozen=True)
class Part:
    """One gate of those that another one is made of."""

    name: str
    places: tuple[int, ...]
    """Which of the whole gate's wires it acts on."""
    share: float | None = None
    """Its angle as a share of the whole gate's angle."""
    constant: float | None = None
    """Its angle [rad], if it is the same whatever the whole gate's."""
    native: str | None = None
    """The gate of a device that this is and whose error follows it, "" for none; None: it is made of others in turn."""


@dataclass(frozen=True)
class Played:
    """A gate whose angle is `share` times what it says."""

    gate: Gate
    share: float = 1.0

    def parts(self, parts: Sequence[Part]) -> Iterator[tuple["Played", Part]]:
        """What it is made of, in order, each beside the part that says so."""
        for part in parts:
            wires, angle = tuple(self.gate.wires[place] for place in part.places), self.gate.angle
            if part.share is None:
                yield Played(Gate(part.name, wires, part.constant)), part
            elif isinstance(angle, Weight | Input):
                yield Played(Gate(part.name, wires, angle), self.share * part.share), part
            else:
                yield Played(Gate(part.name, wires, self.share * part.share * float(angle or 0.0))), part

    def apart(self, names: Collection[str]) -> Iterator["Played"]:
        """What it is made of once all gates of these names are taken apart (`PARTS`), in order; or it alone."""
        if self.gate.name in names:
            for each, _ in self.parts(PARTS[self.gate.name]):
                yield from each.apart(names)
        else:
            yield self


_CNOT = Part("CNOT", (0, 1))
_BOTH_H = (Part("H", (0,)), Part("H", (1,)))
_HALVES = {axis: tuple(p for s in (0.5, -0.5) for p in (Part(axis, (1,), s), _CNOT)) for axis in ("RY", "RZ")}

PARTS: dict[str, tuple[Part, ...]] = {
    "RZZ": (_CNOT, Part("RZ", (1,), 1.0), _CNOT),
    "RXX": (*_BOTH_H, Part("RZZ", (0, 1), 1.0), *_BOTH_H),
    "RYY": (
        *(Part("RX", (wire,), constant=-math.pi / 2) for wire in (0, 1)),
        Part("RZZ", (0, 1), 1.0),
        *(Part("RX", (wire,), constant=math.pi / 2) for wire in (0, 1)),
    ),
    "CRX": (Part("H", (1,)), Part("CRZ", (0, 1), 1.0), Part("H", (1,))),
    "CRY": _HALVES["RY"],
    "CRZ": _HALVES["RZ"],
}
"""Two-wire rotations, in rotations of one wire, H and CNOT."""
