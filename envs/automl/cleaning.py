"""Detection of uninformative columns and target leaks in a table, and samples of its rows."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MAX_ROWS = 2000
MIN_ROWS = 80
MAX_CLASSES = 20
LEAK_THRESHOLD = 0.97
"""Target leak threshold: fraction of the majority class's errors that a single column corrects."""


def uninformative_reason(column: "pd.Series[Any]", n_rows: int | None = None) -> str:
    """Return why a column of a `plain` frame is uninformative for any target; else an empty string.

    Uninformative columns are constants, text that hardly ever repeats, and numbers that count the rows in some order.

    Args:
        column: values [row].
        n_rows: rows of the whole table, of which `column` may have a part; by default `column` has all rows.
    """
    distinct, numbers = column.nunique(), column.dtype.kind == "f"
    if distinct < 2 and not (distinct and column.isna().any()):
        return "constant"
    if not numbers and seldom_repeats(distinct, int(column.notna().sum())):
        return "text that hardly ever repeats"
    return "counts the rows" if numbers and _counts_rows(column.to_numpy(), n_rows or len(column)) else ""


def seldom_repeats(distinct: int, n: int) -> bool:
    """Return whether `n` values of text are too different to be categories."""
    return distinct > max(MAX_CLASSES, 0.5 * n)


def is_target_leak(column: "pd.Series[Any]", classes: NDArray[np.int64]) -> bool:
    """Return whether one column leaks the class, by a cross-validated small tree on this column."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    kept = stratified_sample(classes, MAX_ROWS)
    column, classes = column.iloc[kept], classes[kept]
    if column.dtype.kind == "f":
        values = np.nan_to_num(column.to_numpy(), nan=-1e30)[:, None]
    else:
        codes, names = pd.factorize(column.fillna(""))
        if len(names) > MAX_ROWS // 20:
            return False
        values = np.eye(len(names))[codes]
    n_classes = int(classes.max()) + 1
    tree = DecisionTreeClassifier(max_leaf_nodes=2 * n_classes + values.shape[1], random_state=0)
    majority = np.bincount(classes).max() / len(classes)
    threshold = majority + LEAK_THRESHOLD * (1 - majority)
    # Most columns do not even fit their training rows, and need no cross-validation.
    if tree.fit(values, classes).score(values, classes) < threshold:
        return False
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer rows than folds
        return bool(cross_val_score(tree, values, classes, cv=folds).mean() >= threshold)


def stratified_sample(classes: NDArray[Any], n_rows: int) -> NDArray[np.int64]:
    """Draw at most `n_rows` row indices, in order, stratified by classes [row]; the result is deterministic.

    Each class needs at least 2 rows.
    """
    from sklearn.model_selection import train_test_split

    if len(classes) <= n_rows:
        return np.arange(len(classes))
    n_rows = min(n_rows, len(classes) - len(np.unique(classes)))  # scikit-learn needs a remaining row of each class
    kept, _ = train_test_split(np.arange(len(classes)), train_size=n_rows, stratify=classes, random_state=0)
    return np.sort(kept)


def _counts_rows(values: NDArray[np.float64], n_rows: int) -> bool:
    """Return whether values are distinct numbers from a count of `n_rows` rows: whole steps apart, in any order."""
    if len(values) < MIN_ROWS or np.isnan(values).any():
        return False
    steps = np.diff(np.sort(values))
    return bool((steps >= 1).all() and (steps % 1 == 0).all() and steps.sum() < n_rows)
