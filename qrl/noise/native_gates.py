"""A circuit's gates in the gates of a device, each followed by the device's error.

Gate by gate, as a compiler does that looks at no two gates together (Qiskit's optimisation level 0): a gate that the
device has is scaled as it is, any other is made of those that it has. RZ, where the device does not say otherwise, is a
change of frame: it takes no time and has no error.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np

from qrl.circuits.decompositions import DECOMPOSITIONS, QASM_NAMES, DecomposedGate, ScaledGate
from qrl.circuits.gates import GATES, Gate
from qrl.circuits.matrices import PAULI, Array, I, kron
from qrl.common.errors import UsageError, suggest

_TOLERANCE = 1e-7
"""Of an eigenvalue that must not be negative: channels come from files and from products of many numbers."""


def pauli_words(n_wires: int) -> list[str]:
    """In the order of transfer matrices: II, IX, IY, IZ, XI, …; the first letter is of the first wire."""
    return ["".join(letters) for letters in product("IXYZ", repeat=n_wires)]


@dataclass(frozen=True)
class GateError:
    """What a device does besides a gate, right after it: a channel on the gate's wires.

    Raises UsageError for an unknown gate, for wires that cannot be, and for a matrix that is no channel's: of another
    size, with a first row other than 1, 0, 0, … (it would not preserve the trace), or not completely positive.
    """

    gate: str
    """As Qiskit calls it, such as sx or cx."""
    wires: tuple[int, ...] | None
    """In the order of the gate's, control first; None: any for which there is no error of their own."""
    transfer: tuple[tuple[float, ...], ...]
    """Pauli transfer matrix: entry [i, j] is tr(P_i E(P_j)) / 2^n, with the words P of `pauli_words`."""

    def __post_init__(self) -> None:
        if self.gate not in USED:
            raise UsageError(f"calibration: unknown gate {self.gate!r}{suggest(self.gate, USED)}")
        n = USED[self.gate]
        where = f"calibration: error of {self.gate}{'' if self.wires is None else f' on wires {self.wires}'}"
        if self.wires is not None and (len(set(self.wires)) != n or len(self.wires) != n or min(self.wires) < 0):
            raise UsageError(f"{where}: that gate is on {n} distinct wire(s)")
        if len(self.transfer) != 4**n or any(len(row) != 4**n for row in self.transfer):
            raise UsageError(f"{where}: expected a channel on {n} wire(s), a matrix of {4**n} x {4**n} numbers")
        if not np.isfinite(self.matrix).all():
            raise UsageError(f"{where}: its numbers must be finite")
        if self.matrix[0, 0] != 1 or self.matrix[0, 1:].any():
            raise UsageError(f"{where}: no channel: it does not preserve the trace")
        paulis = np.stack([kron([PAULI.get(letter, I) for letter in word]) for word in pauli_words(n)])
        choi = np.einsum("ij,iab,jdc->acbd", self.matrix, paulis, paulis).reshape(4**n, 4**n) / 4**n
        if (lowest := np.linalg.eigvalsh(choi)[0]) < -_TOLERANCE:
            raise UsageError(f"{where}: no channel: it gives a negative probability, {lowest:.2g}")

    @property
    def n_wires(self) -> int:
        return USED[self.gate]

    @cached_property
    def matrix(self) -> Array:
        """`transfer` as an array."""
        return np.array(self.transfer)


@dataclass(frozen=True)
class NoisyGate:
    """A gate as it is scaled, its angle `angle_scale` times what it says, and the error on its wires after it."""

    gate: Gate
    angle_scale: float = 1.0
    error: GateError | None = None


def _own(name: str, native: str) -> tuple[DecomposedGate, ...]:
    """The gate itself, which is a native one or, with "", no physical one at all."""
    return (DecomposedGate(name, (0,), 1.0 if GATES[name].rotation else None, native=native),)


def _constant(name: str, angle: float, place: int = 0, native: str | None = None) -> DecomposedGate:
    return DecomposedGate(name, (place,), constant=angle, native=native)


_QUARTER, _HALF = math.pi / 2, math.pi
_SX, _RZ = _constant("RX", _QUARTER, native="sx"), DecomposedGate("RZ", (0,), 1.0)
_RX = DecomposedGate("RX", (0,), 1.0, native="rx")

_ONE_WIRE: dict[str, dict[str, tuple[DecomposedGate, ...]]] = {
    "RZ": {native: _own("RZ", native) for native in ("rz", "u1", "p")}
    | {native: _own("RZ", "") for native in ("sx", "rx")}
    | {native: _own("RZ", native) for native in ("u", "u3")},
    "RX": {
        "rx": (_RX,),
        "sx": (
            _constant("RZ", _QUARTER),
            _SX,
            _RZ,
            _constant("RZ", _HALF),
            _SX,
            _constant("RZ", _QUARTER),
        ),
    }
    | {native: _own("RX", native) for native in ("u", "u3")},
    "RY": {
        "ry": _own("RY", "ry"),
        "sx": (_SX, _RZ, _constant("RZ", _HALF), _SX, _constant("RZ", _HALF)),
        "rx": (_constant("RZ", -_QUARTER), _RX, _constant("RZ", _QUARTER)),
    }
    | {native: _own("RY", native) for native in ("u", "u3")},
    "H": {"h": _own("H", "h"), "sx": (_constant("RZ", _QUARTER), _SX, _constant("RZ", _QUARTER))}
    | {
        "rx": (
            _constant("RZ", _QUARTER),
            _constant("RX", _QUARTER, native="rx"),
            _constant("RZ", _QUARTER),
        )
    }
    | {native: _own("H", native) for native in ("u2", "u", "u3")},
    "X": {
        "x": _own("X", "x"),
        "sx": (_constant("RZ", _HALF), _SX, _SX, _constant("RZ", _HALF)),
        "rx": (_constant("RX", _HALF, native="rx"),),
    }
    | {native: _own("X", native) for native in ("u", "u3")},
}
"""Of each gate on one wire, what it is made of where the device has a gate, the first that it has. Up to a phase."""

_QUARTERS: dict[float, dict[str, tuple[DecomposedGate, ...]]] = {
    _QUARTER: {"sx": (_SX,)},
    -_QUARTER: {"sx": (_constant("RZ", _HALF), _SX, _constant("RZ", _HALF))},
}
"""The same for RX by a constant quarter turn, which takes one sx and not two."""

NATIVE_ENTANGLERS: dict[str, tuple[str, tuple[DecomposedGate, ...]]] = {
    "cx": ("CNOT", (DecomposedGate("CNOT", (0, 1), native="cx"),)),
    "cz": ("CZ", (DecomposedGate("CZ", (0, 1), native="cz"),)),
    # CNOT = X ECR RX(-pi/2) RZ(-pi/2), X and RZ on the control; between these, ECR itself, written with a CNOT.
    "ecr": (
        "CNOT",
        (
            _constant("RZ", -_QUARTER),
            _constant("RX", -_QUARTER, 1),
            _constant("RZ", _QUARTER, native=""),
            _constant("RX", _QUARTER, 1, native=""),
            DecomposedGate("X", (0,), native=""),
            DecomposedGate("X", (1,), native=""),
            DecomposedGate("CNOT", (0, 1), native="ecr"),
            DecomposedGate("X", (0,)),
        ),
    ),
}
"""Of each native gate that entangles, what can be made of it, and how."""

USED = (
    {native: 1 for ways in _ONE_WIRE.values() for native in ways}
    | {QASM_NAMES[name]: kind.n_wires for name, kind in GATES.items()}
    | dict.fromkeys(NATIVE_ENTANGLERS, 2)
)
"""Gates of devices that circuits can be made of, and their numbers of wires."""

_SYMMETRIC = ("CZ", "RXX", "RYY", "RZZ")


class Native:
    """What a device can do, and how well; `source` is its name in messages, see `qrl.noise.calibration.Calibration`."""

    def __init__(
        self, source: str, basis: Sequence[str], coupled_only: Sequence[str], errors: Sequence[GateError]
    ) -> None:
        self.source, self.basis, self.coupled_only = source, basis, coupled_only
        self._errors = {(error.gate, error.wires): error for error in errors}
        self._listed = {error.gate: {wires for gate, wires in self._errors if gate == error.gate} for error in errors}

    def noisy_gates(self, gate: Gate) -> Iterator[NoisyGate]:
        """What is scaled for a gate. Raises UsageError if the device has nothing to make it of, or not on its wires."""
        yield from self._noisy_gates(ScaledGate(gate))

    def _noisy_gates(self, scaled: ScaledGate) -> Iterator[NoisyGate]:
        for each, part in scaled.parts(self._made_of(scaled.gate)):
            if part.native is None:
                yield from self._noisy_gates(each)
            else:
                yield NoisyGate(each.gate, each.angle_scale, self._error(part.native, each.gate.wires))

    def _error(self, native: str, wires: tuple[int, ...]) -> GateError | None:
        return self._errors.get((native, wires), self._errors.get((native, None)))

    def _made_of(self, gate: Gate) -> Sequence[DecomposedGate]:
        if len(gate.wires) == 1:
            ways = _ONE_WIRE[gate.name]
            if gate.name == "RX" and isinstance(gate.angle, float):
                ways = ways | _QUARTERS.get(gate.angle, {})
            parts = next((parts for native, parts in ways.items() if native in self.basis), None)
            if parts is None:
                raise self._cannot_make(gate, ways)
            return parts
        for wires in ((0, 1), (1, 0))[: 1 + (gate.name in _SYMMETRIC)]:
            if self._has(QASM_NAMES[gate.name], _at(gate, wires)):
                angle_scale = 1.0 if GATES[gate.name].rotation else None
                return (DecomposedGate(gate.name, wires, angle_scale, native=QASM_NAMES[gate.name]),)
        if gate.name not in DECOMPOSITIONS:
            return self._entangled(gate)
        # Where CNOTs go one way only, a gate that is the same both ways is made of those.
        turned = gate.name == "RZZ" and any(
            made == "CNOT" and self._has(native, _at(gate, (1, 0))) and not self._has(native, gate.wires)
            for native, (made, _) in NATIVE_ENTANGLERS.items()
        )
        return [_on_wires(part, (1, 0)) for part in DECOMPOSITIONS[gate.name]] if turned else DECOMPOSITIONS[gate.name]

    def _entangled(self, gate: Gate) -> Sequence[DecomposedGate]:
        """CZ or CNOT: the native gate on these wires, whichever way round, with H where it turns another wire."""
        for native, wires in product(NATIVE_ENTANGLERS, ((0, 1), (1, 0))):
            if self._has(native, _at(gate, wires)):
                made, parts = NATIVE_ENTANGLERS[native]
                turned = {1} if gate.name == "CNOT" else set()
                turned ^= {wires[1]} if made == "CNOT" else set()
                around = [DecomposedGate("H", (place,)) for place in sorted(turned)]
                return [*around, *(_on_wires(part, wires) for part in parts), *around]
        there = [native for native in NATIVE_ENTANGLERS if native in self.basis]
        if not there:
            raise self._cannot_make(gate, NATIVE_ENTANGLERS)
        pairs = {tuple(sorted(wires)) for native in there for wires in self._listed.get(native, ()) if wires}
        raise UsageError(
            f"calibration: {self.source} does not couple wires {gate.wires[0]} and {gate.wires[1]}, which {gate.name} "
            f"acts on; it couples {', '.join(f'{a}-{b}' for a, b in sorted(pairs)) or 'none'}. Put the wires on other "
            "qubits (layout=...) or count swaps (uncoupled='swaps') where it is read from Qiskit"
        )

    def _has(self, native: str, wires: tuple[int, ...]) -> bool:
        """Whether it can be scaled there."""
        return native in self.basis and (native not in self.coupled_only or wires in self._listed.get(native, ()))

    def _cannot_make(self, gate: Gate, ways: Iterable[str]) -> UsageError:
        needed = dict.fromkeys([QASM_NAMES[gate.name], *ways])
        return UsageError(
            f"calibration: {self.source} has nothing to make {gate.name} of: that takes one of {', '.join(needed)}; "
            f"its gates are {', '.join(self.basis)}"
        )


def _at(gate: Gate, wires: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(gate.wires[place] for place in wires)


def _on_wires(part: DecomposedGate, wires: tuple[int, ...]) -> DecomposedGate:
    """The part on other wires of the whole gate."""
    return replace(part, wires=tuple(wires[place] for place in part.wires))
