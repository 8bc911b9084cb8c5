"""Gates and their angles.

A rotation about a Pauli word P is exp(-i angle P / 2), as in PennyLane.
"""

import math
from dataclasses import dataclass
from typing import Literal

from qrl.common.errors import UsageError, suggest

Transform = Literal["identity", "tanh", "arctan"]

LARGEST_INDEX = 2**31 - 2
"""Largest index of a weight, scale or feature, a count of which still has 32 bits."""

TRANSFORMS: tuple[Transform, ...] = ("identity", "tanh", "arctan")


@dataclass(frozen=True)
class GateKind:
    """Kind of a gate: its number of wires and, if it has an angle, its rotation."""

    n_wires: int
    rotation: str = ""
    """Pauli word of the generator, on the target wire if `controlled`; empty if the gate has no angle."""
    controlled: bool = False


GATES: dict[str, GateKind] = {
    "RX": GateKind(1, "X"),
    "RY": GateKind(1, "Y"),
    "RZ": GateKind(1, "Z"),
    "H": GateKind(1),
    "X": GateKind(1),
    "CZ": GateKind(2),
    "CNOT": GateKind(2),
    "CRX": GateKind(2, "X", controlled=True),
    "CRY": GateKind(2, "Y", controlled=True),
    "CRZ": GateKind(2, "Z", controlled=True),
    "RXX": GateKind(2, "XX"),
    "RYY": GateKind(2, "YY"),
    "RZZ": GateKind(2, "ZZ"),
}


@dataclass(frozen=True)
class Weight:
    """Angle = weights[index] [rad]."""

    index: int

    def __str__(self) -> str:
        return f"w{self.index}"


@dataclass(frozen=True)
class Input:
    """Angle = g(scales[scale] * inputs[feature]) [rad]; `scale=None` uses the unscaled input.

    g is `transform`: identity (the angle is unbounded, the circuit a Fourier series in the input: Schuld, Sweke and
    Meyer 2021), tanh or arctan (bounded angles: Skolik et al. 2022).
    """

    feature: int
    scale: int | None = None
    transform: Transform = "identity"

    def __str__(self) -> str:
        text = f"x{self.feature}" if self.scale is None else f"s{self.scale}*x{self.feature}"
        return text if self.transform == "identity" else f"{self.transform}({text})"


Angle = Weight | Input | float


@dataclass(frozen=True)
class Gate:
    """One gate: a name of `GATES`, the wires it acts on (control first) and, for rotations, its angle.

    Raises UsageError for an unknown name, a wrong number of wires, or an angle that is missing, superfluous or not
    finite.
    """

    name: str
    wires: tuple[int, ...]
    angle: Angle | None = None

    def __post_init__(self) -> None:
        if self.name not in GATES:
            raise UsageError(f"circuit: unknown gate {self.name!r}{suggest(self.name, GATES)}")
        kind = GATES[self.name]
        if not (isinstance(self.wires, tuple) and all(isinstance(wire, int) for wire in self.wires)):
            raise UsageError(f"circuit: the wires of {self.name} must be a tuple of integers, not {self.wires!r}")
        if not isinstance(self.angle, Weight | Input | float | int | None):
            raise UsageError(
                f"circuit: the angle of {self.name} must be a Weight, an Input or a number, not {self.angle!r}"
            )
        if len(self.wires) != kind.n_wires or len(set(self.wires)) != kind.n_wires:
            raise UsageError(f"circuit: {self.name} takes {kind.n_wires} distinct wire(s), not {self.wires}")
        if (self.angle is not None) != bool(kind.rotation):
            raise UsageError(f"circuit: {self.name} takes {'an angle' if kind.rotation else 'no angle'}")
        match self.angle:
            case Weight(index):
                self._check_index("weight", index)
            case Input(feature, scale, transform):
                self._check_index("feature", feature)
                self._check_index("scale", 0 if scale is None else scale)
                if transform not in TRANSFORMS:
                    raise UsageError(f"circuit: unknown transform {transform!r}{suggest(transform, TRANSFORMS)}")
            case float() | int() if not math.isfinite(self.angle):
                raise UsageError(f"circuit: {self.name}: the constant angle {self.angle} is not finite")

    def _check_index(self, what: str, index: int) -> None:
        if index < 0:
            raise UsageError(f"circuit: {self.name}: {what} {index} is negative")
        if index > LARGEST_INDEX:
            raise UsageError(f"circuit: {self.name}: {what} {index} is larger than {LARGEST_INDEX:,}")

    @property
    def is_parametric(self) -> bool:
        """True if the gate has an angle that is not constant."""
        return isinstance(self.angle, Weight | Input)

    def __str__(self) -> str:
        angle = (
            "" if self.angle is None else f"({self.angle:.3g})" if isinstance(self.angle, float) else f"({self.angle})"
        )
        return f"{self.name}{angle}"
