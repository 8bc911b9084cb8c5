"""Measurement settings: groups of Pauli words that agree on the basis of every wire they share."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

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


def eigenvalues(setting: Setting, n_wires: int, n_observables: int) -> np.ndarray:
    """Return the observables' eigenvalues [outcome, observable] in a setting, without the words of other settings."""
    signs = z_signs(n_wires)
    values = np.zeros((2**n_wires, n_observables))
    for column, word in setting.words:
        values[:, column] += word.coefficient * np.prod(signs[[wire for wire, _ in word.factors]], axis=0)
    return values


def z_signs(n_wires: int) -> np.ndarray:
    """Return the eigenvalue of each wire's Z in each basis state, [wire, state]."""
    bits = (np.arange(2**n_wires) >> np.arange(n_wires)[::-1, None]) & 1
    return 1.0 - 2.0 * bits


def _words(circuit: Circuit) -> Iterator[tuple[int, PauliWord]]:
    for column, observable in enumerate(circuit.observables):
        for word in observable.words:
            yield column, word
