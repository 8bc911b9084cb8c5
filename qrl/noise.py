"""Noise: what happens to a circuit on a device that is not perfect, as quantum channels.

Conventions are PennyLane's (`qml.DepolarizingChannel`, `qml.AmplitudeDamping`, `qml.PhaseDamping`, `qml.BitFlip`);
Kraus operators K_k take a density matrix rho to the sum of K_k rho K_k^+.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from qrl.circuit import Circuit, Gate
from qrl.errors import UsageError, suggest

After = Literal["gate", "layer"]

Kraus = list[np.ndarray]
"""Operators of a channel on one wire, each [2, 2]."""


@dataclass(frozen=True)
class Noise:
    """Strengths of the channels that act on each wire of a gate after it, in this order, and of errors of readout.

    `after="layer"`: they act on every wire, also on those that wait, after each layer of gates that act at once
    (`Circuit.moments`). Raises UsageError for a strength out of its range (`STRENGTHS`) and another `after`.
    """

    depolarizing: float = 0.0
    """Probability of an X, a Y or a Z, each as likely; 3/4 leaves nothing of the state."""
    amplitude_damping: float = 0.0
    """Probability that |1> decays to |0>."""
    phase_damping: float = 0.0
    """Probability that the phase between |0> and |1> is lost."""
    bit_flip: float = 0.0
    """Probability of an X."""
    readout: float = 0.0
    """Probability that a wire's outcome is read as the other one; at most 1/2."""
    after: After = "gate"

    def __post_init__(self) -> None:
        for name, largest in STRENGTHS.items():
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value <= largest):
                raise UsageError(f"noise: {name} must be a number in 0 to {largest}, not {value!r}")
        if self.after not in get_args(After):
            raise UsageError(f"noise: after must be gate or layer, not {self.after!r}")

    @classmethod
    def parse(cls, items: Iterable[str]) -> "Noise":
        """From words like "depolarizing=0.01" and "after=layer". Raises UsageError for anything else."""
        found: dict[str, float | str] = {}
        known = [*STRENGTHS, "after"]
        for item in items:
            name, separator, value = item.partition("=")
            if not separator:
                raise UsageError(f"noise: expected NAME=STRENGTH, such as depolarizing=0.01, not {item!r}")
            if name not in known:
                raise UsageError(f"noise: unknown name {name!r}{suggest(name, known)}")
            if name in found:
                raise UsageError(f"noise: {name} is given twice")
            try:
                found[name] = value if name == "after" else float(value)
            except ValueError:
                raise UsageError(f"noise: {name} must be a number in 0 to {STRENGTHS[name]}, not {value!r}") from None
        return cls(**found)  # type: ignore[arg-type]

    def channels(self) -> dict[str, Kraus]:
        """Those of positive strength, by name, in order."""
        return {name: kraus(getattr(self, name)) for name, kraus in _CHANNELS.items() if getattr(self, name)}

    def places(self, circuit: Circuit) -> Iterator[tuple[Sequence[Gate], Sequence[int]]]:
        """The circuit's gates in turn, and the wires on which the channels act after these."""
        if self.after == "layer":
            yield from ((moment, range(circuit.n_wires)) for moment in circuit.moments)
        else:
            yield from (((gate,), gate.wires) for gate in circuit.gates)

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in STRENGTHS)


STRENGTHS = {"depolarizing": 1, "amplitude_damping": 1, "phase_damping": 1, "bit_flip": 1, "readout": 0.5}
"""The largest of each kind of noise. Of misreading: more would be another name for the outcome."""


NOISELESS = Noise()

_I, _X, _Z = np.eye(2), np.array([[0.0, 1.0], [1.0, 0.0]]), np.diag([1.0, -1.0])
_Y = 1j * _X @ _Z


def _depolarizing(p: float) -> Kraus:
    return [math.sqrt(1 - p) * _I, *(math.sqrt(p / 3) * pauli for pauli in (_X, _Y, _Z))]


def _amplitude_damping(p: float) -> Kraus:
    return [np.diag([1, math.sqrt(1 - p)]), np.array([[0, math.sqrt(p)], [0, 0]])]


def _phase_damping(p: float) -> Kraus:
    return [np.diag([1, math.sqrt(1 - p)]), np.diag([0, math.sqrt(p)])]


def _bit_flip(p: float) -> Kraus:
    return [math.sqrt(1 - p) * _I, math.sqrt(p) * _X]


_CHANNELS = {
    "depolarizing": _depolarizing,
    "amplitude_damping": _amplitude_damping,
    "phase_damping": _phase_damping,
    "bit_flip": _bit_flip,
}
