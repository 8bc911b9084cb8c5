"""Which Pauli words are measured together: those that agree wire by wire on the basis to measure in."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from qrl.circuits.circuit import Circuit
from qrl.circuits.observables import PauliWord


@dataclass
class Setting:
    """A basis to measure in, and what is then known."""

    basis: dict[int, str] = field(default_factory=dict)
    """X, Y or Z of the wires that matter."""
    words: list[tuple[int, PauliWord]] = field(default_factory=list)
    """Observable and word."""


def settings(circuit: Circuit) -> list[Setting]:
    """As few as are found by putting each word into the first setting that it fits."""
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
