"""Read a PennyLane circuit, an ordinary function, into gates and observables.

The function is executed several times with random inputs, weights and scales. The values of a gate's angle identify it:
a weight, an input, a scale times an input, tanh or arctan of one of the last two, or a constant. Any other angle is
refused by name, so no circuit is mistaken for another.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.measurements import MeasurementProcess
from pennylane.operation import Operator

from qrl.circuits.angles import TRANSFORMS, Angle, Input, Weight
from qrl.circuits.gates import GATES, Gate
from qrl.circuits.observables import Observable, PauliWord
from qrl.common.errors import UsageError, wrap_errors

_NAMES = {"Hadamard": "H", "PauliX": "X", "IsingXX": "RXX", "IsingYY": "RYY", "IsingZZ": "RZZ"}
_WITHOUT_EFFECT = ("GlobalPhase", "Identity", "Barrier", "Snapshot")
_FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "arctan": np.arctan,
}
N_DRAWS = 8
_CLOSE = 1e-9
"""Tolerance for equal numbers: different random numbers are further apart, equal ones never are."""

Numbers = tuple[np.ndarray, ...]
"""Inputs, weights and, if any, scales."""


def read_pennylane(
    function: Callable[..., object], n_inputs: int, n_weights: int, n_scales: int
) -> tuple[int, tuple[Gate, ...], tuple[Observable, ...]]:
    """Return wires, gates and observables; see `Circuit.from_pennylane`."""
    if min(n_inputs, n_weights, n_scales) < 0:
        raise UsageError("from_pennylane: numbers of inputs, weights and scales must not be negative")
    draws = []
    for seed in range(N_DRAWS):
        rng = np.random.default_rng(seed)
        draws.append(tuple(rng.uniform(0.1, 1.2, size) for size in (n_inputs, n_weights, n_scales)))
    scripts = [_record(function, numbers if n_scales else numbers[:2]) for numbers in draws]
    wires = {label: index for index, label in enumerate(_sorted(scripts[0].wires.labels))}
    recorded = [[gate for operation in script.operations for gate in _gates(operation)] for script in scripts]
    if any([gate[:3] for gate in other] != [gate[:3] for gate in recorded[0]] for other in recorded):
        raise UsageError(
            "from_pennylane: only angles may depend on the values of inputs, weights and scales, not gates"
        )
    gates = []
    for (name, labels, description, first), *others in zip(*recorded, strict=True):
        angle = None if first is None else _angle(description, [first, *(value for *_, value in others)], draws)
        gates.append(Gate(name, tuple(wires[label] for label in labels), angle))
    if not scripts[0].measurements:
        raise UsageError("from_pennylane: the function returns no expectation value, such as qml.expval(qml.PauliZ(0))")
    return len(wires), tuple(gates), tuple(_observable(m, wires) for m in scripts[0].measurements)


def _record(function: Callable[..., object], numbers: Numbers) -> qml.tape.QuantumScript:
    with wrap_errors("from_pennylane: the function failed"):
        return qml.tape.make_qscript(function)(*numbers)


def _sorted(labels: Sequence[Hashable]) -> list[Hashable]:
    """Sort wire labels by number or, if some are names, keep their order."""
    numbers = [label for label in labels if isinstance(label, int)]
    return [*sorted(numbers)] if len(numbers) == len(labels) else list(labels)


def _gates(operation: Operator, parent: str = "") -> Iterator[tuple[str, tuple[Hashable, ...], str, Any]]:
    """Yield name, wires, description and angle of each supported gate in the decomposition of an operation."""
    name = _NAMES.get(operation.name, operation.name)
    if name in GATES:
        (angle,) = operation.parameters or [None]
        yield name, tuple(operation.wires.labels), f"{name} in {parent}" if parent else name, angle
    elif operation.name not in _WITHOUT_EFFECT:
        if not operation.has_decomposition:
            supported = ", ".join(GATES)
            raise UsageError(
                f"from_pennylane: gate {operation.name} cannot be decomposed into the supported gates ({supported})"
            )
        for each in operation.decomposition():
            yield from _gates(each, parent or operation.name)


def _angle(gate: str, values: list[Any], draws: list[Numbers]) -> Angle:
    """Identify an angle by its values in all draws."""
    if any(np.ndim(value) for value in values):
        raise UsageError(f"from_pennylane: an angle of {gate} is an array; write the circuit for a single sample")
    found = [float(value) for value in values]
    for angle, candidates in _candidates(draws):
        if all(abs(value - candidate) < _CLOSE for value, candidate in zip(found, candidates, strict=True)):
            return angle
    if max(found) - min(found) < _CLOSE:
        return found[0]
    raise UsageError(
        f"from_pennylane: an angle of {gate} is not a weight, an input, a scale times an input, tanh or arctan of one "
        "of these two, or a constant"
    )


def _candidates(draws: list[Numbers]) -> Iterator[tuple[Angle, list[float]]]:
    """Yield every possible angle with its value in each draw."""
    inputs, weights, scales = (np.stack(kind) for kind in zip(*draws, strict=True))
    yield from ((Weight(index), column.tolist()) for index, column in enumerate(weights.T))
    for transform in TRANSFORMS:
        apply = _FUNCTIONS[transform]
        for feature, column in enumerate(inputs.T):
            yield Input(feature, None, transform), apply(column).tolist()
            for scale, factor in enumerate(scales.T):
                yield Input(feature, scale, transform), apply(factor * column).tolist()


def _observable(measurement: MeasurementProcess, wires: dict[Hashable, int]) -> Observable:
    sentence = None
    if isinstance(measurement, qml.measurements.ExpectationMP):
        sentence = measurement.obs.pauli_rep
    if sentence is None:
        raise UsageError(f"from_pennylane: only expectation values of Pauli operators can be read, not {measurement}")
    words = []
    for word, coefficient in sentence.items():
        factors = tuple(sorted((wires[wire], pauli) for wire, pauli in word.items()))
        words.append(PauliWord(factors, float(np.real(coefficient))))
    return Observable(tuple(words))
