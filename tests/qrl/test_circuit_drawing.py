"""Circuit drawings: layers folded as they repeat, every gate drawn, long circuits readable."""

import matplotlib
import numpy as np
import pytest

from qrl.circuits.angles import Expression, Input, Scale, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.figure import COLUMN, MOST_COLUMNS, angle_text
from qrl.circuits.folding import Part, columns_of, fold
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable
from qrl.common.errors import UsageError
from tests.support.circuits import random_circuit


def layer(n_wires, index):
    """Rotations, a ring of CZ, and encodings, with indices of their own."""
    wires, first = range(n_wires), index * n_wires
    rotations = [Gate("RY", (wire,), Weight(first + wire)) for wire in wires]
    ring = [Gate("CZ", (wire, (wire + 1) % n_wires)) for wire in wires]
    return [*rotations, *ring, *(Gate("RX", (wire,), Input(wire % 2, first + wire)) for wire in wires)]


def layered(n_wires, n_layers):
    gates = [gate for index in range(n_layers) for gate in layer(n_wires, index)]
    last = [Gate("RY", (wire,), Weight(n_layers * n_wires + wire)) for wire in range(n_wires)]
    return Circuit(n_wires, (*gates, *last), tuple(Observable.of(f"Z{wire}") for wire in range(n_wires)))


def test_repeating_layers_are_folded():
    gates = layered(3, 5).gates
    block, rest = fold(gates)
    assert (block, rest) == (Part(tuple(layer(3, 0)), 5), Part(gates[-3:]))
    start = (Gate("H", (0,)), Gate("H", (1,)))
    assert fold([*start, *layer(3, 0), *layer(3, 1)]) == (Part(start), Part(tuple(layer(3, 0)), 2))


def test_layers_with_other_inputs_or_constants_do_not_repeat():
    for angles in ([Input(0), Input(1)], [0.5, 0.7], [Input(0), Input(0, 1)], [Input(0), Input(0, None, "tanh")]):
        gates = tuple(Gate("RX", (0,), angle) for angle in angles)
        assert fold(gates) == (Part(gates),)
    assert fold(()) == (Part(()),)
    short = tuple(Gate(name, (0,)) for name in ("H", "X", "X", "H", "X", "H", "H"))
    assert fold(short) == (Part(short),), "a gate that occurs twice is no layer"


@pytest.mark.parametrize("seed", range(20))
def test_folding_and_columns_lose_no_gate(seed):
    gates = random_circuit(seed).gates
    kinds = [(gate.name, gate.wires) for part in fold(gates) for gate in part.gates * part.times]
    assert kinds == [(gate.name, gate.wires) for gate in gates]
    columns = columns_of(gates)
    assert sorted(map(str, gates)) == sorted(str(gate) for column in columns for gate in column)
    for column in columns:
        covered = [wire for gate in column for wire in range(min(gate.wires), max(gate.wires) + 1)]
        assert len(covered) == len(set(covered)), "gates of a column do not cross"


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_a_short_circuit_is_drawn_whole():
    figure = layered(2, 1).draw("mpl")
    assert texts(figure) == ["0", "1", "RY\nw₀", "RY\nw₁", "RX\ns₀x₀", "RX\ns₁x₁", "RY\nw₂", "RY\nw₃", "⟨Z⟩", "⟨Z⟩"]


def test_an_unknown_output_is_refused():
    with pytest.raises(UsageError, match=r"draw: unknown output 'mp1'; did you mean 'mpl'\? \(choices: mpl, text\)"):
        layered(2, 1).draw("mp1")
    with pytest.raises(UsageError, match="draw: width is of a text"):
        layered(2, 1).draw("mpl", width=80)


def test_a_deep_circuit_is_one_layer_and_its_repetitions():
    figure = layered(12, 10).draw("mpl")
    assert "× 10" in texts(figure) and len(figure.axes) == 1
    assert figure.get_size_inches()[0] <= (MOST_COLUMNS + 2) * COLUMN
    assert texts(figure).count("⟨Z⟩") == 12


def test_a_long_circuit_without_layers_continues_below():
    gates = tuple(Gate("RX", (0,), float(index)) for index in range(50))
    figure = Circuit(1, gates, (Observable.of("Z0"),)).draw("mpl")
    assert len(figure.axes) == 3
    assert sum(text.startswith("RX") for text in texts(figure)) == 50
    assert texts(figure).count("…") == 2


@pytest.mark.parametrize("seed", range(6))
def test_every_kind_of_gate_and_observable_can_be_drawn(seed):
    circuit = random_circuit(seed)
    boxes = sum(text.startswith(("R", "H", "X")) for text in texts(circuit.draw("mpl")))
    parts = [gate for part in fold(circuit.gates) for gate in part.gates] if boxes else circuit.gates
    per_gate = {"CZ": 0, "CNOT": 0, "RXX": 2, "RYY": 2, "RZZ": 2}
    short = len(columns_of(circuit.gates)) <= MOST_COLUMNS
    assert boxes == sum(per_gate.get(gate.name, 1) for gate in (circuit.gates if short else parts))


@pytest.mark.parametrize(
    ("angle", "text"),
    [
        (Weight(12), "w₁₂"),
        (Input(3), "x₃"),
        (Input(0, 4, "tanh"), "tanh s₄x₀"),
        (Input(1, None, "arctan"), "atan x₁"),
        (-0.5, "-0.50"),
    ],
)
def test_angles_as_texts(angle, text):
    assert angle_text(angle) == text


@pytest.mark.parametrize(
    "observables",
    [
        (Observable.of("Z0 Z1"),),
        (Observable.of("Z0"), Observable.of("X0")),
        (Observable.of((0.5, "Z0"), (0.25, "X0 X1")),),
        (Observable.of((0.5, "Z0")),),
    ],
)
def test_observables_that_boxes_do_not_show_are_listed_below(observables):
    gates = (Gate("RY", (0,), Weight(0)), Gate("RX", (1,), Input(0)))
    found = texts(Circuit(2, gates, observables).draw("mpl"))
    assert found[-1] == ", ".join(f"⟨{each}⟩" for each in observables)
    assert "⟨Z⟩" not in found


def test_many_observables_are_listed_in_rows():
    observables = tuple(Observable.of((1.0, "Z0 Z1"), (float(k), "X0")) for k in range(2, 8))
    axes = Circuit(2, (Gate("H", (0,)),), observables).draw("mpl").axes[-1]
    rows = [text for text in axes.texts if "X0" in text.get_text()]
    assert len(rows) > 1 and " ".join(row.get_text() for row in rows) == ", ".join(f"⟨{each}⟩" for each in observables)
    heights = [row.get_position()[1] for row in rows]
    assert heights == sorted(set(heights)) and heights[0] > 1 and heights[-1] < axes.get_ylim()[0]


def test_long_angles_stay_readable():
    """Letters of at least 5 points, that stay within their box."""
    affine = 2 * Expression.of(Input(0)) * Scale(0) + Weight(0)
    long = Expression.of(0.5)
    for index in range(8):
        long = long + Expression.of(Weight(index)) * Input(index)
    angles = (affine, long, Input(10, 11, "arctan"), Expression.of(Input(0)) * Weight(20) - Weight(21))
    figure = Circuit(1, tuple(Gate("RX", (0,), each) for each in angles), (Observable.of("Z0"),)).draw("mpl")
    figure.canvas.draw()
    boxes = [text for text in figure.axes[0].texts if text.get_text().startswith("RX")]
    assert len(boxes) == 4
    for text, patch in zip(boxes, figure.axes[0].patches, strict=False):
        assert text.get_fontsize() >= 5
        inner, outer = text.get_window_extent(), patch.get_window_extent()
        assert outer.x0 <= inner.x0 and inner.x1 <= outer.x1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1


def test_formulas_are_drawn_short_and_their_layers_folded():
    formula = np.pi * Expression.of(Input(1)) - Expression.of(Weight(10)) ** 2
    assert angle_text(Expression.of(Weight(3)) * 2) == "2 w₃"
    assert angle_text((Expression.of(Input(0)) * Weight(2)).apply("arctan")) == "atan(w₂ x₀)"
    assert angle_text(formula) == "f(w₁₀, x₁)"
    gates = (Gate("RX", (0,), 2 * Expression.of(Weight(0))), Gate("RY", (0,), formula))
    figure = Circuit(1, gates, (Observable.of("Z0"),)).draw("mpl")
    boxes = [patch.get_facecolor() for patch in figure.axes[0].patches]
    assert [matplotlib.colors.to_hex(each) for each in boxes[:2]] == ["#dcebf5", "#fbe7d9"]

    def layer(index, coefficient=2.0):
        of_weights = Expression.of(Weight(index)).apply("tanh") * Scale(index) * Input(0)
        return [Gate("RX", (0,), coefficient * of_weights), Gate("RY", (0,), Expression.of(Weight(index)) + 1.0)]

    assert fold([*layer(0), *layer(1)]) == (Part(tuple(layer(0)), 2),)
    different = (*layer(0), *layer(1, 3.0))
    assert fold(different) == (Part(different),)
