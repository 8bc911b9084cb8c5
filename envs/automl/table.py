"""Shipped table: measured scores of algorithms and configurations on real datasets, read and checked.

`table.safetensors` has the numbers, `table.json` the names. `build` writes both files, and `table.json` has the digest
of both. Nothing in the files is executed.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from qrl.common.errors import UsageError, suggest
from qrl.common.files import from_json, read_regular, to_json

FILE = Path(__file__).with_name("table.json")
FORMAT = "qrl-selection-1"
TableSplit = Literal["train", "validation", "test"]
SPLITS: tuple[TableSplit, ...] = get_args(TableSplit)


@dataclass(frozen=True)
class Scores:
    """Scores of a set of choices, algorithms or configurations, on datasets."""

    choices: tuple[str, ...]
    """Names of the choices [choice]; a configuration is named by its options."""
    rows: NDArray[np.int64]
    """Indices of the datasets in the table [dataset]."""
    majority: NDArray[np.float32]
    """Accuracy of always predicting the most frequent class of the training rows [dataset, fold]."""
    accuracy: NDArray[np.float32]
    """Accuracy on the held-out rows [dataset, choice, fold]."""
    balanced: NDArray[np.float32]
    """Balanced accuracy on the held-out rows, the mean recall over classes [dataset, choice, fold]."""
    seconds: NDArray[np.float32]
    """Time to fit in all folds on the machine of ORIGIN.md, one thread [s], [dataset, choice]."""
    failures: Mapping[str, str]
    """Reason why a choice failed on a dataset, by `dataset/choice`; its score is that of the majority class."""


@dataclass(frozen=True)
class Table:
    """The whole table."""

    datasets: tuple[str, ...]
    """Names of the datasets [dataset]."""
    groups: tuple[str, ...]
    """Group of each dataset [dataset]; datasets of one group have the same origin."""
    splits: tuple[TableSplit, ...]
    """Split of each dataset [dataset], the same within a group."""
    about: tuple[Mapping[str, Any], ...]
    """Description of each dataset [dataset]: source, item, target, origin, licence, rows, columns, classes and dropped
    columns."""
    features: tuple[str, ...]
    """Names of the meta-features [feature]."""
    meta: NDArray[np.float64]
    """Meta-features [dataset, feature]."""
    algorithms: Scores
    portfolios: Mapping[str, Scores]
    """Scores of the portfolios by name, `svm` and `gradient_boosting`."""
    dropped: Mapping[str, str]
    """Datasets of the catalogue that are not in the table, with the reason."""

    def split(self, name: TableSplit) -> NDArray[np.int64]:
        """Return the indices of the datasets of one split.

        Raises:
            UsageError: no such split.
        """
        if name not in SPLITS:
            raise UsageError(f"unknown split {name!r}{suggest(str(name), SPLITS)}")
        return np.flatnonzero(np.array(self.splits) == name)

    def improvement(self, portfolio: str | None = None) -> NDArray[np.float64]:
        """Return the mean accuracy over folds minus that of the majority class [dataset, choice].

        Args:
            portfolio: None for the algorithms, or the name of one of `portfolios`, whose `rows` are its datasets.

        Raises:
            UsageError: no such portfolio.
        """
        if portfolio is not None and portfolio not in self.portfolios:
            raise UsageError(f"unknown portfolio {portfolio!r}{suggest(portfolio, self.portfolios)}")
        scores = self.algorithms if portfolio is None else self.portfolios[portfolio]
        mean = scores.accuracy.mean(-1, dtype=np.float64)
        return mean - scores.majority.mean(-1, dtype=np.float64)[:, None]


def read_table(path: Path = FILE) -> Table:
    """Read the table from its JSON file and the safetensors file in the same folder.

    Raises:
        UsageError: a file is missing or damaged, the files are of different builds, or a number is invalid.
    """
    text, arrays = read_files(path, FORMAT, "selection table")
    try:
        table = _build_table(text, arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: incomplete: {error}") from error
    _check(table, path)
    return table


def read_files(path: Path, form: str, what: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read the text and the numbers of a pair of files, and verify their common `digest`.

    Args:
        path: the JSON file; the file of the numbers is in the same folder.
        form: expected `format` of the JSON file.
        what: name of the content, for messages.

    Raises:
        UsageError: a file is missing or damaged, or the files are of different builds.
    """
    text = from_json(path)
    if not isinstance(text, dict) or text.get("format") != form:
        raise UsageError(f"{path}: not a {what} ({form})")
    numbers = path.with_suffix(".safetensors")
    raw = read_regular(numbers)
    try:
        arrays = safetensors.numpy.load(raw)
    except safetensors.SafetensorError as error:
        raise UsageError(f"{numbers}: {error}") from error
    if digest(raw, text) != text.get("digest"):
        raise UsageError(f"{path}: damaged, or not from the same build as {numbers.name}")
    return text, arrays


def digest(numbers: bytes, text: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the numbers and of the text without its digest, in the order of its keys."""
    rest = {key: text[key] for key in sorted(text) if key != "digest"}
    return hashlib.sha256(numbers + to_json(rest).encode()).hexdigest()


def _build_table(text: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Table:
    def scores(name: str) -> Scores:
        parts = {part: arrays[f"{name}.{part}"] for part in ("rows", "majority", "accuracy", "balanced", "seconds")}
        return Scores(choices=tuple(text["choices"][name]), failures=text["failures"][name], **parts)

    about = tuple(text["datasets"].values())
    return Table(
        datasets=tuple(text["datasets"]),
        groups=tuple(each["group"] for each in about),
        splits=tuple(each["split"] for each in about),
        about=about,
        features=tuple(text["features"]),
        meta=arrays["meta"],
        algorithms=scores("algorithms"),
        portfolios={name: scores(name) for name in text["choices"] if name != "algorithms"},
        dropped=text["dropped"],
    )


def _check(table: Table, path: Path) -> None:
    """Raise UsageError for inconsistent shapes, invalid numbers or invalid splits."""
    n = len(table.datasets)
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        "meta": (table.meta.shape, (n, len(table.features))),
    }
    n_folds = table.algorithms.majority.shape[-1]
    for name, scores in {"algorithms": table.algorithms, **table.portfolios}.items():
        expected = (len(scores.rows), len(scores.choices))
        shapes[f"{name}.majority"] = scores.majority.shape, (len(scores.rows), n_folds)
        shapes[f"{name}.accuracy"] = scores.accuracy.shape, (*expected, n_folds)
        shapes[f"{name}.balanced"] = scores.balanced.shape, (*expected, n_folds)
        shapes[f"{name}.seconds"] = scores.seconds.shape, expected
        if len(set(scores.rows.tolist())) < len(scores.rows) or not np.isin(scores.rows, np.arange(n)).all():
            raise UsageError(f"{path}: {name}.rows are not distinct datasets")
        for what, values in (
            ("majority", scores.majority),
            ("accuracy", scores.accuracy),
            ("balanced", scores.balanced),
        ):
            if not ((values >= 0) & (values <= 1)).all():
                raise UsageError(f"{path}: {name}.{what} has numbers outside [0, 1]")
        if not (np.isfinite(scores.seconds) & (scores.seconds >= 0)).all():
            raise UsageError(f"{path}: {name}.seconds has negative or non-finite numbers")
    for name, (found, wanted) in shapes.items():
        if found != wanted:
            raise UsageError(f"{path}: {name} has shape {found}, not {wanted}")
    if not np.isfinite(table.meta).all():
        raise UsageError(f"{path}: meta-features must be finite")
    split_of: dict[str, TableSplit] = {}
    for group, split in zip(table.groups, table.splits, strict=True):
        if split not in SPLITS or split_of.setdefault(group, split) != split:
            raise UsageError(f"{path}: group {group!r} is in more than one split, or in none")
