"""Picture of a circuit by Matplotlib: boxes on wires, coloured by what sets their angle."""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from qrl.circuits.angles import Angle, Expression, Input, Weight, variables
from qrl.circuits.folding import Part, columns_of, fold
from qrl.circuits.gates import GATES, Gate
from qrl.circuits.observables import Observable
from qrl.common.pictures import PALETTE, panels

MOST_COLUMNS = 22
"""Maximum number of columns of a line; longer circuits are folded, then wrapped."""
COLUMN, WIRE = 0.62, 0.5
"""Width of a column and distance of wires [inches]."""
TITLE_SIZE, TITLE_LETTER = 9, 0.075
"""Size of a title [points] and width of one of its letters [inches]."""
BOX = (0.8, 0.68)
"""Width and height of a gate's box [columns, wires]."""
INK, FRAME = "#333333", "#8A8A8A"
COLOURS = {"weight": ("#DCEBF5", PALETTE[0]), "input": ("#FBE7D9", PALETTE[1]), "fixed": ("#F0F0F0", "#6B6B6B")}
"""Colours of a box and of its frame: a trained angle, an angle with an input, no angle or a constant one."""
LONGEST_FORMULA = 16
"""Number of characters from which on the formula of an angle is replaced by the list of its variables."""
LONGEST_LINE, MOST_LINES = 10, 2
"""Maximum number of characters of a line of an angle, and of lines; an angle of more would be too small to read."""
LETTER, LINE, LARGEST = 52, 19.5, 7
"""Size of one letter as wide as a box, of one line as high as a box, and largest size of letters in a box [points]."""
FORMULA_LETTER, FORMULA_ROW = 0.075, 0.4
"""Width of one letter [inches] and height of a row [wires] of the observables below a circuit."""
_SYMBOL = re.compile(r"\b([wsx])(\d+)")
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class _Column:
    """Column of a line."""

    gates: tuple[Gate, ...]
    times: int
    """Number of repetitions of the layer that it is part of."""


@runtime_checkable
class Drawable(Protocol):
    """What a picture shows of a `Circuit`."""

    @property
    def n_wires(self) -> int: ...
    @property
    def gates(self) -> tuple[Gate, ...]: ...
    @property
    def observables(self) -> tuple[Observable, ...]: ...


def circuit_figure(circuits: Mapping[str, Drawable]) -> Figure:
    """Draw circuits below each other, each under its title, the key; the title may be empty.

    A circuit that is longer than a line is folded at its repeating layers, then continued below.
    """
    drawn = [(title, circuit, _lines(circuit.gates)) for title, circuit in circuits.items()]
    longest_title = max(map(len, circuits)) * TITLE_LETTER / COLUMN
    n_columns = max(*(len(line) + 2 for _, _, lines in drawn for line in lines), math.ceil(longest_title))
    n_wires = max(circuit.n_wires for _, circuit, _ in drawn)
    n_panels = sum(len(lines) for _, _, lines in drawn)
    below = {title: _listed(circuit.observables, n_columns) for title, circuit, _ in drawn}
    space = FORMULA_ROW * max(map(len, below.values()))
    with panels(n_panels, 1, size=(n_columns * COLUMN, (n_wires + space) * WIRE + 0.35)) as (figure, axes):
        free = iter(axes[:, 0])
        for title, circuit, lines in drawn:
            for index, line in enumerate(lines):
                panel = next(free)
                panel.set(xlim=(-0.9, n_columns - 0.9), ylim=(n_wires + space - 0.3, -0.95))
                panel.axis("off")
                if title and not index:
                    panel.set_title(title, loc="left", fontsize=TITLE_SIZE, color=INK)
                _draw_line(panel, line, circuit, first=index == 0, last=index == len(lines) - 1)
            for row, text in enumerate(below[title]):
                panel.text(-0.55, circuit.n_wires - 0.4 + FORMULA_ROW * row, text, va="center", fontsize=8, color=INK)
    return figure


def _lines(gates: Sequence[Gate]) -> list[list[_Column]]:
    whole = (Part(tuple(gates)),)
    parts = whole if len(columns_of(gates)) <= MOST_COLUMNS else fold(gates)
    columns = [_Column(gates, part.times) for part in parts for gates in columns_of(part.gates)]
    return [columns[i : i + MOST_COLUMNS] for i in range(0, len(columns), MOST_COLUMNS)] or [[]]


def _draw_line(axes: Axes, line: Sequence[_Column], circuit: Drawable, *, first: bool, last: bool) -> None:
    n_wires, end = circuit.n_wires, len(line) + (0.55 if last else 0.4)
    for wire in range(n_wires):
        axes.plot([-0.45, end], [wire, wire], color=FRAME, linewidth=0.9, zorder=1)
        axes.text(-0.55, wire, f"{wire}" if first else "…", ha="right", va="center", fontsize=8, color=INK)
    for x, column in enumerate(line):
        for gate in column.gates:
            _draw_gate(axes, x, gate)
    repeated = [x for x, column in enumerate(line) if column.times > 1]
    if repeated:  # one layer at most is folded
        _draw_frame(axes, repeated[0], repeated[-1], n_wires, line[repeated[0]].times)
    if last:
        for wire, label in _measured(circuit.observables).items():
            _box(axes, len(line) + 0.15, wire, label, ("#FFFFFF", INK))


def _draw_frame(axes: Axes, first: int, last: int, n_wires: int, times: int) -> None:
    corner, width, height = (first - 0.48, -0.5), last - first + 0.96, n_wires
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=INK, linewidth=1, linestyle=(0, (4, 2))))
    axes.text(first - 0.48, -0.58, f"× {times}", ha="left", va="bottom", fontsize=9, fontweight="bold", color=INK)


def _draw_gate(axes: Axes, x: int, gate: Gate) -> None:
    if len(gate.wires) == 1:
        _box(axes, x, gate.wires[0], *_labelled(gate))
        return
    first, second = gate.wires
    axes.plot([x, x], [first, second], color=INK, linewidth=1.1, zorder=2)
    if gate.name == "CZ" or GATES[gate.name].controlled or gate.name == "CNOT":
        axes.plot([x], [first], "o", color=INK, markersize=6, zorder=3)
    if gate.name == "CZ":
        axes.plot([x], [second], "o", color=INK, markersize=6, zorder=3)
    elif gate.name == "CNOT":
        axes.plot([x], [second], "o", markerfacecolor="white", markeredgecolor=INK, markersize=14, zorder=3)
        axes.plot([x], [second], "+", color=INK, markersize=14, markeredgewidth=1.1, zorder=4)
    else:
        label, colours = _labelled(gate)
        for wire in (second,) if GATES[gate.name].controlled else (first, second):
            _box(axes, x, wire, label, colours)


def _box(axes: Axes, x: float | int, wire: int, label: str, colours: tuple[str, str]) -> None:
    width, height = BOX
    fill, edge = colours
    corner = (x - width / 2, wire - height / 2)
    style = "round,pad=0,rounding_size=0.1"
    axes.add_patch(
        FancyBboxPatch(corner, width, height, style, facecolor=fill, edgecolor=edge, linewidth=0.9, zorder=3)
    )
    lines = label.split("\n")
    size = min(LARGEST, LETTER / max(map(len, lines)), LINE / len(lines))
    axes.text(x, wire, label, ha="center", va="center", fontsize=size, linespacing=1.1, color=INK, zorder=5)


def _labelled(gate: Gate) -> tuple[str, tuple[str, str]]:
    """Return the text of a gate's box, and its colours."""
    name = gate.name.removeprefix("C") if GATES[gate.name].controlled else gate.name
    if gate.angle is None:
        return name, COLOURS["fixed"]
    has_input = any(isinstance(variable, Input) for variable in gate.variables)
    kind = "input" if has_input else "weight" if gate.is_parametric else "fixed"
    return "\n".join([name, *_broken(angle_text(gate.angle))]), COLOURS[kind]


def angle_text(angle: Angle) -> str:
    """Return an angle as a formula: w for weights, x for inputs, s for their scales; a constant in units of rad."""
    match angle:
        case Weight(index):
            return f"w{_subscript(index)}"
        case Input(feature, scale, transform):
            inner = f"x{_subscript(feature)}" if scale is None else f"s{_subscript(scale)}x{_subscript(feature)}"
            return inner if transform == "identity" else f"{transform.replace('arc', 'a')} {inner}"
        case Expression():
            formula = _typeset(str(angle).replace("**", "^").replace("*", " ").replace("arc", "a"))
            if len(formula) <= LONGEST_FORMULA and _fits(formula):
                return formula
            names = list(dict.fromkeys(_typeset(str(variable)) for variable in variables(angle)))
            some = ([*names[:n], "…"] for n in range(len(names) - 1, -1, -1))
            return next(text for each in (names, *some) if _fits(text := f"f({', '.join(each)})"))
    return f"{angle:.2f}"


def _broken(text: str) -> list[str]:
    """Return the lines of an angle in a box."""
    return textwrap.wrap(text, LONGEST_LINE, break_long_words=False)


def _fits(text: str) -> bool:
    lines = _broken(text)
    return len(lines) <= MOST_LINES and all(len(line) <= LONGEST_LINE for line in lines)


def _typeset(formula: str) -> str:
    return _SYMBOL.sub(lambda found: found[1] + _subscript(int(found[2])), formula)


def _subscript(index: int) -> str:
    return str(index).translate(SUBSCRIPTS)


def _measured(observables: Sequence[Observable]) -> dict[int, str]:
    """Return the measured Pauli operator of each wire, if each observable is a single one; else nothing."""
    found: dict[int, str] = {}
    for observable in observables:
        for word in observable.words:
            single = len(observable.words) == 1 and len(word.factors) == 1 and word.coefficient == 1
            if not single or word.factors[0][0] in found:
                return {}
            wire, pauli = word.factors[0]
            found[wire] = f"⟨{pauli}⟩"
    return found


def _listed(observables: Sequence[Observable], n_columns: int) -> list[str]:
    """Return the rows of text below a circuit: its observables, unless boxes on the wires show all of them."""
    if _measured(observables):
        return []
    # Rows end between observables, if they can.
    unbroken = (f"⟨{observable}⟩".replace(" ", "\N{NO-BREAK SPACE}") for observable in observables)
    rows = textwrap.wrap(", ".join(unbroken), int(n_columns * COLUMN / FORMULA_LETTER))
    return [row.replace("\N{NO-BREAK SPACE}", " ") for row in rows]
