"""Read PennyLane's operations as gates."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Channel, Operator
from pennylane.ops.op_math import Adjoint, Controlled, ControlledOp, Exp

from qrl.circuits.angles import Angle
from qrl.circuits.gates import GATES
from qrl.circuits.tracing import expression_of, imaginary_part, is_symbolic
from qrl.common.errors import UsageError, wrap_errors

MAX_CONTROLS = 8
"""Largest number of controls of a rotation, whose gates double with each."""

_NAMES = {"Hadamard": "H", "PauliX": "X", "IsingXX": "RXX", "IsingYY": "RYY", "IsingZZ": "RZZ"}
_WITHOUT_EFFECT = ("GlobalPhase", "Identity", "Barrier", "Snapshot")

_MEASURED = (
    "qml.measure within a circuit cannot be read: circuits here are measured at their end only; "
    "qml.defer_measurements(function) has controlled gates instead"
)
_NOISE = (
    "circuits are without noise, which a backend adds: --noise depolarizing=0.01 or "
    "Backend(noise=Noise(depolarizing=0.01))"
)

NamedGate = tuple[str, tuple[Hashable, ...], Angle | None]
"""Name, wire labels and angle of a gate."""


def read_gates(operation: Operator, parent: str = "") -> Iterator[NamedGate]:
    """Yield the supported gates in the decomposition of an operation; `parent` is the user's gate that contains it.

    Raises UsageError, with the name of the user's gate, for an operation that cannot be decomposed, and for angles that
    are no expressions.
    """
    name, whole = _NAMES.get(operation.name, operation.name), parent or operation.name
    if name in GATES:
        described = f"{name} in {parent}" if parent else name
        angles = [_angle(described, value) for value in operation.parameters]
        yield name, tuple(operation.wires.labels), angles[0] if angles else None
    elif operation.name not in _WITHOUT_EFFECT:
        yield from (gate for each in _decomposition(operation, whole) for gate in read_gates(each, whole))


def _decomposition(operation: Operator, whole: str) -> Sequence[Operator]:
    if operation.name == "MidMeasureMP":
        raise UsageError(f"from_pennylane: {_MEASURED}")
    if isinstance(operation, Channel):
        raise UsageError(f"from_pennylane: the channel {whole} cannot be read: {_NOISE}")
    supported = f"cannot be decomposed into the supported gates ({', '.join(GATES)})"
    # PennyLane may compute with numbers there, such as the angles of a matrix.
    with wrap_errors(f"from_pennylane: gate {whole} {supported} unless its angles are constant", usage_errors=True):
        if (steps := _decomposition_of_symbols(operation)) is not None:
            return steps
        if operation.has_decomposition:
            return list(operation.decomposition())
    raise UsageError(f"from_pennylane: gate {whole} {supported}")


def _decomposition_of_symbols(operation: Operator) -> list[Operator] | None:
    """Decompose an operation that PennyLane can decompose for numbers only; return None for any other one."""
    if isinstance(operation, Exp):
        of_symbols = any(map(is_symbolic, (operation.coeff, *operation.base.parameters)))
        return _exponential(operation) if of_symbols else None
    if not any(map(is_symbolic, operation.parameters)):
        return None
    if isinstance(operation, Adjoint):
        of_numbers = isinstance(operation.base, qml.U2 | qml.U3)
        steps = operation.base.decomposition() if of_numbers else _decomposition_of_symbols(operation.base)
        return None if steps is None else [qml.adjoint(step) for step in reversed(steps)]
    if type(operation) in (Controlled, ControlledOp):
        base = operation.base
        if len(base.wires) <= 1 or isinstance(base, qml.GlobalPhase | Exp):
            flips = [
                qml.X(w) for w, one in zip(operation.control_wires, operation.control_values, strict=True) if not one
            ]
            return [*flips, *_controlled(base, list(operation.control_wires)), *flips]
    return None


def _controlled(base: Operator, controls: list[Hashable]) -> list[Operator]:
    """Decompose an operation on one wire, a phase or an exponential that is applied if all controls are one."""
    match base:
        case qml.GlobalPhase():
            phase = qml.PhaseShift(-base.parameters[0], wires=controls[-1])
            return [qml.ctrl(phase, controls[:-1]) if controls[1:] else phase]
        case qml.RX() | qml.RY() | qml.RZ():
            return [qml.ctrl(base, controls)] if len(controls) == 1 else _controlled_rotation(base, controls)
    return [qml.ctrl(step, controls) for step in _steps(base)]


def _steps(base: Operator) -> list[Operator]:
    steps = _decomposition_of_symbols(base)
    return base.decomposition() if steps is None else steps


def _controlled_rotation(rotation: Operator, controls: list[Hashable]) -> list[Operator]:
    """Rotate if all controls are one: 2^n rotations of alternating sign (Moettoenen et al. 2004, figure 2).

    The CNOTs between them follow a Gray code, so that the signs cancel all angles unless every control is one.
    """
    if len(controls) > MAX_CONTROLS:
        raise UsageError(f"it has {len(controls)} controls; at most {MAX_CONTROLS} can be read")
    target, parts = rotation.wires[0], 2 ** len(controls)
    basis = [qml.Hadamard(target)] if isinstance(rotation, qml.RX) else []
    rotate = qml.RZ if basis else type(rotation)
    steps = []
    for k in range(parts):
        changed = min((~k & (k + 1)).bit_length() - 1, len(controls) - 1)  # the bit in which codes k and k + 1 differ
        angle = rotation.parameters[0] / parts
        steps += [rotate(-angle if k % 2 else angle, wires=target), qml.CNOT([controls[changed], target])]
    return [*basis, *steps, *basis]


def _exponential(operation: Exp) -> list[Operator]:
    """Decompose exp(i a P), with a number a and a sum P of commuting Pauli words, into rotations."""
    sentence, factor = operation.base.pauli_rep, imaginary_part(operation.coeff)
    if sentence is None:
        raise UsageError("its generator is not a sum of Pauli words")
    words = list(sentence)
    if not all(one.commutes_with(other) for one in words for other in words):
        raise UsageError("the terms of its generator do not commute: use qml.TrotterProduct or qml.ApproxTimeEvolution")
    steps = []
    for word, coefficient in sentence.items():
        angle = factor * _real(coefficient)
        if word:
            steps.append(qml.PauliRot(-2 * angle, "".join(word.values()), wires=list(word)))
        else:
            steps.append(qml.GlobalPhase(-angle))
    return steps


def _real(coefficient: object) -> Any:
    """Return a coefficient of a generator: a real number or symbol."""
    if is_symbolic(coefficient):
        return coefficient
    number = complex(coefficient)  # type: ignore[call-overload]
    if number.imag:
        raise UsageError(f"its generator is not Hermitian: it has the coefficient {number}")
    return number.real


def _angle(gate: str, value: object) -> Angle:
    if np.ndim(value) and np.size(value) != 1:  # type: ignore[arg-type]
        raise UsageError(f"from_pennylane: an angle of {gate} is an array; write the circuit for a single sample")
    with wrap_errors(f"from_pennylane: an angle of {gate}", usage_errors=True):
        return expression_of(value).simplest()
