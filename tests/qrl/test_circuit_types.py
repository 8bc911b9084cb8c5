"""Values of the wrong type in circuits: one clear error where they are given."""

import pytest

from qrl import Circuit, Gate, Observable, UsageError, Weight

RX, Z0 = Gate("RX", (0,), Weight(0)), Observable.of("Z0")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gate("RX", 0, Weight(0)), r"the wires of RX must be a tuple of integers, not 0"),
        (lambda: Gate("RX", ("0",), Weight(0)), r"the wires of RX must be a tuple of integers, not \('0',\)"),
        (
            lambda: Gate("RX", (0,), "w0"),
            r"the angle of RX must be a Weight, an Input, an Expression or a number, not 'w0'",
        ),
        (lambda: Circuit(1, RX, (Z0,)), r"gates must be a tuple of Gates, not Gate\("),
        (lambda: Circuit(1, (RX,), ("Z0",)), r"observables must be a tuple of Observables, not \('Z0',\)"),
    ],
)
def test_a_wrong_type_is_refused(monkeypatch, make, message):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)  # as outside the tests
    with pytest.raises(UsageError, match=message):
        make()
