"""Circuits out: OpenQASM 2 and 3 text of a circuit whose angles are numbers, and Qiskit's own format."""

import io

from qrl.circuits.circuit import Circuit
from qrl.circuits.decompositions import DECOMPOSITIONS, QASM_NAMES, ScaledGate
from qrl.circuits.gates import Gate
from qrl.common.errors import UsageError, suggest

FORMATS = {"openqasm2": ".qasm", "openqasm3": ".qasm", "qiskit": ".qpy"}
"""What circuits can be written as, and the files' suffix."""

_HEADERS = {
    2: 'OPENQASM 2.0;\ninclude "qelib1.inc";\n',
    3: 'OPENQASM 3.0;\ninclude "stdgates.inc";\n',
}


def to_openqasm(circuit: Circuit, version: int = 3) -> str:
    """The circuit as OpenQASM text; wire 0 is q[0]. Measurements are left out: the observables say what to measure.

    Raises UsageError for a circuit with an angle that is no number (`Circuit.at` puts numbers in) and another version.
    """
    if version not in _HEADERS:
        raise UsageError(f"export: OpenQASM 2 or 3, not {version!r}")
    lines = []
    for gate in circuit.gates:
        if gate.is_parametric:
            raise UsageError(f"export: the angle of {gate} is no number; give weights, scales and inputs (Circuit.at)")
        # Two-wire rotations, which not every reader knows, in gates that each does.
        lines.append(" ".join(_statement(each.gate) for each in ScaledGate(gate).decompose(DECOMPOSITIONS)))
    register = f"qubit[{circuit.n_wires}] q;" if version == 3 else f"qreg q[{circuit.n_wires}];"
    return _HEADERS[version] + "\n".join([register, *lines]) + "\n"


def _statement(gate: Gate) -> str:
    number = "" if gate.angle is None else f"({gate.angle:.17g})"
    return f"{QASM_NAMES[gate.name]}{number} {', '.join(f'q[{wire}]' for wire in gate.wires)};"


def encode(circuit: Circuit, kind: str) -> bytes:
    """The file of a circuit. Raises UsageError for an unknown format, and for qiskit's where that is not installed."""
    if kind not in FORMATS:
        raise UsageError(f"export: unknown format {kind!r}{suggest(kind, FORMATS)}")
    if kind != "qiskit":
        return to_openqasm(circuit, int(kind[-1])).encode()
    try:
        from qiskit import QuantumCircuit, qpy
    except ModuleNotFoundError:
        raise UsageError("export: format qiskit needs Qiskit: pip install 'qrl-meta[qiskit]'") from None
    buffer = io.BytesIO()
    qpy.dump(QuantumCircuit.from_qasm_str(to_openqasm(circuit, 2)), buffer)
    return buffer.getvalue()
