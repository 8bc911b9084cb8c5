"""Text drawing of a circuit."""

from collections.abc import Sequence

from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable


def draw_circuit(n_wires: int, moments: Sequence[Sequence[Gate]], observables: Sequence[Observable]) -> str:
    """Draw a circuit: one line per wire, one column per moment, the observables below."""
    lines = [f"{wire}: " for wire in range(n_wires)]
    width = max(map(len, lines))
    lines = [line.rjust(width) for line in lines]
    for moment in moments:
        # Two-wire gates of one moment may cross each other's wires: each has its own column.
        single = [gate for gate in moment if len(gate.wires) == 1]
        for column in [*([single] if single else []), *([gate] for gate in moment if len(gate.wires) == 2)]:
            cells = _cells(column, n_wires)
            width = max(map(len, cells))
            lines = [line + "-" + cell.center(width, "-") + "-" for line, cell in zip(lines, cells, strict=True)]
    return "\n".join([*lines, *(f"<{observable}>" for observable in observables)])


def _cells(gates: list[Gate], n_wires: int) -> list[str]:
    """Return the text of one column, wire by wire: labels, controls as *, and | on wires that a gate crosses."""
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
