"""Reader of a user's CSV file of any size: the usable columns and rows, and the reasons for those left out.

The file is read in chunks: once as bytes, for its encoding; once for the target, to draw a stratified sample of rows;
once for the sampled rows. Memory holds little more than the sample, for files of any length.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from envs.automl.cleaning import is_target_leak, stratified_sample, uninformative_reason
from envs.automl.csv_file import Layout, as_numbers, is_number, layout_of, parse_numbers
from envs.automl.frames import MAX_MAGNITUDE, encode, plain
from envs.automl.scoring import N_FOLDS
from envs.automl.target import check_target, read_binned_target, read_target
from qrl.common.errors import UsageError, suggest

MAX_COLUMNS = 2000
_NUMBER_LIKE = r"[-+]?[$€£]?\s?[-+]?\d[\d.,' ]*(\s?[%$€£]|\s[A-Za-z]{1,4})?"
"""Pattern of numbers with thousands separators, another decimal sign, a currency or a unit."""


@dataclass(frozen=True)
class UserDataset:
    """User's dataset, cleaned for training classifiers."""

    layout: Layout
    target: str
    frame: pd.DataFrame
    """`plain` table [row, column] of the usable rows."""
    classes: NDArray[np.int64]
    """Classes [row], numbered from 0."""
    sample: NDArray[np.int64]
    """Rows of the stratified sample on which algorithms are screened, in order; all rows if there are few."""
    names: tuple[str, ...]
    """Names of the classes, in the order of their numbers."""
    edges: tuple[float, ...]
    """Lower edges of the bins of a numeric target, except the first bin's; empty if the target was not binned."""
    labels: tuple[str, ...]
    """Names of the bins in ascending order."""
    n_rows: int
    """Number of rows of the file."""
    n_usable: int
    """Number of rows with a target whose class has at least two rows: those of `frame`."""
    dropped: Mapping[str, str]
    """Unused columns, with the reason."""
    notes: tuple[str, ...]
    """Further notes for the user, as sentences."""


def read_dataset(path: Path, target: str, *, rows: int, bins: int = 0, ignore: Collection[str] = ()) -> UserDataset:
    """Read a CSV file with a header; comma, semicolon or tab; UTF-8 or Latin-1.

    Args:
        path: the file.
        target: name of the target column.
        rows: largest size of the sample.
        bins: number of quantile bins of a numeric target; 0: no binning.
        ignore: columns that are not used.

    Raises:
        UsageError: the file is not a CSV file, has no such column, or has too few usable columns, rows or classes.
    """
    layout = layout_of(path)
    for name in (target, *ignore):
        if name not in layout.columns:
            raise UsageError(f"{path}: unknown column {name!r}{suggest(name, layout.columns)}")
    if target in ignore:
        raise UsageError(f"{path}: --ignore {target}: the target is never an input; ignore other columns")
    columns = [name for name in layout.columns if name != target and name not in ignore]
    if len(columns) > MAX_COLUMNS:
        raise UsageError(
            f"{path}: {len(columns)} columns are too many; at most {MAX_COLUMNS} are supported, see --ignore"
        )
    text, edges, labels = read_binned_target(layout, target, bins) if bins else (read_target(layout, target), (), ())
    n_rows = len(text)
    usable = np.flatnonzero(text.map(text.value_counts()).fillna(0).to_numpy(dtype=np.int64) >= 2)
    check_target(layout, target, text, usable)
    classes, names = encode(text.iloc[usable])
    drawn = stratified_sample(classes, rows)
    frame, dropped, notes = _cleaned(layout.rows(columns, usable), layout, classes, n_rows)
    return UserDataset(
        layout=layout,
        target=target,
        frame=frame,
        classes=classes,
        sample=drawn,
        names=tuple(names),
        edges=edges,
        labels=labels,
        n_rows=n_rows,
        n_usable=len(usable),
        dropped={**dict.fromkeys(ignore, "ignored"), **dropped},
        notes=(*_about_rows(text, usable, drawn), *_about_classes(classes[drawn], names), *notes),
    )


def _cleaned(
    text: pd.DataFrame, layout: Layout, classes: NDArray[np.int64], n_rows: int
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Return the usable columns, the columns left out with the reason, and notes about suspicious columns."""
    if not text.shape[1]:
        raise UsageError(f"{layout.path}: the target is the only column")
    columns: dict[str, Any] = {}
    notes: list[str] = []
    for name in text.columns:
        values = text[name].astype(object)
        numbers = as_numbers(values, layout.separator)
        columns[name] = values.where(values.notna(), None) if numbers is None else numbers
        if numbers is None:
            notes += _about_text(values.dropna(), layout.separator)
    frame = plain(pd.DataFrame(columns))
    dropped = {
        name: "empty" if frame[name].isna().all() else uninformative_reason(frame[name], n_rows)
        for name in frame.columns
    }
    dropped = {name: reason for name, reason in dropped.items() if reason}
    if len(dropped) == frame.shape[1]:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in dropped.items())
        raise UsageError(f"{layout.path}: no usable column is left ({reasons[:300]})")
    frame = frame.drop(columns=list(dropped))
    lost = {name: int(frame[name].isna().sum() - text[name].isna().sum()) for name in frame.columns}
    notes += [
        f"column {name!r}: {n} numbers beyond {MAX_MAGNITUDE:g} count as missing" for name, n in lost.items() if n
    ]
    notes += [
        f"column {name!r} alone nearly determines the class; if it is not known at prediction time, use --ignore {name}"
        for name in frame.columns
        if is_target_leak(frame[name], classes)
    ]
    return frame, dropped, notes


def _about_rows(text: "pd.Series[Any]", usable: NDArray[np.int64], drawn: NDArray[np.int64]) -> Iterator[str]:
    if missing := int(text.isna().sum()):
        yield f"rows without a target (empty, NA, None, null or ?), left out: {missing}"
    if n_singletons := int(text.notna().sum()) - len(usable):
        yield f"rows of classes with a single row, left out: {n_singletons}"
    if len(drawn) < len(usable):
        yield f"algorithms are screened on a stratified sample of {len(drawn)} of {len(usable)} rows (--rows)"


def _about_text(cells: "pd.Series[Any]", separator: str) -> Iterator[str]:
    """Yield a note if a column of text seems to have numbers, except for some cells."""
    not_numbers = parse_numbers(cells, separator).isna()
    number_like = not_numbers & cells.astype(str).str.fullmatch(_NUMBER_LIKE).astype(bool)
    n = len(cells) - int((not_numbers & ~number_like).sum())
    if n > 0.5 * len(cells):
        yield (
            f"column {cells.name!r} is read as text, although {n} of {len(cells)} cells are or resemble numbers: "
            f"{cells[not_numbers].iloc[0]!r} is not a number"
        )


def _about_classes(classes: NDArray[np.int64], names: list[str]) -> Iterator[str]:
    names_by_value: dict[float, str] = {}
    for name in filter(is_number, names):
        if (other := names_by_value.setdefault(float(name), name)) != name:
            yield f"classes {other!r} and {name!r} are the same number, but count as two classes"
    counts = np.bincount(classes, minlength=len(names))
    for name, count in zip(names, counts, strict=True):
        if count < N_FOLDS:
            yield f"class {name!r} has {count} rows, fewer than the {N_FOLDS} folds: its recall is unreliable"
