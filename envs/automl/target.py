"""Target column of a CSV file as classes."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.automl.cleaning import MAX_CLASSES
from envs.automl.csv_file import Layout, as_numbers, strip_text
from envs.automl.scoring import N_FOLDS
from qrl.common.errors import UsageError

MIN_TARGET_ROWS = 30
"""Smallest number of rows with a target; with fewer rows the folds are too small to compare algorithms."""
MAX_TARGET_CLASSES = 100
"""Largest number of classes of a target."""
_DISTINCT = 10_000
"""Number of distinct values beyond which a column cannot be a target."""


def read_target(layout: Layout, target: str) -> "pd.Series[Any]":
    """Return the target's text in the file [row]; None where the target is missing."""
    known: dict[Any, Any] = {}
    found: list[Any] = []
    for chunk in layout.chunks([target]):
        values = strip_text(chunk[target]).astype(object)
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
        raise UsageError(f"{where} different numbers; only classification is supported; --bins 4 predicts quartiles")
    if len(known) > MAX_TARGET_CLASSES:
        raise UsageError(f"{where} different texts; at most {MAX_TARGET_CLASSES} classes are supported")
    return pd.concat(found, ignore_index=True) if found else pd.Series([], dtype=object)


def read_binned_target(
    layout: Layout, target: str, bins: int
) -> tuple["pd.Series[Any]", tuple[float, ...], tuple[str, ...]]:
    """Return the target as names of quantile bins [row], the inner edges of the bins, and the names."""
    found = []
    for chunk in layout.chunks([target]):
        numbers = as_numbers(strip_text(chunk[target]).astype(object), layout.separator)
        if numbers is None:
            raise UsageError(f"{layout.path}: --bins needs a numeric target, and {target!r} has text")
        found.append(numbers)
    values = np.concatenate(found) if found else np.zeros(0)
    present = values[~np.isnan(values)]
    if not len(present):
        return pd.Series([None] * len(values), dtype=object), (), ()
    quantiles = np.unique(np.quantile(present, np.arange(1, bins) / bins))
    edges = tuple(float(edge) for edge in quantiles if edge > present.min())
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
    where, n_present = f"{layout.path}: column {target!r}", int(text.notna().sum())
    if len(text) and not n_present:
        raise UsageError(f"{where} has only missing values (empty, NA, nan, null or ?)")
    if n_present < MIN_TARGET_ROWS:
        raise UsageError(f"{where}: {n_present} rows with a target; at least {MIN_TARGET_ROWS} are needed")
    aside = f" and {len(text) - n_present} missing values (empty, NA, None, null or ?)" if n_present < len(text) else ""
    if text.nunique() < 2:
        raise UsageError(f"{where} has only one class, {text.dropna().iloc[0]!r}{aside}; two are needed")
    if text.iloc[usable].nunique() < 2:
        raise UsageError(f"{where}: fewer than two classes have at least two rows")
    if text.value_counts().max() < N_FOLDS:
        raise UsageError(f"{where}: no class has {N_FOLDS} rows, one per fold")
