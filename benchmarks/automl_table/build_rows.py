"""Build the shipped rows of datasets: `python -m benchmarks.automl_table.build_rows`, minutes on one core.

The features are the first principal components of the preprocessed columns (`algorithms.preprocessing`), each scaled to
a standard deviation of 1, with at most `MAX_PER_CLASS` rows of every used class, sampled with a fixed seed.

A pair of classes is used if both have `MIN_PER_CLASS` rows and logistic regression on these components separates them
in cross-validation, with a balanced accuracy of at least `LEARNABLE`. If a dataset has more than `MAX_PAIRS` such
pairs, those with the most rows in their smaller class are kept.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.automl.algorithms import preprocessing
from envs.automl.rows import FILE, FORMAT, MAX_COMPONENT, read_rows
from envs.automl.table import digest, read_table
from qrl.common.errors import UsageError
from qrl.common.files import to_json, write_atomically

if TYPE_CHECKING:
    import pandas as pd

COMPONENTS = 8
MAX_PER_CLASS = 100
MIN_PER_CLASS = 20
MAX_PAIRS = 6
LEARNABLE = 0.6
SMALLEST_VARIANCE = 1e-6
"""Share of the variance below which a component is rounding error, because one-hot columns sum to 1."""


@dataclass(frozen=True)
class Pair:
    """Two separable classes of a dataset."""

    classes: tuple[int, int]
    n_rows: int
    """Rows of the smaller class."""
    accuracy: float


def main(argv: Sequence[str] | None = None) -> int:
    """Build and write the files. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.automl_table.build_rows", description=__doc__)
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/selection"), help="folder with the wheels (%(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=FILE, help="JSON file; the arrays go to the same folder (%(default)s)"
    )
    arguments = parser.parse_args(argv)
    try:
        _build(arguments.cache / "wheels", arguments.out)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _build(wheels: Path, out: Path) -> None:
    features, numbers, text, dropped = [], [], [], []
    classes: list[tuple[int, int]] = []
    n_rows = 0
    for name, components, labels in _datasets(wheels):
        pairs = learnable(components, labels)
        if not pairs:
            dropped.append(name)
        index_of = {}
        for label in sorted({each for pair in pairs for each in pair.classes}):
            kept = drawn(np.flatnonzero(labels == label))
            index_of[label] = len(classes)
            classes.append((n_rows, len(kept)))
            features.append(components[kept])
            n_rows += len(kept)
        numbers += [(index_of[pair.classes[0]], index_of[pair.classes[1]], pair.accuracy) for pair in pairs]
        text += [[name, *pair.classes] for pair in pairs]
    arrays: dict[str, NDArray[Any]] = {
        "features": np.concatenate(features).astype(np.float16),
        "classes": np.array(classes, dtype=np.int64),
        "pairs": np.array([pair[:2] for pair in numbers], dtype=np.int64),
        "accuracy": np.array([pair[2] for pair in numbers], dtype=np.float32),
    }
    _write(out, arrays, {"format": FORMAT, "pairs": text, "dropped": dropped})
    read_rows(out)
    print(
        f"{len(text)} pairs of {len({each[0] for each in text})} datasets, {len(dropped)} datasets without pairs: {out}"
    )


def _datasets(wheels: Path) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.int64]]]:
    """Yield name, components [row, component] and classes [row] of each dataset of the table."""
    from tqdm import tqdm

    from benchmarks.automl_table.catalogue import catalogue
    from benchmarks.automl_table.datasets import capped, clean, fetch, read

    fetch(wheels)
    table = set(read_table().datasets)
    for entry in tqdm([each for each in catalogue() if each.name in table], desc="components"):
        dataset = capped(clean(entry, read(entry, wheels)))
        yield entry.name, components(dataset.frame), dataset.classes


def components(frame: "pd.DataFrame") -> NDArray[np.float64]:
    """Return principal components [row, component] of a `plain` frame, whitened, clipped and zero-padded.

    Signs are such that the largest loading is positive.
    """
    from sklearn.decomposition import PCA

    columns = preprocessing(frame, scale=True).fit_transform(frame)
    fitted = PCA(min(COMPONENTS, *columns.shape), whiten=True, svd_solver="full")
    found = fitted.fit_transform(columns)
    found = found[:, fitted.explained_variance_ratio_ > SMALLEST_VARIANCE]
    found = np.clip(found, -MAX_COMPONENT, MAX_COMPONENT)
    return np.pad(found, ((0, 0), (0, COMPONENTS - found.shape[1])))


def learnable(features: NDArray[np.float64], labels: NDArray[np.int64]) -> list[Pair]:
    """Return the used pairs of classes, sorted by the rows of their smaller class, largest first.

    Args:
        features: [row, component].
        labels: classes [row].
    """
    counts = np.bincount(labels)
    found = []
    for a, b in itertools.combinations(np.flatnonzero(counts >= MIN_PER_CLASS).tolist(), 2):
        accuracy = pair_accuracy(features, labels, a, b)
        if accuracy >= LEARNABLE:
            found.append(Pair((a, b), int(min(counts[a], counts[b])), accuracy))
    return sorted(found, key=lambda pair: (-pair.n_rows, pair.classes))[:MAX_PAIRS]


def pair_accuracy(features: NDArray[np.float64], labels: NDArray[np.int64], a: int, b: int) -> float:
    """Return the cross-validated balanced accuracy of logistic regression on two classes."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    rows = np.concatenate([drawn(np.flatnonzero(labels == label)) for label in (a, b)])
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(model, features[rows], labels[rows] == b, cv=folds, scoring="balanced_accuracy")
    return float(scores.mean())


def drawn(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sample at most `MAX_PER_CLASS` rows, in order; the sample depends only on their number."""
    if len(rows) <= MAX_PER_CLASS:
        return rows
    return rows[np.sort(np.random.default_rng(0).choice(len(rows), MAX_PER_CLASS, replace=False))]


def _write(out: Path, arrays: dict[str, NDArray[Any]], text: dict[str, Any]) -> None:
    import safetensors.numpy

    numbers = safetensors.numpy.save(dict(sorted(arrays.items())))
    text["digest"] = digest(numbers, text)
    write_atomically(out.with_suffix(".safetensors"), numbers)
    write_atomically(out, (to_json(text) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
