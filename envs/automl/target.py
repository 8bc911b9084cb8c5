"""Target column of a table as classes."""

import itertools
from typing import Any

import numpy as np
import pandas as pd

from envs.automl.apply import Column, numbers
from envs.automl.cleaning import MAX_CLASSES
from envs.automl.scoring import N_FOLDS
from qrl.common.errors import UsageError

MIN_TARGET_ROWS = 30
"""Smallest number of rows with a target; with fewer rows the folds are too small to compare algorithms."""
MAX_TARGET_CLASSES = 100
"""Largest number of classes of a target."""


def check_distinct(where: str, cells: "pd.Series[Any]", column: Column) -> None:
    """Raise UsageError if a target has too many distinct values to be classes."""
    distinct = cells.nunique()
    if column.kind == "number" and distinct > MAX_CLASSES:
        raise UsageError(
            f"{where} has {distinct} different numbers; only classification is supported; --bins 4 predicts quartiles"
        )
    if distinct > MAX_TARGET_CLASSES:
        raise UsageError(f"{where} has {distinct} different texts; at most {MAX_TARGET_CLASSES} classes are supported")


def bins_of(
    where: str, cells: "pd.Series[Any]", column: Column, bins: int
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the inner edges of the quantile bins of a numeric target, and the names of the bins.

    The names are numbered so that alphabetical order is numerical order.
    """
    if column.kind != "number" and cells.notna().any():
        raise UsageError(f"{where}: --bins needs a numeric target, and {column.name!r} has {column.kind}")
    present = numbers(cells, column).dropna()
    if not len(present):
        return (), ()
    quantiles = np.unique(np.quantile(present, np.arange(1, bins) / bins))
    edges = tuple(float(edge) for edge in quantiles if edge > present.min())
    between = [f"from {low!r} to below {high!r}" for low, high in itertools.pairwise(edges)]
    parts = [f"below {edges[0]!r}", *between, f"from {edges[-1]!r}"] if edges else ["all"]
    return edges, tuple(f"{number:02d} {part}" for number, part in enumerate(parts, start=1))


def check_target(where: str, text: "pd.Series[Any]") -> None:
    """Raise UsageError if there are too few rows or classes."""
    counts, missing = text.value_counts(), int(text.isna().sum())
    if len(text) and not len(counts):
        raise UsageError(f"{where} has only missing values (empty, NA, nan, null or ?)")
    if counts.sum() < MIN_TARGET_ROWS:
        raise UsageError(f"{where}: {counts.sum()} rows with a target; at least {MIN_TARGET_ROWS} are needed")
    if len(counts) < 2:
        aside = f" and {missing} missing values (empty, NA, None, null or ?)" if missing else ""
        raise UsageError(f"{where} has only one class, {counts.index[0]!r}{aside}; two are needed")
    if (counts >= 2).sum() < 2:
        raise UsageError(f"{where}: fewer than two classes have at least two rows")
    if counts.max() < N_FOLDS:
        raise UsageError(f"{where}: no class has {N_FOLDS} rows, one per fold")
