"""Options of the command `select`."""

from dataclasses import dataclass
from pathlib import Path

from envs.automl import DateOrder, Decimal
from qrl.common.checks import check_count

MOST_EVALUATIONS = 1000
"""Upper bound of the evaluations, more than there are algorithms [evaluations]."""

MOST_ROWS = 10**9
"""Upper bound of the sample [rows]; larger values are rejected as typos."""


@dataclass(frozen=True, kw_only=True)
class SelectOptions:
    """Options of `select`."""

    file: Path
    """CSV file with a header, Parquet file or workbook (extra tables)."""

    target: str = ""
    """Column to predict; required."""

    evaluations: int = 5
    """Algorithms to propose and cross-validate [evaluations]."""

    rows: int = 5000
    """Maximum size of the stratified sample on which algorithms are compared [rows]; best.py fits on all rows."""

    bins: int = 0
    """Discretise a numeric target at its quantiles into this number of classes [classes]; 0: the target is
    categorical."""

    ignore: tuple[str, ...] = ()
    """Columns excluded from the inputs."""

    decimal: Decimal = "auto"
    """Decimal mark of numbers such as 1.571 in columns that leave it open; auto: that of the other columns."""

    dates: DateOrder = "auto"
    """Order of day and month in columns of dates that leave it open."""

    balance: bool = False
    """Select by balanced accuracy; use class weights where supported."""

    selector: Path | None = None
    """Run folder of a selector trained on algorithm_selection; by default, the selector shipped with this library."""

    trust: bool = False
    """Trust all code outside this library that the selector names."""

    compare: bool = True
    """Also fit the best single algorithm if it is not proposed."""

    out: Path | None = None
    """New folder to create, with best.json and best.py; by default select-<name of the file>."""

    def __post_init__(self) -> None:
        check_count("--evaluations", self.evaluations, most=MOST_EVALUATIONS)
        check_count("--rows", self.rows, least=100, most=MOST_ROWS)
        if self.bins:
            check_count("--bins", self.bins, least=2, most=20)
