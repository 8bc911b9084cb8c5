"""Duration of `run.py select`, and accuracy of its best pipeline compared with the best single algorithm.

    python -m benchmarks.select [--quick] [--wheels FOLDER]      results/select.json

The command runs in its own process with one thread. Time: a synthetic CSV file of 5000 rows with 12 numeric and 8 text
columns, a tenth of the values of every other column missing, five evaluations (at most 120 s). Quality: ten datasets
from different groups that were held out from the training of the selector, the first by the hashes of their names,
written as CSV files as in their packages; the best accuracy among five evaluations minus that of the best single
algorithm of the training datasets, in the same folds. The best of five is selected on these folds, unlike the single
algorithm, so this difference is optimistically biased; the difference of the first evaluation, without selection, is
also reported.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.automl_table.build import rank
from benchmarks.automl_table.catalogue import catalogue
from benchmarks.automl_table.datasets import listed, read
from benchmarks.shared.common import RUNS, set_up, table, write_result
from benchmarks.shared.estimates import single, text
from benchmarks.shared.main import QuickOptions, run_main
from envs.automl.table import read_table

ROOT = Path(__file__).resolve().parent.parent
N_EVALUATIONS, N_DATASETS = 5, 10
MAX_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    wheels: Path = RUNS / "selection" / "wheels"
    """Folder of the wheels from which the table was built (`benchmarks.automl_table.build`)."""


def main(options: Options) -> None:
    """Time the command and compare it with the best single algorithm."""
    set_up(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        timed = time_on_synthetic_data(Path(folder))
        print(
            f"5000 x 20, {N_EVALUATIONS} evaluations: {timed['seconds']:.0f} s of at most {MAX_SECONDS:.0f}", flush=True
        )
        rows = [
            compare_on_dataset(name, options.wheels, Path(folder))
            for name in held_out(2 if options.quick else N_DATASETS)
        ]
    print(table(rows))
    keys = ("best_minus_single", "first_minus_single")
    summary = {key: single([row[key] for row in rows]) for key in keys}
    for key, value in summary.items():
        print(key, text(value, 4))
    n_better = sum(row["best_minus_single"] > 0 for row in rows)
    write_result(
        "select", {"time": timed, "datasets": rows, "summary": {**summary, "ahead": n_better}}, quick=options.quick
    )


def time_on_synthetic_data(folder: Path) -> dict[str, Any]:
    """Time the complete command, including the start of Python and reading of the file."""
    synthetic_data().to_csv(folder / "made_up.csv", index=False)
    started = time.perf_counter()
    report = select(folder / "made_up.csv", "label", "--no-compare")
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "target": MAX_SECONDS, "met": seconds <= MAX_SECONDS, "ranking": report["ranking"]}


def synthetic_data() -> pd.DataFrame:
    """Generate 5000 rows of 12 numeric and 8 text columns, some informative, with three imbalanced classes."""
    rng, n_rows = np.random.default_rng(0), 5000
    numbers = rng.normal(size=(n_rows, 12))
    signal = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + 0.7 * rng.normal(size=n_rows)
    classes = (signal > 0).astype(int) + (numbers[:, 3] > 1.2)
    frame = pd.DataFrame(numbers.round(4), columns=[f"number{i}" for i in range(12)])
    for i in range(8):
        words = rng.choice([f"word{j}" for j in range(3 + 2 * i)], n_rows)
        frame[f"text{i}"] = np.where(rng.random(n_rows) < 0.2, np.array(["x", "y", "z"])[classes], words)
    for name in frame.columns[::2]:
        frame.loc[rng.random(n_rows) < 0.1, name] = None
    return frame.assign(label=np.array(["low", "middle", "high"])[classes])


def held_out(n_datasets: int) -> list[str]:
    """Return names of test datasets from different groups, in the arbitrary order of hashes."""
    shipped = read_table()
    chosen: dict[str, str] = {}
    for row in sorted(shipped.split("test"), key=lambda row: rank(shipped.datasets[row])):
        chosen.setdefault(shipped.groups[row], shipped.datasets[row])
    return list(chosen.values())[:n_datasets]


def compare_on_dataset(name: str, wheels: Path, folder: Path) -> dict[str, Any]:
    """Run the command on a held-out dataset."""
    (entry,) = (each for each in catalogue() if each.name == name)
    frame = read(entry, wheels)
    unused = [column for column in frame.columns if listed(str(column), entry.unused)]
    frame.drop(columns=unused).to_csv(folder / f"{name}.csv", index=False)
    started = time.perf_counter()
    report = select(folder / f"{name}.csv", entry.target)
    seconds = time.perf_counter() - started
    (first,) = (each for each in report["ranking"] if each["evaluation"] == 1)
    single, proposed = report["best_single"], report["best_proposed"]
    return {
        "dataset": name,
        "rows": report["data"]["rows"],
        "best": proposed["algorithm"],
        "accuracy": proposed["accuracy"],
        "single": single["algorithm"],
        "single_accuracy": single["accuracy"],
        "best_minus_single": proposed["accuracy"] - single["accuracy"],
        "first_minus_single": first["accuracy"] - single["accuracy"],
        "seconds": seconds,
    }


def select(file: Path, target: str, *options: str) -> dict[str, Any]:
    """Run the command on a file and return its `best.json`."""
    out = file.with_suffix("")
    command = [sys.executable, str(ROOT / "run.py"), "select", str(file), "--target", target, "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*command, "--evaluations", str(N_EVALUATIONS), *options],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    return json.loads((out / "best.json").read_text())


if __name__ == "__main__":
    run_main(main, Options, __doc__)
