"""Read a PennyLane circuit, an ordinary function or a QNode, into gates and observables.

The function is called with symbolic inputs, weights and scales (`qrl.circuits.tracing`), so that each angle is the
expression that the function computes. What depends on their values, or cannot be computed with them, is refused.
"""

import math
import traceback
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np
import pennylane as qml
from pennylane.operation import Operator

from qrl.circuits.angles import Angle, Input, Scale, Weight
from qrl.circuits.gates import GATES, Gate
from qrl.circuits.observables import Observable
from qrl.circuits.pennylane_measurements import read_measurement
from qrl.circuits.tracing import SymbolArray, as_symbols, expression_of, symbols
from qrl.common.caller import warn_caller
from qrl.common.checks import check_count
from qrl.common.errors import UsageError, wrap_errors

Shapes = Mapping[str, int | Sequence[int]]
"""Shape of each argument with weights, as in `qml.qnn.TorchLayer`; a number is a vector of this length."""

_NAMES = {"Hadamard": "H", "PauliX": "X", "IsingXX": "RXX", "IsingYY": "RYY", "IsingZZ": "RZZ"}
_WITHOUT_EFFECT = ("GlobalPhase", "Identity", "Barrier", "Snapshot")
_PIPELINE = "compile_pipeline" if "compile_pipeline" in dir(qml.QNode) else "transform_program"
"""Attribute of a QNode with its transforms; PennyLane 0.45 renamed it."""

_EXAMPLE = "such as {'weights': (2, 4)}"


@dataclass(frozen=True)
class Sizes:
    """Numbers of inputs, weights and scales, and the shapes of the weights; None: weights are one vector."""

    n_inputs: int
    n_weights: int
    n_scales: int
    shapes: dict[str, tuple[int, ...]] | None


Description = tuple[int, tuple[Gate, ...], tuple[Observable, ...]]
"""Number of wires, gates and observables of a circuit."""


def read_pennylane(function: Callable[..., object], sizes: Sizes) -> Description:
    """Return wires, gates and observables; see `Circuit.from_pennylane`."""
    if isinstance(function, qml.QNode):
        function = _function_of(function)
    found = _read(function, sizes)
    if found != _read(function, sizes):
        raise UsageError("from_pennylane: the function makes another circuit in each call; fix its random numbers")
    return found


def sizes_of(n_inputs: int, n_weights: int | None, n_scales: int, weight_shapes: Shapes | None) -> Sizes:
    """Return the sizes of a function's arguments.

    Raises UsageError for a negative number, a shape that is none, and unless either the number of weights or their
    shapes are given.
    """
    for name, count in (("n_inputs", n_inputs), ("n_weights", n_weights or 0), ("n_scales", n_scales)):
        check_count(f"from_pennylane: {name}", count, least=0)
    if (n_weights is None) == (weight_shapes is None):
        raise UsageError(f"from_pennylane: give n_weights, for a vector, or weight_shapes, {_EXAMPLE}")
    if weight_shapes is None:
        return Sizes(n_inputs, n_weights or 0, n_scales, None)
    shapes = {name: _shape(name, shape) for name, shape in weight_shapes.items()}
    return Sizes(n_inputs, sum(math.prod(shape) for shape in shapes.values()), n_scales, shapes)


def _shape(name: str, shape: int | Sequence[int]) -> tuple[int, ...]:
    axes = (shape,) if isinstance(shape, int) else tuple(shape)
    return tuple(check_count(f"from_pennylane: weight_shapes: {name}", axis, least=0) for axis in axes)


def _function_of(node: qml.QNode) -> Callable[..., object]:
    """Return the function of a QNode, and warn that its device is not used. Raises UsageError for transforms."""
    if transforms := list(getattr(node, _PIPELINE)):
        raise UsageError(
            f"from_pennylane: the QNode has transforms, {', '.join(map(str, transforms))}, which cannot be read; give "
            "the function without them"
        )
    warn_caller(
        f"from_pennylane: the gates of the QNode are read; its device {node.device.name} is not used: choose where "
        "circuits run, and shots, by a backend"
    )
    return node.func


def _read(function: Callable[..., object], sizes: Sizes) -> Description:
    script = _record(function, sizes)
    wires = {label: index for index, label in enumerate(_sorted(script.wires.labels))}
    gates = tuple(
        Gate(name, tuple(wires[label] for label in labels), angle)
        for operation in script.operations
        for name, labels, angle in _gates(operation)
    )
    if not script.measurements:
        raise UsageError("from_pennylane: the function returns no expectation value, such as qml.expval(qml.PauliZ(0))")
    observables = (observable for each in script.measurements for observable in read_measurement(each, wires))
    return len(wires), gates, tuple(observables)


def _record(function: Callable[..., object], sizes: Sizes) -> qml.tape.QuantumScript:
    """Call the function with symbols."""
    inputs, weights = symbols(Input, (sizes.n_inputs,)), symbols(Weight, (sizes.n_weights,))
    scales = (symbols(Scale, (sizes.n_scales,)),) if sizes.n_scales else ()
    positional: tuple[SymbolArray, ...] = (inputs, weights, *scales)
    named: dict[str, SymbolArray] = {}
    if sizes.shapes is not None:
        positional = ()
        named = {"inputs": inputs, **_split(weights, sizes.shapes), **dict(zip(("scales",), scales, strict=False))}
    try:
        with wrap_errors("from_pennylane: the function failed"):
            return qml.tape.make_qscript(function)(*positional, **named)
    except UsageError as error:
        cause = error.__cause__
        if cause is None:  # a symbol's own error
            raise UsageError(f"from_pennylane: {str(error).removeprefix('circuit: ')}{_where(error)}") from error
        if "numpy.object_" in str(cause):  # torch's error of a conversion
            raise UsageError(
                "from_pennylane: inputs, weights and scales are symbols here, which a tensor cannot hold: leave out "
                f"torch.tensor and torch.as_tensor{_where(cause)}"
            ) from cause
        about_shapes = isinstance(cause, IndexError | ValueError) or "positional argument" in str(cause)
        hint = f"; weights are a vector [{sizes.n_weights}] unless weight_shapes is given, {_EXAMPLE}"
        raise UsageError(f"{error}{hint if about_shapes and sizes.shapes is None else ''}") from cause


def _split(weights: SymbolArray, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, SymbolArray]:
    """Divide a vector of weights into arguments, one after the other."""
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = np.split(weights, ends[:-1]) if shapes else []
    return {name: as_symbols(part.reshape(shape)) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def _where(error: BaseException) -> str:
    """Return file and line of the user's function where an error arose, with the line itself."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [str(Path(root).parent) for root in (__file__, qml.__file__)]
    users = [frame for frame in frames if not any(frame.filename.startswith(folder) for folder in ours)]
    if not users:
        return ""
    # Libraries that the function calls come after it.
    last = [frame for frame in users if frame.filename == users[0].filename][-1]
    return f" ({Path(last.filename).name}, line {last.lineno}{f': {shorten(last.line, 80)}' if last.line else ''})"


def _sorted(labels: Sequence[Hashable]) -> list[Hashable]:
    """Sort wire labels by number or, if some are names, keep their order."""
    numbers = [label for label in labels if isinstance(label, int)]
    return [*sorted(numbers)] if len(numbers) == len(labels) else list(labels)


def _gates(operation: Operator, parent: str = "") -> Iterator[tuple[str, tuple[Hashable, ...], Angle | None]]:
    """Yield name, wires and angle of each supported gate in the decomposition of an operation."""
    name, whole = _NAMES.get(operation.name, operation.name), parent or operation.name
    if name in GATES:
        described = f"{name} in {parent}" if parent else name
        angles = [_angle(described, value) for value in operation.parameters]
        yield name, tuple(operation.wires.labels), angles[0] if angles else None
    elif operation.name == "MidMeasureMP":
        raise UsageError(
            "from_pennylane: qml.measure within a circuit cannot be read: circuits here are measured at their end only"
        )
    elif operation.name not in _WITHOUT_EFFECT:
        yield from (gate for each in _decomposition(operation, whole) for gate in _gates(each, whole))


def _decomposition(operation: Operator, whole: str) -> list[Operator]:
    supported = f"cannot be decomposed into the supported gates ({', '.join(GATES)})"
    # PennyLane may compute with numbers there, such as the angles of a matrix.
    with wrap_errors(f"from_pennylane: gate {whole} {supported} unless its angles are constant", usage_errors=True):
        if operation.has_decomposition:
            return operation.decomposition()
    raise UsageError(f"from_pennylane: gate {whole} {supported}")


def _angle(gate: str, value: object) -> Angle:
    if np.ndim(value):  # type: ignore[arg-type]
        raise UsageError(f"from_pennylane: an angle of {gate} is an array; write the circuit for a single sample")
    with wrap_errors(f"from_pennylane: an angle of {gate}", usage_errors=True):
        return expression_of(value).simplest()
