"""Target column of a CSV file as classes."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.automl.cleaning import MAX_CLASSES
from envs.automl.csv_file import Layout, as_numbers, stripped
from envs.automl.scoring import N_FOLDS
from qrl.common.errors import UsageError

LEAST_ROWS = 30
"""Smallest number of rows with a target; with fewer rows the folds are too small to compare algorithms."""
MOST_CLASSES = 100
"""Largest number of classes of a target."""
_DISTINCT = 10_000
"""Number of distinct values beyond which a column cannot be a target."""


def read_target(layout: Layout, target: str) -> "pd.Series[Any]":
    """Return the target's text in the file [row]; None where the target is missing."""
    known: dict[Any, Any] = {}
    found: list[Any] = []
    for piece in layout.pieces([target]):
        values = stripped(piece[target]).astype(object)
        # One shared object per class, to save memory.
        known |= {value: value for value in values.dropna().unique() if value not in known}
        if len(known) > _DISTINCT:
            break
        found.append(values.map(known.get).where(values.notna(), None).astype(object))
    numbers = as_numbers(pd.Series(list(known), dtype=object), layout.separator)
    where = (
        f"{layout.path}: column {target!r} has {'more than ' * (len(known) > _DISTINCT)}{min(len(known), _DISTINCT)}"
    )
    if numbers is not None and len(known) > MAX_CLASSES:
        raise UsageError(
            f"{where} different numbers: that is regression, and only classes can be predicted; "
            "nearest to it is --bins 4, which predicts the quarter that a number is in"
        )
    if len(known) > MOST_CLASSES:
        raise UsageError(f"{where} different texts: at most {MOST_CLASSES} classes can be told apart")
    return pd.concat(found, ignore_index=True) if found else pd.Series([], dtype=object)


def read_binned_target(
    layout: Layout, target: str, bins: int
) -> tuple["pd.Series[Any]", tuple[float, ...], tuple[str, ...]]:
    """Return the target as names of quantile bins [row], the inner edges of the bins, and the names."""
    found = []
    for piece in layout.pieces([target]):
        numbers = as_numbers(stripped(piece[target]).astype(object), layout.separator)
        if numbers is None:
            raise UsageError(f"{layout.path}: --bins is for a column of numbers, {target!r} has text")
        found.append(numbers)
    values = np.concatenate(found) if found else np.zeros(0)
    there = values[~np.isnan(values)]
    if not len(there):
        return pd.Series([None] * len(values), dtype=object), (), ()
    quantiles = np.unique(np.quantile(there, np.arange(1, bins) / bins))
    edges = tuple(float(edge) for edge in quantiles if edge > there.min())
    labels = bin_names(edges)
    text = pd.Series(np.array(labels, dtype=object)[np.searchsorted(edges, values, side="right")], dtype=object)
    text[np.isnan(values)] = None
    return text, edges, labels


def bin_names(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Return the names of the bins between edges, numbered so that alphabetical order is numerical order."""
    ends = [f"{edge!r}" for edge in edges]
    between = [f"from {low} to below {high}" for low, high in itertools.pairwise(ends)]
    parts = [f"below {ends[0]}", *between, f"from {ends[-1]}"] if ends else ["all"]
    return tuple(f"{number:02d} {part}" for number, part in enumerate(parts, start=1))


def check_target(layout: Layout, target: str, text: "pd.Series[Any]", usable: NDArray[np.int64]) -> None:
    """Raise UsageError if there are too few rows or classes."""
    where, n_there = f"{layout.path}: column {target!r}", int(text.notna().sum())
    if len(text) and not n_there:
        raise UsageError(f"{where} has only missing values, as NA, nan, null and ? are: there is nothing to predict")
    if n_there < LEAST_ROWS:
        raise UsageError(f"{where}: {n_there} rows with a target; at least {LEAST_ROWS} are needed to compare anything")
    aside = f" besides {len(text) - n_there} missing values, as NA, None, null and ? are" if n_there < len(text) else ""
    if text.nunique() < 2:
        raise UsageError(
            f"{where} has one class only, {text.dropna().iloc[0]!r}{aside}: there is nothing to tell apart"
        )
    if text.iloc[usable].nunique() < 2:
        raise UsageError(f"{where}: fewer than two classes have two rows or more")
    if text.value_counts().max() < N_FOLDS:
        raise UsageError(f"{where}: no class has as many rows as there are folds, {N_FOLDS}")
