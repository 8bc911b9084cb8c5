"""Calibration: how well a device does each of its gates, and how well it is read.

It is read from Qiskit (`Calibration.from_qiskit`) or from a file of ours, a JSON object:

    format, version     "qrl-calibration" and 1
    source              whose calibration it is, in words
    n_wires             how many wires there are; null: any number
    basis               the device's gates, as Qiskit calls them
    limited             those of them that the device has on the wires that errors lists, and on no others
    errors              a list of objects: gate; wires, in the gate's order, or null for all that are not named; and
                        transfer, the channel after the gate: {"Z": {"I": 0.1, "Z": 0.9}} says that the Z of a state is
                        then 0.1 of what its I was and 0.9 of what its Z was (on two wires "IZ", the gate's first wire
                        first); I stays what it is, and what is not given is 0
    readout             a list of objects: wires, a list of one, or null; and
                        read, [[P(0|0), P(1|0)], [P(0|1), P(1|1)]], the probability of each reading given what there is
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.matrices import Array
from qrl.common.errors import UsageError, suggest
from qrl.common.files import parse_json, unusable, write_whole
from qrl.noise.native_gates import GateError, Native, NoisyGate, pauli_words
from qrl.noise.qiskit import Uncoupled, read_device
from qrl.noise.readout import Readout

FORMAT, VERSION = "qrl-calibration", 1

_KEYS = {"coupled_only": "limited"}
"""Keys of files that are not the names of fields."""


@dataclass(frozen=True)
class Calibration:
    """What a device does beside and instead of a circuit's gates and measurements.

    A gate is played in the gates of `basis`, each followed by its error (`qrl.noise.native_gates`); then each wire is
    read as its readout says. Wires that wait have no errors, nor has what turns X and Y into Z before a measurement.
    Raises UsageError for errors and readouts that are there twice or on wires that are not.
    """

    source: str
    """Whose it is, for messages and records."""
    basis: tuple[str, ...]
    """The device's gates, as Qiskit calls them."""
    errors: tuple[GateError, ...] = ()
    readout: tuple[Readout, ...] = ()
    n_wires: int | None = None
    """None: any number."""
    coupled_only: tuple[str, ...] = ()
    """Gates on two wires that there are only on wires for which `errors` has one, such as cx of qubits that couple."""

    def __post_init__(self) -> None:
        if self.n_wires is not None and self.n_wires < 1:
            raise UsageError(f"calibration: n_wires must be at least 1, not {self.n_wires}")
        found = set()
        for what, each in [(error.gate, error) for error in self.errors] + [("readout", r) for r in self.readout]:
            on = "" if each.wires is None else f" on wires {each.wires}"
            if (what, each.wires) in found:
                raise UsageError(f"calibration: {what}{on} is given twice")
            if self.n_wires is not None and max(each.wires or (0,)) >= self.n_wires:
                raise UsageError(f"calibration: {what}{on}: there are wires 0 to {self.n_wires - 1}")
            found.add((what, each.wires))

    # --- what it does -------------------------------------------------------------------------------------------------

    def noisy_gates(self, gate: Gate) -> Iterator[NoisyGate]:
        """What is played for a gate. Raises UsageError if the device has nothing to make it of, or not on its wires."""
        yield from self._native.noisy_gates(gate) if self.errors or self.coupled_only else (NoisyGate(gate),)

    def confusion(self, wire: int) -> Array:
        """P(reading | what there is) [what there is, reading]."""
        read = {readout.wires: readout.read for readout in self.readout}
        return np.array(read.get((wire,), read.get(None, np.eye(2))))

    def check(self, circuit: Circuit) -> None:
        """Raises UsageError for a circuit of more wires than there are."""
        if self.n_wires is not None and circuit.n_wires > self.n_wires:
            raise UsageError(f"calibration: the circuit has {circuit.n_wires} wires, {self.source} has {self.n_wires}")

    @cached_property
    def _native(self) -> Native:
        return Native(self.source, self.basis, self.coupled_only, self.errors)

    def __bool__(self) -> bool:
        return bool(self.errors or self.readout)

    # --- from elsewhere -----------------------------------------------------------------------------------------------

    @classmethod
    def from_qiskit(
        cls, source: object, layout: Sequence[int] | None = None, uncoupled: Uncoupled = "refuse"
    ) -> "Calibration":
        """Read a `qiskit_aer.noise.NoiseModel`, or a backend of Qiskit (BackendV2) as Aer models it.

        Args:
            source: the noise model or the backend.
            layout: the qubits that wires 0, 1, … sit on; by default 0, 1, …, of a device with errors of gates as many
                as a density matrix may have.
            uncoupled: a gate on two wires whose qubits the device does not couple is refused; or "swaps": it has the
                errors of the gates on the shortest way between them, three for each swap, all on its own two wires; or
                "ideal": it has none, as Aer has it for a circuit that was not compiled.

        Raises UsageError where Qiskit Aer is not installed, for anything else than these, for qubits that are not
        there, and for errors that have no place here: of more than two qubits, of the readout of several qubits
        together, before a measurement.
        """
        return cls(*read_device(source, None if layout is None else tuple(layout), uncoupled))

    @classmethod
    def load(cls, path: Path | str) -> "Calibration":
        """Read a file that `save` wrote. Raises UsageError for one that cannot be read, or is something else."""
        try:
            return cls.parse(Path(path).read_bytes(), str(path))
        except OSError as error:
            raise unusable(Path(path), error) from error

    @classmethod
    def parse(cls, text: str | bytes, where: str = "calibration") -> "Calibration":
        """From what is in such a file. Raises UsageError, after `where`, for anything else."""
        try:
            data = parse_json(text.encode() if isinstance(text, str) else text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{where}: not JSON: {error}") from error
        return cls.from_json(data, where)

    @classmethod
    def from_json(cls, data: object, where: str = "calibration") -> "Calibration":
        """From the object that `to_json` gives. Raises UsageError, after `where`, for anything else."""
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise UsageError(f"{where}: not a calibration of ours: expected a JSON object with format {FORMAT!r}")
        if data.get("version") != VERSION:
            raise UsageError(f"{where}: version {data.get('version')!r} of the format, this reads {VERSION}")
        content = {key: value for key, value in data.items() if key not in ("format", "version")}
        _check_keys(content, [_KEYS.get(field.name, field.name) for field in fields(cls)], where)
        try:
            return cls(
                source=_checked(content["source"], str, f"{where}: source"),
                basis=tuple(_each(content["basis"], str, f"{where}: basis")),
                errors=tuple(_errors(content["errors"], f"{where}: errors")),
                readout=tuple(_readouts(content["readout"], f"{where}: readout")),
                n_wires=None if content["n_wires"] is None else _checked(content["n_wires"], int, f"{where}: n_wires"),
                coupled_only=tuple(_each(content["limited"], str, f"{where}: limited")),
            )
        except UsageError as error:
            raise UsageError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        errors = [asdict(error) | {"transfer": _named(error)} for error in self.errors]
        content = {_KEYS.get(name, name): value for name, value in asdict(self).items()}
        return {"format": FORMAT, "version": VERSION} | content | {"errors": errors}

    def to_text(self) -> str:
        """As JSON in a line."""
        return json.dumps(self.to_json(), separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that tell it from others."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()[:16]

    def save(self, path: Path | str) -> None:
        """Write a file that `load` reads, and `--noise calibration=FILE`: all of it or nothing; one that is there is
        replaced. Raises UsageError if it cannot be written."""
        lines = []
        for key, value in self.to_json().items():
            rows = [f"    {json.dumps(row)}" for row in value] if key in ("errors", "readout") else []
            text = "[\n" + ",\n".join(rows) + "\n  ]" if rows else json.dumps(value)
            lines.append(f"  {json.dumps(key)}: {text}")
        write_whole(Path(path), ("{\n" + ",\n".join(lines) + "\n}\n").encode())


# --- JSON -------------------------------------------------------------------------------------------------------------

_KINDS: dict[type, tuple[str, tuple[type, ...]]] = {
    str: ("a word", (str,)),
    int: ("a whole number", (int,)),
    float: ("a finite number", (int, float)),
    list: ("a list", (list, tuple)),
    dict: ("an object", (dict,)),
}
"""The name of each kind of value, and the types that JSON may hold it as."""

_Kind = TypeVar("_Kind")

_LARGEST = 1e300
"""A whole number of JSON may be too large for a float."""


def _named(error: GateError) -> dict[str, dict[str, float]]:
    """The rows of a transfer matrix but the first, and of each what is not 0, by their words."""
    words = pauli_words(error.n_wires)
    rows = zip(words[1:], error.transfer[1:], strict=True)
    return {word: {w: x for w, x in zip(words, row, strict=True) if x} for word, row in rows}


def _errors(data: object, where: str) -> Iterator[GateError]:
    for index, item in enumerate(_each(data, dict, where)):
        here = f"{where}[{index}]"
        _check_keys(item, ["gate", "wires", "transfer"], here)
        rows = _checked(item["transfer"], dict, f"{here}.transfer")
        longest = max(map(len, rows), default=1)
        words = pauli_words(longest) if longest <= 2 else pauli_words(1)
        matrix = np.eye(len(words))
        matrix[1:] = 0
        for word, row in rows.items():
            there = f"{here}.transfer.{word}"
            if word not in words[1:]:
                raise UsageError(f"{there}: expected one of the words {', '.join(words[1:])}")
            for other, number in _checked(row, dict, there).items():
                if other not in words:
                    raise UsageError(f"{there}.{other}: expected one of the words {', '.join(words)}")
                matrix[words.index(word), words.index(other)] = _checked(number, float, f"{there}.{other}")
        transfer = tuple(map(tuple, matrix.tolist()))
        yield GateError(_checked(item["gate"], str, f"{here}.gate"), _wires(item["wires"], f"{here}.wires"), transfer)


def _readouts(data: object, where: str) -> Iterator[Readout]:
    for index, item in enumerate(_each(data, dict, where)):
        here = f"{where}[{index}]"
        _check_keys(item, ["wires", "read"], here)
        rows = [tuple(_each(row, float, f"{here}.read")) for row in _each(item["read"], list, f"{here}.read")]
        if [len(row) for row in rows] != [2, 2]:
            raise UsageError(f"{here}.read: expected two rows of two probabilities")
        yield Readout(_wires(item["wires"], f"{here}.wires"), tuple(rows))  # type: ignore[arg-type]


def _wires(data: object, where: str) -> tuple[int, ...] | None:
    return None if data is None else tuple(_each(data, int, where))


def _each(data: object, kind: type[_Kind], where: str) -> list[_Kind]:
    return [_checked(item, kind, f"{where}[{index}]") for index, item in enumerate(_checked(data, list, where))]


def _checked(value: object, kind: type[_Kind], where: str) -> _Kind:
    """The value, a float if a number is expected. Raises UsageError if it is not of this kind."""
    name, types = _KINDS[kind]
    too_large = isinstance(value, int | float) and kind is float and not abs(value) < _LARGEST
    if type(value) not in types or too_large:
        raise UsageError(f"{where}: expected {name}, found {repr(value)[:60]}")
    return kind(value)  # type: ignore[call-arg]


def _check_keys(data: Mapping[str, object], known: list[str], where: str) -> None:
    for key in data:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}{suggest(key, known)}")
    for key in known:
        if key not in data:
            raise UsageError(f"{where}: {key} is missing")
