"""Circuit descriptions: validation, counts and drawing."""

import math

import pytest

from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import Gate
from qrl.circuits.observables import Observable, PauliWord
from qrl.common.errors import UsageError

Z0 = (Observable.of("Z0"),)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gate("RZY", (0,), 1.0), "unknown gate 'RZY'; did you mean 'R"),
        (lambda: Gate("CZ", (0,)), "CZ takes 2 distinct wire"),
        (lambda: Gate("CNOT", (1, 1)), "CNOT takes 2 distinct wire"),
        (lambda: Gate("RX", (0,)), "RX takes an angle"),
        (lambda: Gate("H", (0,), 1.0), "H takes no angle"),
        (lambda: Gate("RX", (0,), math.nan), "not finite"),
        (lambda: Gate("RX", (0,), Weight(-1)), "negative"),
        (lambda: Gate("RX", (0,), Input(0, -2)), "negative"),
        (lambda: Circuit(0, (), Z0), "n_wires must be at least 1"),
        (lambda: Circuit(1, (), ()), "at least one observable"),
        (lambda: Circuit(2, (Gate("CZ", (1, 2)),), Z0), "wires 0 to 1"),
        (
            lambda: Circuit(2, (), (Observable.of("Z0 Z2"),)),
            "wire that does not exist; there are wires 0 to 1",
        ),
        (lambda: PauliWord.parse("Z0 W1"), "cannot read 'W1'"),
        (lambda: PauliWord.parse("Z0 X0"), "twice"),
        (lambda: PauliWord.parse("Z0", math.inf), "not finite"),
    ],
)
def test_invalid_circuits_are_rejected(make, message):
    with pytest.raises(UsageError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def example() -> Circuit:
    gates = (
        Gate("H", (0,)),
        Gate("RX", (1,), Weight(1)),
        Gate("CZ", (0, 2)),
        Gate("RY", (1,), Input(0, 2, "tanh")),
        Gate("CRZ", (2, 1), 0.5),
    )
    return Circuit(3, gates, (Observable.of("Z0 Z2"), Observable.of((0.5, "X1"), (2.0, "Z0"))))


def test_counts():
    specs = example().specs()
    assert specs == {
        "n_wires": 3,
        "n_inputs": 1,
        "n_weights": 2,
        "n_scales": 3,
        "n_observables": 2,
        "n_gates": 5,
        "n_two_wire_gates": 2,
        "depth": 3,
        "gates": {"H": 1, "RX": 1, "CZ": 1, "RY": 1, "CRZ": 1},
    }


def test_drawing():
    assert example().draw().splitlines() == [
        "0: ---H----------------------*----------",
        "1: -RX(w1)--RY(tanh(s2*x0))--|--RZ(0.5)-",
        "2: --------------------------*-----*----",
        "<Z0 Z2>",
        "<0.5*X1 + 2*Z0>",
    ]


def test_a_drawing_is_continued_below_where_a_column_ends():
    """A column wider than the width stands alone; the observables are written once."""
    assert example().draw(width=30).splitlines() == [
        "0: ---H---------------------",
        "1: -RX(w1)--RY(tanh(s2*x0))-",
        "2: -------------------------",
        "",
        "0: -*----------",
        "1: -|--RZ(0.5)-",
        "2: -*-----*----",
        "<Z0 Z2>",
        "<0.5*X1 + 2*Z0>",
    ]
    narrow = example().draw(width=12).splitlines()
    second_wire = [line for line in narrow if line.startswith("1:")]
    assert second_wire == ["1: -RX(w1)-", "1: -RY(tanh(s2*x0))-", "1: -|-", "1: -RZ(0.5)-"]


def test_equal_descriptions_hash_equally():
    assert example() == example() and hash(example()) == hash(example())
