"""Read PennyLane's measurements as observables, sums of Pauli words."""

import itertools
from collections.abc import Hashable, Mapping
from functools import reduce

import numpy as np
import pennylane as qml
from pennylane.measurements import ExpectationMP, MeasurementProcess, ProbabilityMP
from pennylane.operation import Operator
from pennylane.ops import Prod, SProd, Sum
from pennylane.pauli import PauliSentence

from qrl.circuits.observables import Observable, PauliWord
from qrl.common.errors import UsageError, wrap_errors

MAX_WIRES = 5
"""Largest number of wires of an observable that is given as a matrix, and of `qml.probs`."""

_ROUNDING = 1e-12
"""Coefficients up to this are rounding errors of a matrix."""


def read_measurement(measurement: MeasurementProcess, wires: Mapping[Hashable, int]) -> tuple[Observable, ...]:
    """Return the observables of a measurement: one for an expectation value, one for each outcome of `qml.probs`.

    Raises UsageError for other measurements, for operators that have no matrix, and for too many wires.
    """
    match measurement:
        case ExpectationMP(obs=Operator() as operator):
            with wrap_errors(f"from_pennylane: observable {operator.name}", usage_errors=True):
                return (_observable(_sentence(operator), wires),)
        case ProbabilityMP(obs=None, mv=None) if measurement.wires:
            _check_n_wires("from_pennylane: qml.probs", len(measurement.wires))
            return _projectors([wires[label] for label in measurement.wires])
    raise UsageError(
        "from_pennylane: expectation values, qml.expval, and probabilities, qml.probs(wires=[...]), can be read, not "
        f"{measurement}"
    )


def _sentence(operator: Operator) -> PauliSentence:
    """Return an operator as a weighted sum of Pauli words."""
    if operator.pauli_rep is not None:
        return operator.pauli_rep
    match operator:
        case Sum():
            return reduce(lambda one, other: one + other, map(_sentence, operator.operands))
        case Prod():
            return reduce(lambda one, other: one @ other, map(_sentence, operator.operands))
        case SProd():
            return operator.scalar * _sentence(operator.base)
    if not operator.has_matrix:
        raise UsageError("it is no sum of Pauli operators, and has no matrix")
    _check_n_wires("its matrix", len(operator.wires))
    return qml.pauli_decompose(operator.matrix(), wire_order=operator.wires, pauli=True)


def _check_n_wires(what: str, n_wires: int) -> None:
    if n_wires > MAX_WIRES:
        raise UsageError(f"{what} is on {n_wires} wires; at most {MAX_WIRES} can be read")


def _observable(sentence: PauliSentence, wires: Mapping[Hashable, int]) -> Observable:
    words = []
    for word, coefficient in sentence.items():
        number = complex(coefficient)
        if abs(number.imag) > _ROUNDING:
            raise UsageError(f"it is not Hermitian: its coefficient of {word} is {number}")
        if abs(number) > _ROUNDING:
            words.append(PauliWord(tuple(sorted((wires[label], pauli) for label, pauli in word.items())), number.real))
    return Observable(tuple(words))


def _projectors(wires: list[int]) -> tuple[Observable, ...]:
    """Return the projector onto each outcome, the first wire most significant: the product of (1 +- Z) / 2."""
    subsets = [s for n in range(len(wires) + 1) for s in itertools.combinations(range(len(wires)), n)]
    projectors = []
    for bits in itertools.product((0, 1), repeat=len(wires)):
        words = (
            PauliWord(
                tuple(sorted((wires[k], "Z") for k in subset)),
                float(np.prod([1 - 2 * bits[k] for k in subset])) / 2 ** len(wires),
            )
            for subset in subsets
        )
        projectors.append(Observable(tuple(words)))
    return tuple(projectors)
