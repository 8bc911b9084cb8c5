"""Options of the command `select`."""

from dataclasses import dataclass
from pathlib import Path

from qrl.common.checks import check_count


@dataclass(frozen=True, kw_only=True)
class SelectOptions:
    """Options of `select`."""

    file: Path
    """CSV file with a header."""

    target: str = ""
    """Column to be predicted; it has to be given."""

    tries: int = 5
    """Algorithms to try [tries]."""

    rows: int = 5000
    """Compare them on so many rows at most, drawn by class [rows]; best.py fits on all."""

    bins: int = 0
    """Cut a target of numbers at its quantiles into so many classes [classes]; 0: it has classes."""

    ignore: tuple[str, ...] = ()
    """Columns not to learn from."""

    balance: bool = False
    """Every class is worth the same, however rare: balanced accuracy decides, and algorithms that can be are told."""

    selector: Path | None = None
    """Run folder of algorithm_selection that proposes in place of the selector that is part of this library."""

    compare: bool = True
    """Fit the best single algorithm too, if it is not proposed."""

    out: Path | None = None
    """New folder to make, with best.json and best.py; by default select-<name of the file>."""

    def __post_init__(self) -> None:
        check_count("--tries", self.tries)
        check_count("--rows", self.rows, least=100)
        if self.bins:
            check_count("--bins", self.bins, least=2, most=20)
