"""Text drawing of a circuit."""

from collections.abc import Iterator, Sequence

from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable


def draw_circuit(
    n_wires: int, moments: Sequence[Sequence[Gate]], observables: Sequence[Observable], width: int | None = None
) -> str:
    """Draw a circuit: one line per wire, one column per moment, the observables below.

    With a width [characters], a circuit with longer lines is continued below, after an empty line, where a column ends.
    """
    starts = [f"{wire}: ".rjust(len(f"{n_wires - 1}: ")) for wire in range(n_wires)]
    blocks, lines = [], starts
    for column in _columns(moments):
        cells = _cells(column, n_wires)
        longest = max(map(len, cells))
        if width is not None and lines is not starts and len(lines[0]) + longest + 2 > width:
            blocks.append(lines)
            lines = starts
        lines = [f"{line}-{cell.center(longest, '-')}-" for line, cell in zip(lines, cells, strict=True)]
    drawn = "\n\n".join("\n".join(block) for block in [*blocks, lines])
    return "\n".join([drawn, *(f"<{observable}>" for observable in observables)])


def _columns(moments: Sequence[Sequence[Gate]]) -> Iterator[list[Gate]]:
    """Yield the gates of each column: two-wire gates of one moment may cross each other's wires."""
    for moment in moments:
        if single := [gate for gate in moment if len(gate.wires) == 1]:
            yield single
        yield from ([gate] for gate in moment if len(gate.wires) == 2)


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
