"""Circuit export: OpenQASM 2 and 3 text of a circuit with numerical angles, and Qiskit's own format."""

import io
from collections.abc import Iterator, Sequence

from qrl.circuits.circuit import Circuit
from qrl.circuits.decompositions import DECOMPOSITIONS, QASM_NAMES, ScaledGate
from qrl.circuits.gates import Gate
from qrl.circuits.measurement import Setting
from qrl.common.errors import UsageError, suggest

FORMATS = {"openqasm2": ".qasm", "openqasm3": ".qasm", "qiskit": ".qpy"}
"""Export formats and their file suffixes."""

_HEADERS = {
    2: 'OPENQASM 2.0;\ninclude "qelib1.inc";\n',
    3: 'OPENQASM 3.0;\ninclude "stdgates.inc";\n',
}


_TO_Z = {"X": ("h",), "Y": ("sdg", "h"), "Z": ()}
"""Gates that turn a Pauli operator into Z, in order."""


def to_openqasm(circuit: Circuit, version: int = 3, setting: Setting | None = None) -> str:
    """Return the circuit as OpenQASM text; wire 0 is q[0]. Rotations by 0 are left out.

    With a setting, such as one of `qrl.circuits.measurement.settings(circuit)`, its wires are measured at the end, each
    in its basis: c[k] is the outcome of wire k, 0 for the eigenvalue +1 and 1 for -1. Bits of other wires remain 0.

    Raises UsageError for a circuit with an angle that is not a number (`Circuit.at` inserts numbers), and for another
    version.
    """
    if version not in _HEADERS:
        raise UsageError(f"export: OpenQASM version must be 2 or 3, not {version!r}")
    n_wires, qubits = circuit.n_wires, [f"q[{wire}]" for wire in range(circuit.n_wires)]
    registers = [f"qubit[{n_wires}] q;"] if version == 3 else [f"qreg q[{n_wires}];"]
    lines = [statements(gate, qubits) for gate in circuit.gates if gate.angle != 0]
    if setting is not None:
        registers.append(f"bit[{n_wires}] c;" if version == 3 else f"creg c[{n_wires}];")
        lines += _measurements(setting, version)
    return _HEADERS[version] + "\n".join([*registers, *lines]) + "\n"


def _measurements(setting: Setting, version: int) -> Iterator[str]:
    """Yield the gates that turn each basis into that of Z, then the measurements, by wire."""
    for wire, pauli in sorted(setting.basis.items()):
        if gates := _TO_Z[pauli]:
            yield " ".join(f"{gate} q[{wire}];" for gate in gates)
    for wire in sorted(setting.basis):
        yield f"c[{wire}] = measure q[{wire}];" if version == 3 else f"measure q[{wire}] -> c[{wire}];"


def statements(gate: Gate, qubits: Sequence[str]) -> str:
    """Return the statements of a gate, given the names of the qubits by wire.

    Raises UsageError for an angle that is not a number.
    """
    if gate.is_parametric:
        raise UsageError(f"export: the angle of {gate} is not a number; insert numbers with Circuit.at")
    # Not every reader supports two-wire rotations, so they are decomposed into universally supported gates.
    return " ".join(_statement(each.gate, qubits) for each in ScaledGate(gate).decompose(DECOMPOSITIONS))


def _statement(gate: Gate, qubits: Sequence[str]) -> str:
    number = "" if gate.angle is None else f"({gate.angle:.17g})"
    return f"{QASM_NAMES[gate.name]}{number} {', '.join(qubits[wire] for wire in gate.wires)};"


def encode(circuit: Circuit, kind: str, setting: Setting | None = None) -> bytes:
    """Encode a circuit as a file, with the measurements of a setting as in `to_openqasm`.

    Raises UsageError for an unknown format, and for qiskit's if Qiskit is not installed.
    """
    if kind not in FORMATS:
        raise UsageError(f"export: unknown format {kind!r}{suggest(kind, FORMATS)}")
    if kind != "qiskit":
        return to_openqasm(circuit, int(kind[-1]), setting).encode()
    try:
        from qiskit import QuantumCircuit, qpy
    except ModuleNotFoundError:
        raise UsageError("export: format qiskit needs Qiskit: pip install 'qrl-meta[qiskit]'") from None
    buffer = io.BytesIO()
    qpy.dump(QuantumCircuit.from_qasm_str(to_openqasm(circuit, 2, setting)), buffer)
    return buffer.getvalue()
