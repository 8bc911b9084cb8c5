"""Measurement settings: groups of Pauli words that agree on the basis of every wire they share."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from qrl.circuits.circuit import Circuit
from qrl.circuits.observables import PauliWord


@dataclass
class Setting:
    """Measurement setting: a basis, and the observables' words measured in it."""

    basis: dict[int, str] = field(default_factory=dict)
    """X, Y or Z for each measured wire."""
    words: list[tuple[int, PauliWord]] = field(default_factory=list)
    """Pairs of observable index and word."""


def settings(circuit: Circuit) -> list[Setting]:
    """Group the words greedily: each word joins the first compatible setting."""
    found: list[Setting] = []
    for column, word in _words(circuit):
        fitting = (s for s in found if all(s.basis.get(wire, pauli) == pauli for wire, pauli in word.factors))
        setting = next(fitting, None)
        if setting is None:
            found.append(setting := Setting())
        setting.basis.update(word.factors)
        setting.words.append((column, word))
    return found


def _words(circuit: Circuit) -> Iterator[tuple[int, PauliWord]]:
    for column, observable in enumerate(circuit.observables):
        for word in observable.words:
            yield column, word
