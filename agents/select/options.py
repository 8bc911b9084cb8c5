"""Options of the command `select`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from envs.automl import DateOrder, Decimal
from qrl.common.checks import check_count, finite_number
from qrl.common.errors import UsageError
from qrl.common.files import kind_of

RESULT = "best.json"
"""File of the results in the folder of a selection."""
FORMAT = "qrl-select-4"
"""Format of best.json."""

MOST_EVALUATIONS = 1000
"""Upper bound of the evaluations, more than there are algorithms [evaluations]."""

MOST_ROWS = 10**9
"""Upper bound of the sample [rows]; larger values are rejected as typos."""


def is_selection(path: Path) -> bool:
    """Return whether this is the folder of a selection."""
    return kind_of(path) == "folder" and kind_of(path / RESULT) == "file"


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
    """Maximum size of the stratified sample on which algorithms are screened [rows]; of more rows, the best algorithms
    are compared on all."""

    bins: int = 0
    """Discretise a numeric target at its quantiles into this number of classes [classes]; 0: the target is
    categorical."""

    ignore: tuple[str, ...] = ()
    """Columns excluded from the inputs."""

    decimal: Decimal = "auto"
    """Decimal mark of numbers such as 1.571 in columns that leave it open; auto: that of the other columns."""

    dates: DateOrder = "auto"
    """Order of day and month in columns of dates that leave it open."""

    # envs.automl.metrics.Metric, which is not imported: options are parsed before anything that takes time
    metric: Literal["accuracy", "balanced_accuracy", "roc_auc", "average_precision", "log_loss"] = "accuracy"
    """Metric by which algorithms are ranked; balanced_accuracy also uses class weights where supported."""

    time_budget: float | None = None
    """Wall-clock time after which no evaluation starts or continues, except the first [s]; by default unlimited."""

    selector: Path | None = None
    """Run folder of a selector trained on algorithm_selection; by default, the selector shipped with this library."""

    trust: bool = False
    """Trust all code outside this library that the selector names."""

    compare: bool = True
    """Also evaluate the best single algorithm, and gradient_boosting, if they are not proposed."""

    out: Path | None = None
    """New folder to create, with best.json and best.py; by default select-<name of the file>."""

    overwrite: bool = False
    """Replace the folder of an earlier selection."""

    def __post_init__(self) -> None:
        check_count("--evaluations", self.evaluations, most=MOST_EVALUATIONS)
        check_count("--rows", self.rows, least=100, most=MOST_ROWS)
        if self.time_budget is not None and finite_number("--time-budget", self.time_budget) <= 0:
            raise UsageError(f"--time-budget must be positive, not {self.time_budget}")
        if self.bins:
            check_count("--bins", self.bins, least=2, most=20)
