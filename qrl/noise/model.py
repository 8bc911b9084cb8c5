"""Noise models of imperfect devices as quantum channels.

A `Noise` is a device calibration (`qrl.noise.calibration`), a few channel strengths, or both; the calibration acts
first.

Conventions are PennyLane's (`qml.DepolarizingChannel`, `qml.AmplitudeDamping`, `qml.PhaseDamping`, `qml.BitFlip`);
Kraus operators K_k take a density matrix rho to the sum of K_k rho K_k^+.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.matrices import PAULI, I, X
from qrl.common.errors import UsageError, suggest
from qrl.noise.calibration import Calibration
from qrl.noise.native_gates import NoisyGate

After = Literal["gate", "layer"]

Kraus = list[np.ndarray]
"""Kraus operators of a channel on one wire, each [2, 2]."""


@dataclass(frozen=True)
class Noise:
    """Strengths of the channels that act on each wire of a gate after the gate, in this order, and of other errors.

    With `after="layer"` the channels act on every wire, including idle wires, after each layer of simultaneous gates
    (`Circuit.moments`). Raises UsageError for a strength out of range (`STRENGTHS`) and for an unknown `after`.
    """

    depolarizing: float = 0.0
    """Probability of an X, a Y or a Z error, each equally likely; 3/4 destroys the state completely."""
    amplitude_damping: float = 0.0
    """Probability that |1> decays to |0>."""
    phase_damping: float = 0.0
    """Probability that the phase between |0> and |1> is lost."""
    bit_flip: float = 0.0
    """Probability of an X error."""
    readout: float = 0.0
    """Probability that a wire's outcome is flipped at readout; at most 1/2."""
    storage: float = 0.0
    """Probability that the stored quantum memory is replaced by the maximally mixed state between two registers; for
    models on registers of qubits only."""
    after: After = "gate"
    calibration: Calibration | None = None
    """Device calibration with gate and readout errors that act before all of the above; written as calibration=FILE."""

    def __post_init__(self) -> None:
        for name, largest in STRENGTHS.items():
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value <= largest):
                raise UsageError(f"noise: {name} must be a number in 0 to {largest}, not {value!r}")
        if self.after not in get_args(After):
            raise UsageError(f"noise: after must be gate or layer, not {self.after!r}")

    @classmethod
    def parse(cls, items: Iterable[str]) -> "Noise":
        """Parse items such as "depolarizing=0.01" and "after=layer". Raises UsageError for anything else."""
        found: dict[str, float | str | Calibration] = {}
        known = [*STRENGTHS, "after", "calibration"]
        for item in items:
            name, separator, value = item.partition("=")
            if not separator:
                raise UsageError(f"noise: expected NAME=STRENGTH, such as depolarizing=0.01, not {item[:60]!r}")
            if name not in known:
                raise UsageError(f"noise: unknown name {name!r}{suggest(name, known)}")
            if name in found:
                raise UsageError(f"noise: {name} is given twice")
            try:
                found[name] = _PARSERS.get(name, float)(value)
            except UsageError:
                raise
            except ValueError:
                raise UsageError(f"noise: {name} must be a number in 0 to {STRENGTHS[name]}, not {value!r}") from None
        return cls(**found)  # type: ignore[arg-type]

    def channels(self) -> dict[str, Kraus]:
        """Return the channels of positive strength, by name, in order."""
        return {name: kraus(getattr(self, name)) for name, kraus in _CHANNELS.items() if getattr(self, name)}

    @property
    def needs_density_matrix(self) -> bool:
        """True if states under this noise are density matrices."""
        return bool(self.channels()) or (self.calibration is not None and bool(self.calibration.errors))

    def check(self, circuit: Circuit) -> None:
        """Raise UsageError for a circuit with more wires than the calibration covers, and for noise of a memory."""
        self.check_without_storage()
        if self.calibration is not None:
            self.calibration.check(circuit)

    def check_without_storage(self) -> None:
        """Raise UsageError for noise of a stored quantum memory."""
        if self.storage:
            raise UsageError("noise: storage needs a model that keeps qubits between registers, such as coherent")

    def noisy_gates(self, gate: Gate) -> Iterable[NoisyGate]:
        """Return the native gates that implement a gate, with the calibration's errors.

        Raises UsageError as `Calibration.noisy_gates` does.
        """
        return (NoisyGate(gate),) if self.calibration is None else self.calibration.noisy_gates(gate)

    def confusion(self, n_wires: int) -> np.ndarray:
        """Return P(reading | true outcome) [wire, true outcome, reading]; no wires if readout is perfect."""
        device = self.calibration.readout if self.calibration else ()
        if not (device or self.readout):
            return np.zeros((0, 2, 2))
        flips = np.array([[1 - self.readout, self.readout], [self.readout, 1 - self.readout]])
        read = [np.eye(2) if self.calibration is None else self.calibration.confusion(w) for w in range(n_wires)]
        return np.stack(read) @ flips

    def to_json(self) -> dict[str, Any]:
        """Return a JSON record; a calibration is recorded by its source and digest, `storage` if positive."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "calibration"}
        if not self.storage:
            del given["storage"]  # records of circuits stay equal to those written before this field existed
        if self.calibration is not None:
            given["calibration"] = {"source": self.calibration.source, "digest": self.calibration.digest}
        return given

    def schedule(self, circuit: Circuit) -> Iterator[tuple[Sequence[Gate], Sequence[int]]]:
        """Yield the circuit's gates in order, each time with the wires on which the channels act afterwards."""
        if self.after == "layer":
            yield from ((moment, range(circuit.n_wires)) for moment in circuit.moments)
        else:
            yield from (((gate,), gate.wires) for gate in circuit.gates)

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in STRENGTHS) or bool(self.calibration)


STRENGTHS = {"depolarizing": 1, "amplitude_damping": 1, "phase_damping": 1, "bit_flip": 1, "readout": 0.5, "storage": 1}
"""Largest strength of each kind of noise. A readout error above 1/2 would only relabel the outcomes."""


NOISELESS = Noise()


def inline_calibrations(items: Iterable[str]) -> tuple[str, ...]:
    """Return the items with the content of each calibration file in place of its name.

    The file is then not needed later. Raises UsageError for a file that cannot be read, or is not a calibration.
    """
    return tuple(
        f"calibration={_calibration(value).to_text()}" if name == "calibration" else item
        for item in items
        for name, _, value in [item.partition("=")]
    )


def _calibration(text: str) -> Calibration:
    """Load a calibration from a file name, or parse the content of such a file."""
    if not text:
        raise UsageError("noise: calibration needs the name of a file")
    return Calibration.parse(text, "noise: calibration") if text.startswith("{") else Calibration.load(text)


_PARSERS: dict[str, Callable[[str], Any]] = {"after": str, "calibration": _calibration}
"""Parsers of the values that are not numbers."""


def _depolarizing(p: float) -> Kraus:
    return [math.sqrt(1 - p) * I, *(math.sqrt(p / 3) * pauli for pauli in PAULI.values())]


def _amplitude_damping(p: float) -> Kraus:
    return [np.diag([1, math.sqrt(1 - p)]), np.array([[0, math.sqrt(p)], [0, 0]])]


def _phase_damping(p: float) -> Kraus:
    return [np.diag([1, math.sqrt(1 - p)]), np.diag([0, math.sqrt(p)])]


def _bit_flip(p: float) -> Kraus:
    return [math.sqrt(1 - p) * I, math.sqrt(p) * X]


_CHANNELS = {
    "depolarizing": _depolarizing,
    "amplitude_damping": _amplitude_damping,
    "phase_damping": _phase_damping,
    "bit_flip": _bit_flip,
}
