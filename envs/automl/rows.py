"""Shipped rows: principal components of datasets of the table, and pairs of classes to be distinguished.

`rows.safetensors` has the numbers, `rows.json` the names. `build_rows` writes both files, and `rows.json` has the
digest of both. Nothing in the files is executed. The table defines the split of each dataset.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.automl.table import Table, TableSplit, read_files
from qrl.common.errors import UsageError

FILE = Path(__file__).with_name("rows.json")
FORMAT = "qrl-selection-rows-1"
MAX_COMPONENT = 4.0
"""Clipping bound of the components [standard deviations]: some columns have outliers."""


@dataclass(frozen=True)
class Rows:
    """All rows, classes and pairs."""

    features: NDArray[np.float32]
    """Principal components [row, component], in standard deviations over the dataset; 0 if a dataset has fewer."""
    classes: NDArray[np.int64]
    """First row of a class of a dataset, and number of its rows, which are consecutive [class, 2]."""
    pairs: NDArray[np.int64]
    """Indices of the two classes [pair, 2]."""
    datasets: tuple[str, ...]
    """Name of the dataset of the classes [pair]."""
    accuracy: NDArray[np.float32]
    """Cross-validated accuracy of logistic regression with equally weighted classes [pair]; see `build_rows`."""

    def splits(self, table: Table) -> tuple[TableSplit, ...]:
        """Return the split of each pair, which is the split of its dataset.

        Raises:
            UsageError: the table lacks a dataset.
        """
        known = dict(zip(table.datasets, table.splits, strict=True))
        if missing := [name for name in self.datasets if name not in known]:
            raise UsageError(f"{FILE}: not from the same build as the table, which lacks dataset {missing[0]!r}")
        return tuple(known[name] for name in self.datasets)


def read_rows(path: Path = FILE) -> Rows:
    """Read the rows from their JSON file and the safetensors file in the same folder.

    Raises:
        UsageError: a file is missing or damaged, the files are of different builds, or a number is invalid.
    """
    text, arrays = read_files(path, FORMAT, "file of rows")
    try:
        rows = Rows(
            features=arrays["features"].astype(np.float32),
            classes=arrays["classes"],
            pairs=arrays["pairs"],
            datasets=tuple(str(dataset) for dataset, _, _ in text["pairs"]),
            accuracy=arrays["accuracy"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: incomplete: {error}") from error
    _check(rows, path)
    return rows


def _check(rows: Rows, path: Path) -> None:
    """Raise UsageError for inconsistent shapes or invalid numbers."""
    n_pairs = len(rows.datasets)
    for name, shape in {"classes": (len(rows.classes), 2), "pairs": (n_pairs, 2), "accuracy": (n_pairs,)}.items():
        found = getattr(rows, name).shape
        if found != shape:
            raise UsageError(f"{path}: {name} has shape {found}, not {shape}")
    first, count = rows.classes.T
    if rows.features.ndim != 2 or (count < 1).any() or (first != np.cumsum(count) - count).any():
        raise UsageError(f"{path}: classes with invalid rows")
    if count.sum() != len(rows.features) or not np.isin(rows.pairs, np.arange(len(count))).all():
        raise UsageError(f"{path}: classes or pairs with invalid indices")
    if not (np.abs(rows.features) <= MAX_COMPONENT).all():
        raise UsageError(f"{path}: components must be in -{MAX_COMPONENT:g} to {MAX_COMPONENT:g}")
