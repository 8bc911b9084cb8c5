"""Conversion of any pandas frame to two kinds of columns: float64 with NaN, and text with None.

scikit-learn's transformers differ in their treatment of missing values, booleans and categories. This module decides
column by column from the types, never from the values of one fold, so that the kinds of columns do not depend on the
fold.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.automl.apply import MAX_MAGNITUDE
from qrl.common.errors import UsageError


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert a table to columns of float64 (missing, infinite, too large: NaN) and of text (missing: None).

    Booleans become numbers; times and durations become seconds. Column names become text; repeated names become `a`,
    `a.1`, ... Rows are numbered from 0.

    Raises:
        UsageError: no rows or no columns.
    """
    if not len(frame) or not frame.shape[1]:
        raise UsageError(f"a table of {len(frame)} rows and {frame.shape[1]} columns is empty")
    columns = [_column(frame.iloc[:, index]) for index in range(frame.shape[1])]
    return pd.DataFrame(dict(zip(_names(frame), columns, strict=True)), index=pd.RangeIndex(len(frame)))


def numeric(frame: pd.DataFrame) -> list[str]:
    """Return the names of the numeric columns of a `plain` frame; the other columns are text."""
    return [str(name) for name in frame.columns if frame[name].dtype.kind == "f"]


def encode(target: object) -> tuple[NDArray[np.int64], list[str]]:
    """Return classes [row], numbered from 0 in the order of their names as text, and the names [class].

    Raises:
        UsageError: a missing target, or only one class.
    """
    values = pd.Series(target).reset_index(drop=True)
    if values.isna().any():
        raise UsageError(f"the target is missing in row {int(values.isna().to_numpy().argmax())} (counted from 0)")
    names, classes = np.unique(values.astype(str).to_numpy(dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        raise UsageError(f"the target has only one class, {str(names[0])!r}" if len(names) else "the target is empty")
    return classes.astype(np.int64), names.tolist()


def _column(column: "pd.Series[Any]") -> "NDArray[Any] | pd.Series[Any]":
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    kind = column.dtype.kind
    if kind in "mM":
        stamps = column.to_numpy(dtype=f"{kind}8[ns]")
        return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64) / 1e9)
    if kind == "c":
        raise UsageError(f"column {column.name!r} has complex numbers")
    if kind in "biuf" or _all_numbers(column):
        numbers = column.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.abs(numbers) <= MAX_MAGNITUDE, numbers, np.nan)
    text = [None if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]
    return pd.Series(text, dtype=object)


def _all_numbers(column: "pd.Series[Any]") -> bool:
    """Return whether all values of a column of objects are numbers or booleans; True for an empty column."""
    return bool(column.dropna().map(lambda value: isinstance(value, (int, float, np.number, np.bool_))).all())


def _names(frame: pd.DataFrame) -> list[str]:
    names: list[str] = []
    for name in map(str, frame.columns):
        candidates = (name, *(f"{name}.{number}" for number in range(1, len(frame.columns) + 1)))
        names.append(next(candidate for candidate in candidates if candidate not in names))
    return names
