"""Repeating layers of a circuit, so that a deep circuit is drawn as one layer and the number of its repetitions."""

from collections.abc import Sequence
from dataclasses import dataclass

from qrl.circuits.angles import Angle, Expression, Factor, Function, Input, Scale, Weight
from qrl.circuits.gates import Gate

LEAST_SAVED = 1 / 3
"""Share of the gates that folding must save."""


@dataclass(frozen=True)
class Part:
    """Consecutive gates of a circuit, repeated `times`; those of the first repetition."""

    gates: tuple[Gate, ...]
    times: int = 1


def fold(gates: Sequence[Gate]) -> tuple[Part, ...]:
    """Return the gates with the repetition that shortens them most: what is before it, one layer, what is after it.

    Layers are equal if their gates are, except for the indices of trainable weights and scales. Without a repetition
    that saves a third of the gates, return one part.
    """
    kinds = [_kind(gate) for gate in gates]
    start, period, times = _longest_repetition(kinds)
    if times == 1 or (times - 1) * period < LEAST_SAVED * len(gates):
        return (Part(tuple(gates)),)
    end = start + period * times
    parts = (
        Part(tuple(gates[:start])),
        Part(tuple(gates[start : start + period]), times),
        Part(tuple(gates[end:])),
    )
    return tuple(part for part in parts if part.gates)


def columns_of(gates: Sequence[Gate]) -> tuple[tuple[Gate, ...], ...]:
    """Return the gates in columns to draw: each as early as the wires that it covers, with those it crosses, are free.

    >>> [len(column) for column in columns_of([Gate("H", (0,)), Gate("CZ", (0, 2)), Gate("H", (1,))])]
    [1, 1, 1]
    """
    free: dict[int, int] = {}
    columns: list[list[Gate]] = []
    for gate in gates:
        covered = range(min(gate.wires), max(gate.wires) + 1)
        column = max(free.get(wire, 0) for wire in covered)
        if column == len(columns):
            columns.append([])
        columns[column].append(gate)
        for wire in covered:
            free[wire] = column + 1
    return tuple(tuple(column) for column in columns)


def _kind(gate: Gate) -> tuple[object, ...]:
    """Return what a gate has in common with that of another layer."""
    return gate.name, gate.wires, None if gate.angle is None else _kind_of_angle(gate.angle)


def _kind_of_angle(angle: Angle | Factor) -> object:
    """Return an angle without the indices of weights and scales."""
    match angle:
        case Weight():
            return "weight"
        case Scale():
            return "scale"
        case Input(feature, scale, transform):
            return feature, scale is None, transform
        case Function(name, argument):
            return name, _kind_of_angle(argument)
        case Expression(terms):
            return tuple((term.coefficient, *map(_kind_of_angle, term.factors)) for term in terms)
    return angle


def _longest_repetition(kinds: Sequence[object]) -> tuple[int, int, int]:
    """Return start, period and number of the repetitions that save most gates, the shortest period first."""
    best, saved = (0, len(kinds), 1), 0
    for period in range(1, len(kinds) // 2 + 1):
        length = 0  # of the run of gates that are equal to the one a period later
        for index in range(len(kinds) - period + 1):
            if index < len(kinds) - period and kinds[index] == kinds[index + period]:
                length += 1
                continue
            times = length // period + 1
            if (times - 1) * period > saved:
                best, saved = (index - length, period, times), (times - 1) * period
            length = 0
    return best
