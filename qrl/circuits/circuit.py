"""Circuit: the frozen description of a variational quantum circuit (VQC).

A circuit is data: gates in order, each angle a trainable weight, a scaled input or a constant, then observables. It
computes nothing. `qrl.simulator.program` runs it in torch, `qrl.backends.pennylane` on any PennyLane device; both take
this object.

Conventions are PennyLane's: wire 0 is the most significant bit, a rotation about a Pauli word P is exp(-i angle P / 2),
and the register starts in |0...0>.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from qrl.common.errors import UsageError, suggest

Transform = Literal["identity", "tanh", "arctan"]
Pauli = Literal["X", "Y", "Z"]

TRANSFORMS: tuple[Transform, ...] = ("identity", "tanh", "arctan")


@dataclass(frozen=True)
class GateKind:
    """What a gate's name means: its number of wires, and the rotation it makes if it has an angle."""

    n_wires: int
    rotation: str = ""
    """Pauli word of the generator; with `controlled`, that of the target wire. Empty: the gate has no angle."""
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
    """Angle = g(scales[scale] * inputs[feature]) [rad]; `scale=None` takes the input as it is.

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
        if len(self.wires) != kind.n_wires or len(set(self.wires)) != kind.n_wires:
            raise UsageError(f"circuit: {self.name} takes {kind.n_wires} distinct wire(s), not {self.wires}")
        if (self.angle is not None) != bool(kind.rotation):
            raise UsageError(f"circuit: {self.name} takes {'an angle' if kind.rotation else 'no angle'}")
        match self.angle:
            case Weight(index) if index < 0:
                raise UsageError(f"circuit: {self.name}: weight index {index} is negative")
            case Input(feature, scale, transform):
                if feature < 0 or (scale is not None and scale < 0):
                    raise UsageError(f"circuit: {self.name}: feature {feature} or scale {scale} is negative")
                if transform not in TRANSFORMS:
                    raise UsageError(f"circuit: unknown transform {transform!r}{suggest(transform, TRANSFORMS)}")
            case float() | int() if not math.isfinite(self.angle):
                raise UsageError(f"circuit: {self.name}: the constant angle {self.angle} is not finite")

    def __str__(self) -> str:
        angle = (
            "" if self.angle is None else f"({self.angle:.3g})" if isinstance(self.angle, float) else f"({self.angle})"
        )
        return f"{self.name}{angle}"


@dataclass(frozen=True)
class PauliWord:
    """A coefficient times a product of Pauli operators on distinct wires; no factor at all is the identity."""

    factors: tuple[tuple[int, Pauli], ...]
    coefficient: float = 1.0

    def __post_init__(self) -> None:
        wires = [wire for wire, _ in self.factors]
        if len(set(wires)) != len(wires):
            raise UsageError(f"circuit: a Pauli word names wire(s) twice: {self}")
        if not math.isfinite(self.coefficient):
            raise UsageError(f"circuit: the coefficient {self.coefficient} of a Pauli word is not finite")

    @classmethod
    def parse(cls, text: str, coefficient: float = 1.0) -> "PauliWord":
        """Read "Z0 X2" (Z on wire 0 times X on wire 2). Raises UsageError for anything else."""
        factors: list[tuple[int, Pauli]] = []
        for token in text.split():
            letter, wire = token[0], token[1:]
            if letter not in ("X", "Y", "Z") or not wire.isdecimal():
                raise UsageError(f"circuit: cannot read {token!r} in the Pauli word {text!r}; write words like 'Z0 X2'")
            factors.append((int(wire), letter))  # type: ignore[arg-type]
        return cls(tuple(sorted(factors)), coefficient)

    def __str__(self) -> str:
        word = " ".join(f"{pauli}{wire}" for wire, pauli in self.factors) or "I"
        return word if self.coefficient == 1.0 else f"{self.coefficient:g}*{word}"


@dataclass(frozen=True)
class Observable:
    """A weighted sum of Pauli words, measured as one expectation value in [-sum|c|, sum|c|]."""

    words: tuple[PauliWord, ...]

    @classmethod
    def of(cls, *words: str | tuple[float, str]) -> "Observable":
        """`Observable.of("Z0 Z1")` or `Observable.of((0.5, "Z0"), (0.5, "X1"))`."""
        return cls(tuple(PauliWord.parse(w) if isinstance(w, str) else PauliWord.parse(w[1], w[0]) for w in words))

    def __str__(self) -> str:
        return " + ".join(str(word) for word in self.words) or "0"


@dataclass(frozen=True)
class Circuit:
    """Gates on `n_wires` wires, then the expectation values of `observables`.

    Weights, scales and input features are numbered from 0; their counts are derived from the largest index used.

    Raises UsageError for no wires, no observables, or a gate or an observable on a wire that does not exist.
    """

    n_wires: int
    gates: tuple[Gate, ...]
    observables: tuple[Observable, ...]

    def __post_init__(self) -> None:
        if self.n_wires < 1:
            raise UsageError(f"circuit: n_wires must be at least 1, not {self.n_wires}")
        if not self.observables:
            raise UsageError("circuit: at least one observable is needed")
        wires = range(self.n_wires)
        for gate in self.gates:
            if not all(wire in wires for wire in gate.wires):
                raise UsageError(f"circuit: {gate} acts on wires {gate.wires}; there are wires 0 to {self.n_wires - 1}")
        for observable in self.observables:
            for word in observable.words:
                if not all(wire in wires for wire, _ in word.factors):
                    raise UsageError(
                        f"circuit: observable {observable} is on a missing wire; "
                        f"there are wires 0 to {self.n_wires - 1}"
                    )

    @classmethod
    def from_pennylane(
        cls, function: Callable[..., Any], *, n_inputs: int, n_weights: int, n_scales: int = 0
    ) -> "Circuit":
        """Read a PennyLane circuit: a function of (inputs, weights), or (inputs, weights, scales), for one sample.

        The arguments are vectors [input], [weight] and [scale]; the function applies operations and returns expectation
        values of Pauli operators, one or several. Angles are weights, inputs, scales times inputs, tanh or arctan of
        one of these two, or constants. Operations are decomposed into the gates there are, but for global phases.

        Raises UsageError, by name, for what cannot be read.
        """
        from qrl.backends.reading import read  # PennyLane takes over a second to import

        return read(function, n_inputs, n_weights, n_scales)

    @cached_property
    def n_weights(self) -> int:
        return 1 + max((g.angle.index for g in self.gates if isinstance(g.angle, Weight)), default=-1)

    @cached_property
    def n_scales(self) -> int:
        scales = (g.angle.scale for g in self.gates if isinstance(g.angle, Input) and g.angle.scale is not None)
        return 1 + max(scales, default=-1)

    @cached_property
    def n_inputs(self) -> int:
        return 1 + max((g.angle.feature for g in self.gates if isinstance(g.angle, Input)), default=-1)

    @property
    def n_observables(self) -> int:
        return len(self.observables)

    @cached_property
    def moments(self) -> tuple[tuple[Gate, ...], ...]:
        """Gates grouped into columns that act at once, each gate as early as its wires are free."""
        free = [0] * self.n_wires
        columns: list[list[Gate]] = []
        for gate in self.gates:
            column = max(free[wire] for wire in gate.wires)
            if column == len(columns):
                columns.append([])
            columns[column].append(gate)
            for wire in gate.wires:
                free[wire] = column + 1
        return tuple(tuple(column) for column in columns)

    def at(self, angles: Sequence[Angle]) -> "Circuit":
        """The same circuit with these angles, such as numbers [rad], in place of its weights and inputs, gate by gate.

        Raises UsageError for another number of angles than there are.
        """
        values, n_free = iter(angles), sum(isinstance(gate.angle, Weight | Input) for gate in self.gates)
        if len(angles) != n_free:
            raise UsageError(f"circuit: {n_free} angles are not constant, {len(angles)} were given")
        gates = (
            replace(gate, angle=next(values)) if isinstance(gate.angle, Weight | Input) else gate for gate in self.gates
        )
        return Circuit(self.n_wires, tuple(gates), self.observables)

    def specs(self) -> dict[str, int | dict[str, int]]:
        """Counts that describe the circuit's size: wires, trainable numbers, gates by name, two-wire gates, depth."""
        return {
            "n_wires": self.n_wires,
            "n_inputs": self.n_inputs,
            "n_weights": self.n_weights,
            "n_scales": self.n_scales,
            "n_observables": self.n_observables,
            "n_gates": len(self.gates),
            "n_two_wire_gates": sum(len(gate.wires) == 2 for gate in self.gates),
            "depth": len(self.moments),
            "gates": dict(Counter(gate.name for gate in self.gates)),
        }

    def draw(self) -> str:
        """The circuit as text, one line a wire, one column a moment, the observables below."""
        lines = [f"{wire}: " for wire in range(self.n_wires)]
        width = max(map(len, lines))
        lines = [line.rjust(width) for line in lines]
        for moment in self.moments:
            # Two-wire gates of one moment may cross each other's wires: each gets a column of its own.
            single = [gate for gate in moment if len(gate.wires) == 1]
            for column in [*([single] if single else []), *([gate] for gate in moment if len(gate.wires) == 2)]:
                cells = _cells(column, self.n_wires)
                width = max(map(len, cells))
                lines = [line + "-" + cell.center(width, "-") + "-" for line, cell in zip(lines, cells, strict=True)]
        return "\n".join([*lines, *(f"<{observable}>" for observable in self.observables)])


def _cells(gates: list[Gate], n_wires: int) -> list[str]:
    """The text of one column, wire by wire: labels, controls as *, and | on the wires that a gate passes."""
    cells = ["-"] * n_wires
    for gate in gates:
        if len(gate.wires) == 2:
            low, high = sorted(gate.wires)
            cells[low + 1 : high] = ["|"] * (high - low - 1)
            first, target = gate.wires
            symmetric = gate.name == "CZ"
            cells[first] = "*" if symmetric or gate.name.startswith("C") else str(gate)
            cells[target] = (
                "*" if symmetric else str(gate).removeprefix("C") if gate.name.startswith("C") else str(gate)
            )
            if gate.name == "CNOT":
                cells[target] = "X"
        else:
            cells[gate.wires[0]] = str(gate)
    return cells
