"""Observables: weighted sums of Pauli words."""

import math
from dataclasses import dataclass
from typing import Literal

from qrl.common.errors import UsageError

Pauli = Literal["X", "Y", "Z"]


@dataclass(frozen=True)
class PauliWord:
    """Coefficient times a product of Pauli operators on distinct wires; without factors it is the identity."""

    factors: tuple[tuple[int, Pauli], ...]
    coefficient: float = 1.0

    def __post_init__(self) -> None:
        wires = [wire for wire, _ in self.factors]
        if len(set(wires)) != len(wires):
            raise UsageError(f"circuit: a wire occurs twice in the Pauli word {self}")
        if unknown := [pauli for _, pauli in self.factors if pauli not in ("X", "Y", "Z")]:
            raise UsageError(f"circuit: a factor of a Pauli word is X, Y or Z, not {unknown[0]!r}")
        if not math.isfinite(self.coefficient):
            raise UsageError(f"circuit: the coefficient {self.coefficient} of a Pauli word is not finite")

    @classmethod
    def parse(cls, text: str, coefficient: float = 1.0) -> "PauliWord":
        """Parse "Z0 X2" (Z on wire 0 times X on wire 2). Raises UsageError for anything else."""
        factors: list[tuple[int, Pauli]] = []
        for token in text.split():
            letter, wire = token[0], token[1:]
            if letter not in ("X", "Y", "Z") or not wire.isdecimal():
                raise UsageError(f"circuit: cannot read {token!r} in the Pauli word {text!r}; write words like 'Z0 X2'")
            factors.append((int(wire), letter))  # type: ignore[arg-type]
        return cls(tuple(sorted(factors)), coefficient)

    def __str__(self) -> str:
        word = " ".join(f"{pauli}{wire}" for wire, pauli in self.factors) or "I"
        return word if self.coefficient == 1.0 else f"{self.coefficient:g}*{word}"


@dataclass(frozen=True)
class Observable:
    """Weighted sum of Pauli words, measured as one expectation value in [-sum|c|, sum|c|]."""

    words: tuple[PauliWord, ...]

    @classmethod
    def of(cls, *words: str | tuple[float, str]) -> "Observable":
        """Build an observable: `Observable.of("Z0 Z1")` or `Observable.of((0.5, "Z0"), (0.5, "X1"))`."""
        return cls(tuple(PauliWord.parse(w) if isinstance(w, str) else PauliWord.parse(w[1], w[0]) for w in words))

    def __str__(self) -> str:
        return " + ".join(str(word) for word in self.words) or "0"
