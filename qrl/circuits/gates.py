"""Gates.

A rotation about a Pauli word P is exp(-i angle P / 2), as in PennyLane.
"""

import math
from dataclasses import dataclass

from qrl.circuits.angles import LARGEST_INDEX, TRANSFORMS, Angle, Expression, Input, Scale, Weight, variables
from qrl.common.errors import UsageError, suggest


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
        if not isinstance(self.angle, Weight | Input | Expression | float | int | None):
            raise UsageError(
                f"circuit: the angle of {self.name} must be a Weight, an Input, an Expression or a number, not "
                f"{self.angle!r}"
            )
        if len(self.wires) != kind.n_wires or len(set(self.wires)) != kind.n_wires:
            raise UsageError(f"circuit: {self.name} takes {kind.n_wires} distinct wire(s), not {self.wires}")
        if (self.angle is not None) != bool(kind.rotation):
            raise UsageError(f"circuit: {self.name} takes {'an angle' if kind.rotation else 'no angle'}")
        if isinstance(self.angle, Input) and self.angle.transform not in TRANSFORMS:
            raise UsageError(
                f"circuit: unknown transform {self.angle.transform!r}{suggest(self.angle.transform, TRANSFORMS)}"
            )
        if isinstance(self.angle, float | int) and not math.isfinite(self.angle):
            raise UsageError(f"circuit: {self.name}: the constant angle {self.angle} is not finite")
        for variable in self.variables:
            self._check_index(variable)

    @property
    def variables(self) -> tuple[Weight | Scale | Input, ...]:
        """Weights, scales and unscaled inputs that the angle depends on."""
        return () if self.angle is None else tuple(variables(self.angle))

    def _check_index(self, variable: Weight | Scale | Input) -> None:
        match variable:
            case Weight(index):
                kind = "weight"
            case Scale(index):
                kind = "scale"
            case Input(index):
                kind = "feature"
        if index < 0:
            raise UsageError(f"circuit: {self.name}: {kind} {index} is negative")
        if index > LARGEST_INDEX:
            raise UsageError(f"circuit: {self.name}: {kind} {index} is larger than {LARGEST_INDEX:,}")

    @property
    def is_parametric(self) -> bool:
        """True if the gate has an angle that is not constant."""
        return isinstance(self.angle, Weight | Input | Expression)

    @property
    def constant(self) -> float:
        """The angle [rad] of a rotation that is not parametric."""
        assert isinstance(self.angle, float | int)
        return float(self.angle)

    def __str__(self) -> str:
        angle = (
            "" if self.angle is None else f"({self.angle:.3g})" if isinstance(self.angle, float) else f"({self.angle})"
        )
        return f"{self.name}{angle}"
