"""Command `draw`: the circuits of a run's policy, or of a model, as text and as a picture."""

import shutil
from pathlib import Path

from agents.cli.draw_options import Drawing
from agents.experiment.circuits import UsedCircuit, circuits_for, circuits_of
from agents.runs.messages import printable
from qrl.circuits.figure import circuit_figure
from qrl.common.errors import UsageError
from qrl.common.files import check_new_file, write_atomically
from qrl.common.pictures import encode, format_of

DEFAULT_WIDTH = 100
"""Width of a text that is not printed to a terminal [characters]."""


def run_draw(drawing: Drawing) -> int:
    """Print the distinct circuits of a policy, and write a picture of them; return the exit code.

    Raises UsageError for a policy without circuits, and for a file that cannot be written.
    """
    source, out = drawing.source, drawing.out
    if out is not None:
        format_of(out)
        check_new_file(out)
    if isinstance(source, Path):
        circuits, what = circuits_of(source, drawing.trust), str(source)
    else:
        circuits, what = circuits_for(source), f"model {source.model} (env {source.env}, agent {source.agent})"
    if not circuits:
        raise UsageError(f"draw: {what} has no circuits: its policy is classical")
    titled = {_title(each): each.circuit for each in circuits}
    width = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
    for title, circuit in titled.items():
        print(printable(title))
        print(circuit.draw(width=width))
    if out is not None:
        write_atomically(out, encode(circuit_figure(titled), format_of(out)))
        print(printable(f"wrote {out}"))
    return 0


def _title(used: UsedCircuit) -> str:
    circuit = used.circuit
    several = f"{used.count} circuits of " if used.count > 1 else ""
    size = f"{several}{circuit.n_wires} wires, {len(circuit.gates)} gates, depth {len(circuit.moments)}"
    return f"{', '.join(used.modules)}: {size}"
