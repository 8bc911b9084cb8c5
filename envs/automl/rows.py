"""The shipped rows: principal components of datasets of the table, and the pairs of their classes to be told apart.

`rows.safetensors` has the numbers, `rows.json` the names; both are written by `build_rows`, and the second has the
digest of both. Nothing in either is executed. Which split a dataset is in, the table says.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.automl.table import Split, Table, read_files
from qrl.common.errors import UsageError

FILE = Path(__file__).with_name("rows.json")
FORMAT = "qrl-selection-rows-1"
LARGEST_FEATURE = 4.0
"""Components are cut off here [standard deviations]: some columns have rows that are unlike all others."""


@dataclass(frozen=True)
class Rows:
    """All rows, classes and pairs."""

    features: NDArray[np.float32]
    """[row, component], in standard deviations of all rows of the dataset; 0 where a dataset has fewer components."""
    classes: NDArray[np.int64]
    """[class, 2] the first row of a class of a dataset, and how many rows it has; they follow each other."""
    pairs: NDArray[np.int64]
    """[pair, 2] the two classes."""
    datasets: tuple[str, ...]
    """[pair] the dataset that the classes are of."""
    accuracy: NDArray[np.float32]
    """[pair] cross-validated accuracy of logistic regression, classes weighted alike; see `build_rows`."""

    def splits(self, table: Table) -> tuple[Split, ...]:
        """Split of each pair, which is that of its dataset.

        Raises:
            UsageError: the table lacks a dataset.
        """
        known = dict(zip(table.datasets, table.splits, strict=True))
        if missing := [name for name in self.datasets if name not in known]:
            raise UsageError(f"{FILE}: of another build than the table, which has no dataset {missing[0]!r}")
        return tuple(known[name] for name in self.datasets)


def read_rows(path: Path = FILE) -> Rows:
    """Read the rows from their JSON file and the safetensors file beside it.

    Raises:
        UsageError: a file is missing or damaged, they are of different builds, or a number makes no sense.
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
    """Raise UsageError where shapes or numbers make no sense."""
    n_pairs = len(rows.datasets)
    for name, shape in {"classes": (len(rows.classes), 2), "pairs": (n_pairs, 2), "accuracy": (n_pairs,)}.items():
        found = getattr(rows, name).shape
        if found != shape:
            raise UsageError(f"{path}: {name} has shape {found}, not {shape}")
    first, count = rows.classes.T
    if rows.features.ndim != 2 or (count < 1).any() or (first != np.cumsum(count) - count).any():
        raise UsageError(f"{path}: classes that are no rows")
    if count.sum() != len(rows.features) or not np.isin(rows.pairs, np.arange(len(count))).all():
        raise UsageError(f"{path}: classes that are no rows, or pairs that are no classes")
    if not (np.abs(rows.features) <= LARGEST_FEATURE).all():
        raise UsageError(f"{path}: components that are no numbers, or beyond {LARGEST_FEATURE:g}")
