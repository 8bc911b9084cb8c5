"""Calibration: gate and readout errors of a device.

A calibration is read from Qiskit (`Calibration.from_qiskit`) or from a file in this library's format, a JSON object:

    format, version     "qrl-calibration" and 1
    source              name of the calibrated device
    n_wires             number of wires; null: any number
    basis               the device's native gates, by Qiskit's names
    limited             native gates that exist only on the wires listed in errors
    errors              a list of objects: gate; wires, in the gate's order, or null for all wires not listed; and
                        transfer, the channel after the gate: {"Z": {"I": 0.1, "Z": 0.9}} maps the expectation value of
                        Z to 0.1 <I> + 0.9 <Z> (on two wires "IZ", the gate's first wire first); I is preserved, and
                        missing entries are 0
    readout             a list of objects: wires, a list of one wire, or null; and
                        read, [[P(0|0), P(1|0)], [P(0|1), P(1|1)]], the probability of each reading given the outcome
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
from qrl.common.checks import check_text
from qrl.common.errors import UsageError, suggest
from qrl.common.files import from_json, named_json, write_atomically
from qrl.noise.native_gates import GateError, NativeGateSet, NoisyGate, pauli_words
from qrl.noise.qiskit import Uncoupled, read_device
from qrl.noise.readout import Readout

FORMAT, VERSION = "qrl-calibration", 1

_KEYS = {"coupled_only": "limited"}
"""Keys of files that differ from the names of fields."""


@dataclass(frozen=True)
class Calibration:
    """Errors of a device's native gates and of its readout.

    A gate is executed as native gates of `basis`, each followed by its error (`qrl.noise.native_gates`); finally each
    wire is read with its readout error. Idle wires have no errors, nor do the basis changes from X and Y to Z before a
    measurement. Raises UsageError for duplicate errors or readouts, and for wires that do not exist.
    """

    source: str
    """Name of the device, for messages and records."""
    basis: tuple[str, ...]
    """Native gates, by Qiskit's names."""
    errors: tuple[GateError, ...] = ()
    readout: tuple[Readout, ...] = ()
    n_wires: int | None = None
    """Number of wires; None: any number."""
    coupled_only: tuple[str, ...] = ()
    """Two-wire gates that exist only on wires for which `errors` has an entry, such as cx on coupled qubits."""

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

    # --- gates and readout --------------------------------------------------------------------------------------------

    def noisy_gates(self, gate: Gate) -> Iterator[NoisyGate]:
        """Yield the native gates that implement a gate.

        Raises UsageError if the device has no gates to implement it, or not on its wires.
        """
        yield from self._native.noisy_gates(gate) if self.errors or self.coupled_only else (NoisyGate(gate),)

    def confusion(self, wire: int) -> Array:
        """Return P(reading | true outcome) [true outcome, reading]."""
        read = {readout.wires: readout.read for readout in self.readout}
        return np.array(read.get((wire,), read.get(None, np.eye(2))))

    def check(self, circuit: Circuit) -> None:
        """Raise UsageError for a circuit with more wires than the device has."""
        if self.n_wires is not None and circuit.n_wires > self.n_wires:
            raise UsageError(f"calibration: the circuit has {circuit.n_wires} wires, {self.source} has {self.n_wires}")

    @cached_property
    def _native(self) -> NativeGateSet:
        return NativeGateSet(self.source, self.basis, self.coupled_only, self.errors)

    def __bool__(self) -> bool:
        return bool(self.errors or self.readout)

    # --- conversion ---------------------------------------------------------------------------------------------------

    @classmethod
    def from_qiskit(
        cls, source: object, layout: Sequence[int] | None = None, uncoupled: Uncoupled = "refuse"
    ) -> "Calibration":
        """Read a `qiskit_aer.noise.NoiseModel`, or a Qiskit backend (BackendV2) as modelled by Aer.

        Args:
            source: the noise model or the backend.
            layout: the qubits of wires 0, 1, …; by default 0, 1, …, limited to the largest density matrix if the device
                has gate errors.
            uncoupled: treatment of two-wire gates on qubits that the device does not couple. "refuse" raises an error;
                "swaps" applies the errors of the gates on the shortest path between the qubits, three per swap, all to
                the gate's own two wires; "ideal" applies no error, as Aer does for a circuit that was not compiled.

        Raises UsageError if Qiskit Aer is not installed, for any other source, for qubits that do not exist, and for
        unsupported errors: on more than two qubits, of joint readout of several qubits, before a measurement.
        """
        return cls(*read_device(source, None if layout is None else tuple(layout), uncoupled))

    @classmethod
    def load(cls, path: Path | str) -> "Calibration":
        """Read a file written by `save`. Raises UsageError if the file cannot be read, or is not a calibration."""
        return cls.from_json(from_json(Path(path)), str(path))

    @classmethod
    def parse(cls, text: str, where: str = "calibration") -> "Calibration":
        """Parse the content of a calibration file. Raises UsageError, prefixed by `where`, for anything else."""
        check_text(where, text)
        return cls.from_json(named_json(text.encode(), where), where)

    @classmethod
    def from_json(cls, data: object, where: str = "calibration") -> "Calibration":
        """Build a calibration from an object of `to_json`.

        Raises UsageError, prefixed by `where`, for anything else.
        """
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise UsageError(f"{where}: not a calibration file: expected a JSON object with format {FORMAT!r}")
        if data.get("version") != VERSION:
            raise UsageError(f"{where}: unsupported format version {data.get('version')!r}; supported: {VERSION}")
        content = {key: value for key, value in data.items() if key not in ("format", "version")}
        _check_keys(content, [_KEYS.get(field.name, field.name) for field in fields(cls)], where)
        try:
            return cls(
                source=_checked(content["source"], str, f"{where}: source"),
                basis=tuple(_checked_list(content["basis"], str, f"{where}: basis")),
                errors=tuple(_errors(content["errors"], f"{where}: errors")),
                readout=tuple(_readouts(content["readout"], f"{where}: readout")),
                n_wires=None if content["n_wires"] is None else _checked(content["n_wires"], int, f"{where}: n_wires"),
                coupled_only=tuple(_checked_list(content["limited"], str, f"{where}: limited")),
            )
        except UsageError as error:
            raise UsageError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as a JSON object."""
        errors = [asdict(error) | {"transfer": _transfer_rows(error)} for error in self.errors]
        content = {_KEYS.get(name, name): value for name, value in asdict(self).items()}
        return {"format": FORMAT, "version": VERSION} | content | {"errors": errors}

    def to_text(self) -> str:
        """Return the calibration as one line of JSON."""
        return json.dumps(self.to_json(), separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """Hash of the calibration, sixteen hexadecimal digits."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()[:16]

    def save(self, path: Path | str) -> None:
        """Write a file for `load` and `--noise calibration=FILE`, atomically; an existing file is replaced.

        Raises UsageError if the file cannot be written.
        """
        lines = []
        for key, value in self.to_json().items():
            rows = [f"    {json.dumps(row)}" for row in value] if key in ("errors", "readout") else []
            text = "[\n" + ",\n".join(rows) + "\n  ]" if rows else json.dumps(value)
            lines.append(f"  {json.dumps(key)}: {text}")
        write_atomically(Path(path), ("{\n" + ",\n".join(lines) + "\n}\n").encode())


# --- JSON -------------------------------------------------------------------------------------------------------------

_KINDS: dict[type, tuple[str, tuple[type, ...]]] = {
    str: ("a word", (str,)),
    int: ("a whole number", (int,)),
    float: ("a finite number", (int, float)),
    list: ("a list", (list, tuple)),
    dict: ("an object", (dict,)),
}
"""Name of each kind of value, and the types that represent it in JSON."""

_Kind = TypeVar("_Kind")

_LARGEST = 1e300
"""Upper bound of numbers: an integer in JSON may be too large for a float."""


def _transfer_rows(error: GateError) -> dict[str, dict[str, float]]:
    """Return the rows of a transfer matrix except the first, with their nonzero entries, by Pauli word."""
    words = pauli_words(error.n_wires)
    rows = zip(words[1:], error.transfer[1:], strict=True)
    return {word: {w: x for w, x in zip(words, row, strict=True) if x} for word, row in rows}


def _errors(data: object, where: str) -> Iterator[GateError]:
    for index, item in enumerate(_checked_list(data, dict, where)):
        item_where = f"{where}[{index}]"
        _check_keys(item, ["gate", "wires", "transfer"], item_where)
        rows = _checked(item["transfer"], dict, f"{item_where}.transfer")
        longest = max(map(len, rows), default=1)
        words = pauli_words(longest) if longest <= 2 else pauli_words(1)
        matrix = np.eye(len(words))
        matrix[1:] = 0
        for word, row in rows.items():
            row_where = f"{item_where}.transfer.{word}"
            if word not in words[1:]:
                raise UsageError(f"{row_where}: expected one of the words {', '.join(words[1:])}")
            for other, number in _checked(row, dict, row_where).items():
                if other not in words:
                    raise UsageError(f"{row_where}.{other}: expected one of the words {', '.join(words)}")
                matrix[words.index(word), words.index(other)] = _checked(number, float, f"{row_where}.{other}")
        transfer = tuple(map(tuple, matrix.tolist()))
        yield GateError(
            _checked(item["gate"], str, f"{item_where}.gate"), _wires(item["wires"], f"{item_where}.wires"), transfer
        )


def _readouts(data: object, where: str) -> Iterator[Readout]:
    for index, item in enumerate(_checked_list(data, dict, where)):
        item_where = f"{where}[{index}]"
        _check_keys(item, ["wires", "read"], item_where)
        rows = [
            tuple(_checked_list(row, float, f"{item_where}.read"))
            for row in _checked_list(item["read"], list, f"{item_where}.read")
        ]
        if [len(row) for row in rows] != [2, 2]:
            raise UsageError(f"{item_where}.read: expected two rows of two probabilities")
        yield Readout(_wires(item["wires"], f"{item_where}.wires"), tuple(rows))  # type: ignore[arg-type]


def _wires(data: object, where: str) -> tuple[int, ...] | None:
    return None if data is None else tuple(_checked_list(data, int, where))


def _checked_list(data: object, kind: type[_Kind], where: str) -> list[_Kind]:
    return [_checked(item, kind, f"{where}[{index}]") for index, item in enumerate(_checked(data, list, where))]


def _checked(value: object, kind: type[_Kind], where: str) -> _Kind:
    """Return the value, as a float if a number is expected. Raises UsageError for a value of the wrong kind."""
    name, types = _KINDS[kind]
    too_large = isinstance(value, int | float) and kind is float and not abs(value) < _LARGEST
    if type(value) not in types or too_large:
        raise UsageError(f"{where}: expected {name}, found {repr(value)[:60]}")
    return kind(value)  # type: ignore[call-arg]


def _check_keys(data: Mapping[str, object], expected: list[str], where: str) -> None:
    for key in data:
        if key not in expected:
            raise UsageError(f"{where}: unknown key {key!r}{suggest(key, expected)}")
    for key in expected:
        if key not in data:
            raise UsageError(f"{where}: key {key!r} is missing")
