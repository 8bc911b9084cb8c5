"""Readout errors of single wires."""

from dataclasses import dataclass

from qrl.common.errors import UsageError


@dataclass(frozen=True)
class Readout:
    """Readout error of a wire. Raises UsageError unless `read` is two rows of probabilities that each sum to 1."""

    wires: tuple[int, ...] | None
    """One wire; None: any wire without a specific readout error."""
    read: tuple[tuple[float, float], tuple[float, float]]
    """[[P(0|0), P(1|0)], [P(0|1), P(1|1)]]: probability of each reading, given the true outcome."""

    def __post_init__(self) -> None:
        where = f"calibration: readout{'' if self.wires is None else f' of wires {self.wires}'}"
        if self.wires is not None and (len(self.wires) != 1 or self.wires[0] < 0):
            raise UsageError(f"{where}: expected exactly one wire")
        for row in self.read:
            if not (all(0 <= p <= 1 for p in row) and abs(sum(row) - 1) < 1e-6):
                raise UsageError(f"{where}: expected two rows of two probabilities with sum 1, not {self.read}")
