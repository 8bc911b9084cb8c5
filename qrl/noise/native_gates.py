"""Decomposition of a circuit's gates into a device's native gates, each followed by the device's error.

Gates are decomposed one at a time, as by a compiler that never merges gates (Qiskit's optimisation level 0): a native
gate is executed unchanged, any other is decomposed into native gates. Unless the device specifies otherwise, RZ is a
virtual change of frame: it takes no time and has no error.
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
"""Tolerance for negative eigenvalues: channels come from files and from products of many numbers."""


def pauli_words(n_wires: int) -> list[str]:
    """Return Pauli words in the order of transfer matrices: II, IX, IY, IZ, XI, …

    The first letter acts on the first wire.
    """
    return ["".join(letters) for letters in product("IXYZ", repeat=n_wires)]


@dataclass(frozen=True)
class GateError:
    """Error of a device's gate: a channel on the gate's wires, right after the gate.

    Raises UsageError for an unknown gate, for invalid wires, and for a matrix that is not a channel's: of the wrong
    size, with a first row other than 1, 0, 0, … (not trace-preserving), or not completely positive.
    """

    gate: str
    """Qiskit's name of the gate, such as sx or cx."""
    wires: tuple[int, ...] | None
    """Wires in the gate's order, control first; None: any wires without a specific error."""
    transfer: tuple[tuple[float, ...], ...]
    """Pauli transfer matrix: entry [i, j] is tr(P_i E(P_j)) / 2^n, with the words P of `pauli_words`."""

    def __post_init__(self) -> None:
        if self.gate not in SUPPORTED_NATIVE:
            raise UsageError(f"calibration: unknown gate {self.gate!r}{suggest(self.gate, SUPPORTED_NATIVE)}")
        n = SUPPORTED_NATIVE[self.gate]
        where = f"calibration: error of {self.gate}{'' if self.wires is None else f' on wires {self.wires}'}"
        if self.wires is not None and (len(set(self.wires)) != n or len(self.wires) != n or min(self.wires) < 0):
            raise UsageError(f"{where}: the gate acts on {n} distinct wire(s)")
        if len(self.transfer) != 4**n or any(len(row) != 4**n for row in self.transfer):
            raise UsageError(f"{where}: expected a channel on {n} wire(s), a matrix of {4**n} x {4**n} numbers")
        if not np.isfinite(self.matrix).all():
            raise UsageError(f"{where}: entries must be finite")
        if self.matrix[0, 0] != 1 or self.matrix[0, 1:].any():
            raise UsageError(f"{where}: not a channel: it does not preserve the trace")
        paulis = np.stack([kron([PAULI.get(letter, I) for letter in word]) for word in pauli_words(n)])
        choi = np.einsum("ij,iab,jdc->acbd", self.matrix, paulis, paulis).reshape(4**n, 4**n) / 4**n
        if (lowest := np.linalg.eigvalsh(choi)[0]) < -_TOLERANCE:
            raise UsageError(f"{where}: not a channel: it has a negative probability, {lowest:.2g}")

    @property
    def n_wires(self) -> int:
        return SUPPORTED_NATIVE[self.gate]

    @cached_property
    def matrix(self) -> Array:
        """`transfer` as an array."""
        return np.array(self.transfer)


@dataclass(frozen=True)
class NoisyGate:
    """Gate as executed: its angle is multiplied by `angle_scale`, and `error` acts on its wires afterwards."""

    gate: Gate
    angle_scale: float = 1.0
    error: GateError | None = None


def _native(name: str, native: str) -> tuple[DecomposedGate, ...]:
    """Return the trivial decomposition: a native gate or, with native "", a virtual one."""
    return (DecomposedGate(name, (0,), 1.0 if GATES[name].rotation else None, native=native),)


def _constant_rotation(name: str, angle: float, wire: int = 0, native: str | None = None) -> DecomposedGate:
    return DecomposedGate(name, (wire,), constant=angle, native=native)


_QUARTER, _HALF = math.pi / 2, math.pi
_SX, _RZ = _constant_rotation("RX", _QUARTER, native="sx"), DecomposedGate("RZ", (0,), 1.0)
_RX = DecomposedGate("RX", (0,), 1.0, native="rx")

_ONE_WIRE: dict[str, dict[str, tuple[DecomposedGate, ...]]] = {
    "RZ": {native: _native("RZ", native) for native in ("rz", "u1", "p")}
    | {native: _native("RZ", "") for native in ("sx", "rx")}
    | {native: _native("RZ", native) for native in ("u", "u3")},
    "RX": {
        "rx": (_RX,),
        "sx": (
            _constant_rotation("RZ", _QUARTER),
            _SX,
            _RZ,
            _constant_rotation("RZ", _HALF),
            _SX,
            _constant_rotation("RZ", _QUARTER),
        ),
    }
    | {native: _native("RX", native) for native in ("u", "u3")},
    "RY": {
        "ry": _native("RY", "ry"),
        "sx": (_SX, _RZ, _constant_rotation("RZ", _HALF), _SX, _constant_rotation("RZ", _HALF)),
        "rx": (_constant_rotation("RZ", -_QUARTER), _RX, _constant_rotation("RZ", _QUARTER)),
    }
    | {native: _native("RY", native) for native in ("u", "u3")},
    "H": {"h": _native("H", "h"), "sx": (_constant_rotation("RZ", _QUARTER), _SX, _constant_rotation("RZ", _QUARTER))}
    | {
        "rx": (
            _constant_rotation("RZ", _QUARTER),
            _constant_rotation("RX", _QUARTER, native="rx"),
            _constant_rotation("RZ", _QUARTER),
        )
    }
    | {native: _native("H", native) for native in ("u2", "u", "u3")},
    "X": {
        "x": _native("X", "x"),
        "sx": (_constant_rotation("RZ", _HALF), _SX, _SX, _constant_rotation("RZ", _HALF)),
        "rx": (_constant_rotation("RX", _HALF, native="rx"),),
    }
    | {native: _native("X", native) for native in ("u", "u3")},
}
"""Decompositions of each one-wire gate, by the native gate required; the first available one is used. Up to a phase."""

_QUARTER_TURNS: dict[float, dict[str, tuple[DecomposedGate, ...]]] = {
    _QUARTER: {"sx": (_SX,)},
    -_QUARTER: {"sx": (_constant_rotation("RZ", _HALF), _SX, _constant_rotation("RZ", _HALF))},
}
"""Decompositions of RX by a constant quarter turn, which takes one sx instead of two."""

NATIVE_ENTANGLERS: dict[str, tuple[str, tuple[DecomposedGate, ...]]] = {
    "cx": ("CNOT", (DecomposedGate("CNOT", (0, 1), native="cx"),)),
    "cz": ("CZ", (DecomposedGate("CZ", (0, 1), native="cz"),)),
    # CNOT = X ECR RX(-pi/2) RZ(-pi/2), X and RZ on the control; ECR itself, in between, is written with a CNOT.
    "ecr": (
        "CNOT",
        (
            _constant_rotation("RZ", -_QUARTER),
            _constant_rotation("RX", -_QUARTER, 1),
            _constant_rotation("RZ", _QUARTER, native=""),
            _constant_rotation("RX", _QUARTER, 1, native=""),
            DecomposedGate("X", (0,), native=""),
            DecomposedGate("X", (1,), native=""),
            DecomposedGate("CNOT", (0, 1), native="ecr"),
            DecomposedGate("X", (0,)),
        ),
    ),
}
"""For each native entangling gate, the gate that it implements and the decomposition of that gate."""

SUPPORTED_NATIVE = (
    {native: 1 for ways in _ONE_WIRE.values() for native in ways}
    | {QASM_NAMES[name]: kind.n_wires for name, kind in GATES.items()}
    | dict.fromkeys(NATIVE_ENTANGLERS, 2)
)
"""Native gates that decompositions use, and their numbers of wires."""

_SYMMETRIC = ("CZ", "RXX", "RYY", "RZZ")


class NativeGateSet:
    """Native gates of a device and their errors.

    `source` is the device's name in messages; see `qrl.noise.calibration.Calibration`.
    """

    def __init__(
        self, source: str, basis: Sequence[str], coupled_only: Sequence[str], errors: Sequence[GateError]
    ) -> None:
        self.source, self.basis, self.coupled_only = source, basis, coupled_only
        self._errors = {(error.gate, error.wires): error for error in errors}
        self._listed = {error.gate: {wires for gate, wires in self._errors if gate == error.gate} for error in errors}

    def noisy_gates(self, gate: Gate) -> Iterator[NoisyGate]:
        """Yield the native gates that implement a gate.

        Raises UsageError if the device has no gates to implement it, or not on its wires.
        """
        yield from self._noisy_gates(ScaledGate(gate))

    def _noisy_gates(self, scaled: ScaledGate) -> Iterator[NoisyGate]:
        for each, entry in scaled.expand(self._decomposition(scaled.gate)):
            if entry.native is None:
                yield from self._noisy_gates(each)
            else:
                yield NoisyGate(each.gate, each.angle_scale, self._error(entry.native, each.gate.wires))

    def _error(self, native: str, wires: tuple[int, ...]) -> GateError | None:
        return self._errors.get((native, wires), self._errors.get((native, None)))

    def _decomposition(self, gate: Gate) -> Sequence[DecomposedGate]:
        if len(gate.wires) == 1:
            decompositions = _ONE_WIRE[gate.name]
            if gate.name == "RX" and isinstance(gate.angle, float):
                decompositions = decompositions | _QUARTER_TURNS.get(gate.angle, {})
            decomposition = next(
                (decomposition for native, decomposition in decompositions.items() if native in self.basis), None
            )
            if decomposition is None:
                raise self._not_implementable(gate, decompositions)
            return decomposition
        for wires in ((0, 1), (1, 0))[: 1 + (gate.name in _SYMMETRIC)]:
            if self._is_available(QASM_NAMES[gate.name], _on_positions(gate, wires)):
                angle_scale = 1.0 if GATES[gate.name].rotation else None
                return (DecomposedGate(gate.name, wires, angle_scale, native=QASM_NAMES[gate.name]),)
        if gate.name not in DECOMPOSITIONS:
            return self._entangled(gate)
        # Where CNOT is available in one direction only, a symmetric gate uses that direction.
        is_reversed = gate.name == "RZZ" and any(
            implemented == "CNOT"
            and self._is_available(native, _on_positions(gate, (1, 0)))
            and not self._is_available(native, gate.wires)
            for native, (implemented, _) in NATIVE_ENTANGLERS.items()
        )
        return (
            [_on_wires(entry, (1, 0)) for entry in DECOMPOSITIONS[gate.name]]
            if is_reversed
            else DECOMPOSITIONS[gate.name]
        )

    def _entangled(self, gate: Gate) -> Sequence[DecomposedGate]:
        """Decompose CZ or CNOT into a native entangling gate on these wires, in either direction.

        Pairs of H exchange control and target or convert between CZ and CNOT.
        """
        for native, wires in product(NATIVE_ENTANGLERS, ((0, 1), (1, 0))):
            if self._is_available(native, _on_positions(gate, wires)):
                implemented, decomposition = NATIVE_ENTANGLERS[native]
                hadamard_wires = {1} if gate.name == "CNOT" else set()
                hadamard_wires ^= {wires[1]} if implemented == "CNOT" else set()
                hadamards = [DecomposedGate("H", (wire,)) for wire in sorted(hadamard_wires)]
                return [*hadamards, *(_on_wires(entry, wires) for entry in decomposition), *hadamards]
        entanglers = [native for native in NATIVE_ENTANGLERS if native in self.basis]
        if not entanglers:
            raise self._not_implementable(gate, NATIVE_ENTANGLERS)
        pairs = {tuple(sorted(wires)) for native in entanglers for wires in self._listed.get(native, ()) if wires}
        raise UsageError(
            f"calibration: {gate.name} acts on wires {gate.wires[0]} and {gate.wires[1]}, which {self.source} does not "
            f"couple; coupled wires: {', '.join(f'{a}-{b}' for a, b in sorted(pairs)) or 'none'}. Choose other qubits "
            "(layout=...) or count swaps (uncoupled='swaps') when reading from Qiskit"
        )

    def _is_available(self, native: str, wires: tuple[int, ...]) -> bool:
        """Return whether a native gate is available on these wires."""
        return native in self.basis and (native not in self.coupled_only or wires in self._listed.get(native, ()))

    def _not_implementable(self, gate: Gate, alternatives: Iterable[str]) -> UsageError:
        needed = dict.fromkeys([QASM_NAMES[gate.name], *alternatives])
        return UsageError(
            f"calibration: {self.source} cannot implement {gate.name}: it needs one of {', '.join(needed)}; "
            f"the device's gates are {', '.join(self.basis)}"
        )


def _on_positions(gate: Gate, wires: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(gate.wires[position] for position in wires)


def _on_wires(entry: DecomposedGate, wires: tuple[int, ...]) -> DecomposedGate:
    """Map an entry of a decomposition to other wires of the whole gate."""
    return replace(entry, wires=tuple(wires[position] for position in entry.wires))
