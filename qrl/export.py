"""Circuits out: OpenQASM 2 and 3 text of a circuit whose angles are numbers, and Qiskit's own format."""

import io

from qrl._angles import varies
from qrl.circuit import GATES, Circuit
from qrl.errors import UsageError, suggest

FORMATS = {"openqasm2": ".qasm", "openqasm3": ".qasm", "qiskit": ".qpy"}
"""What circuits can be written as, and the files' suffix."""

_NAMES = {"H": "h", "X": "x", "CZ": "cz", "CNOT": "cx"} | {
    name: name.lower() for name, k in GATES.items() if k.rotation
}
_HEADERS = {
    2: 'OPENQASM 2.0;\ninclude "qelib1.inc";\n',
    3: 'OPENQASM 3.0;\ninclude "stdgates.inc";\n',
}
_ZZ = "cx {a}, {b}; rz({angle}) {b}; cx {a}, {b};"
_WRITTEN_OUT = {
    "RZZ": _ZZ,
    "RXX": f"h {{a}}; h {{b}}; {_ZZ} h {{a}}; h {{b}};",
    "RYY": f"rx(pi/2) {{a}}; rx(pi/2) {{b}}; {_ZZ} rx(-pi/2) {{a}}; rx(-pi/2) {{b}};",
    "CRX": "h {b}; rz({half}) {b}; cx {a}, {b}; rz({minus}) {b}; cx {a}, {b}; h {b};",
    "CRY": "ry({half}) {b}; cx {a}, {b}; ry({minus}) {b}; cx {a}, {b};",
    "CRZ": "rz({half}) {b}; cx {a}, {b}; rz({minus}) {b}; cx {a}, {b};",
}
"""Two-wire rotations, which not every reader knows, in gates that each does; half and minus are +-angle / 2."""


_SHARES = {"angle": 1.0, "half": 0.5, "minus": -0.5}


def to_openqasm(circuit: Circuit, version: int = 3) -> str:
    """The circuit as OpenQASM text; wire 0 is q[0]. Measurements are left out: the observables say what to measure.

    Raises UsageError for a circuit with an angle that is no number (`Circuit.at` puts numbers in) and another version.
    """
    if version not in _HEADERS:
        raise UsageError(f"export: OpenQASM 2 or 3, not {version!r}")
    lines = []
    for gate in circuit.gates:
        if varies(gate):
            raise UsageError(f"export: the angle of {gate} is no number; give weights, scales and inputs (Circuit.at)")
        wires = [f"q[{wire}]" for wire in gate.wires]
        if gate.name in _WRITTEN_OUT:
            numbers = {name: f"{share * gate.angle:.17g}" for name, share in _SHARES.items()}  # type: ignore[operator]
            lines.append(_WRITTEN_OUT[gate.name].format(a=wires[0], b=wires[1], **numbers))
        else:
            number = "" if gate.angle is None else f"({gate.angle:.17g})"
            lines.append(f"{_NAMES[gate.name]}{number} {', '.join(wires)};")
    register = f"qubit[{circuit.n_wires}] q;" if version == 3 else f"qreg q[{circuit.n_wires}];"
    return _HEADERS[version] + "\n".join([register, *lines]) + "\n"


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
