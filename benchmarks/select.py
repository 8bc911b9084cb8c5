"""`run.py select`: how long it takes, and how its best pipeline compares with the best single algorithm.

    python -m benchmarks.select [--quick] [--wheels FOLDER]      results/select.json

The command in a process of its own, one thread. Time: a CSV file of 5000 rows and 20 columns that is made here, 12 of
numbers and 8 of text, a tenth of the values of every other column missing, five tries (at most 120 s). Quality: ten
datasets that are held out from the training of the selector, the first ones by the hashes of their names of different
groups, written as CSV files as their packages have them; the best accuracy among five tries minus that of the best
single algorithm of the datasets trained on, both in the same folds. The best of five has been chosen by the same folds
and the single algorithm has not: the difference is a little too good for the selector, so one try beside it, which has
no such choice, is reported too.
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
from benchmarks.shared.main import QuickOptions, run_main
from benchmarks.shared.statistics import interval, t_interval
from envs.automl.table import read_table

ROOT = Path(__file__).resolve().parent.parent
TRIES, N_DATASETS = 5, 10
MOST_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    wheels: Path = RUNS / "selection" / "wheels"
    """Folder of the wheels that the table was built from (`benchmarks.automl_table.build`)."""


def main(options: Options) -> None:
    """Run the command."""
    set_up(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        timed = on_made_up_data(Path(folder))
        print(f"5000 x 20, {TRIES} tries: {timed['seconds']:.0f} s of at most {MOST_SECONDS:.0f}", flush=True)
        rows = [compared(name, options.wheels, Path(folder)) for name in held_out(2 if options.quick else N_DATASETS)]
    print(table(rows))
    keys = ("best_minus_single", "first_minus_single")
    summary = {key: t_interval([row[key] for row in rows]) for key in keys}
    for key, value in summary.items():
        print(key, interval(value, 4))
    ahead = sum(row["best_minus_single"] > 0 for row in rows)
    write_result(
        "select", {"time": timed, "datasets": rows, "summary": {**summary, "ahead": ahead}}, quick=options.quick
    )


def on_made_up_data(folder: Path) -> dict[str, Any]:
    """Seconds of the whole command, starting Python and reading included."""
    made_up().to_csv(folder / "made_up.csv", index=False)
    started = time.perf_counter()
    about = select(folder / "made_up.csv", "label", "--no-compare")
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "target": MOST_SECONDS, "met": seconds <= MOST_SECONDS, "ranking": about["ranking"]}


def made_up() -> pd.DataFrame:
    """5000 rows: 12 columns of numbers and 8 of text, of which some say something about three unequal classes."""
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
    """Names of datasets of the test split, each of a group of its own, in an order that has no meaning."""
    shipped = read_table()
    chosen: dict[str, str] = {}
    for row in sorted(shipped.split("test"), key=lambda row: rank(shipped.datasets[row])):
        chosen.setdefault(shipped.groups[row], shipped.datasets[row])
    return list(chosen.values())[:n_datasets]


def compared(name: str, wheels: Path, folder: Path) -> dict[str, Any]:
    """The command on one of them."""
    (entry,) = (each for each in catalogue() if each.name == name)
    frame = read(entry, wheels)
    unused = [column for column in frame.columns if listed(str(column), entry.unused)]
    frame.drop(columns=unused).to_csv(folder / f"{name}.csv", index=False)
    started = time.perf_counter()
    about = select(folder / f"{name}.csv", entry.target)
    seconds = time.perf_counter() - started
    (first,) = (each for each in about["ranking"] if each["evaluation"] == 1)
    single, proposed = about["best_single"], about["best_proposed"]
    return {
        "dataset": name,
        "rows": about["data"]["rows"],
        "best": proposed["algorithm"],
        "accuracy": proposed["accuracy"],
        "single": single["algorithm"],
        "single_accuracy": single["accuracy"],
        "best_minus_single": proposed["accuracy"] - single["accuracy"],
        "first_minus_single": first["accuracy"] - single["accuracy"],
        "seconds": seconds,
    }


def select(file: Path, target: str, *options: str) -> dict[str, Any]:
    """What the command wrote about a file."""
    out = file.with_suffix("")
    command = [sys.executable, str(ROOT / "run.py"), "select", str(file), "--target", target, "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*command, "--evaluations", str(TRIES), *options], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    return json.loads((out / "best.json").read_text())


if __name__ == "__main__":
    run_main(main, Options, __doc__)
