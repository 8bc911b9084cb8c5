"""Families whose observations are qubits, with the best success rates of classical and of coherent memories."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from qrl.common.errors import UsageError


@dataclass(frozen=True)
class Ceiling:
    """Largest success rate of any agent with a classical memory, of any size and training.

    Raises:
        UsageError: the value is not above 0 and at most 1.
    """

    value: float
    """Success rate [probability]."""
    kind: Literal["exact", "bound"]
    """`exact` if a classical memory attains it, `bound` if it is known only that none exceeds it."""

    def __post_init__(self) -> None:
        if not 0 < self.value <= 1:
            raise UsageError(f"ceiling of a classical memory must be above 0 and at most 1, not {self.value}")


@runtime_checkable
class QuantumDataFamily(Protocol):
    """Family of tasks on quantum data whose episodes each succeed or fail.

    An episode returns 1 if its answer is right, else 0. Cases are drawn afresh in every episode, so that the ceiling
    holds for each episode whatever has happened before; a certificate relies on it.
    """

    @property
    def classical_ceiling(self) -> Ceiling:
        """Largest success rate of any agent with a classical memory, in every episode, even if it knows the task."""

    @property
    def quantum_optimum(self) -> float | None:
        """Success rate of the best agent with a coherent memory [probability]; None if it is not known."""


@runtime_checkable
class StoredDataFamily(QuantumDataFamily, Protocol):
    """Family that also knows how much noise of the stored memory a coherent memory can take."""

    @property
    def storage_threshold(self) -> float | None:
        """Probability of losing the stored memory at which the best coherent memory reaches the ceiling, if known."""
