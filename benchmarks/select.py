"""Duration of `run.py select`, and accuracy of its recommendation on held-out rows beside other ways to a model.

    python -m benchmarks.select [--quick] [--wheels FOLDER] [--flaml PYTHON]      results/select.json

Time: a synthetic CSV file of 5000 rows with 12 numeric and 8 text columns, a tenth of the values of every other column
missing, five evaluations (at most 30 s of one core). All rows: 20,000 rows of scikit-learn's `make_classification`.
Quality: ten datasets from different groups that were held out from the training of the selector, the first by the
hashes of their names, with all rows, in three folds. In each, `run.py select`, `HistGradientBoostingClassifier` with
its defaults, and FLAML with as many seconds as `select` took are given the training rows alone, as the same file, and
predict the other rows. No choice is made on the rows of the score. `--flaml` is the interpreter of an environment with
`flaml[automl]`; without it FLAML is left out. One thread each.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from benchmarks.automl_table.build import rank
from benchmarks.automl_table.catalogue import catalogue
from benchmarks.automl_table.datasets import listed, read
from benchmarks.shared.common import RUNS, set_up, table, write_result
from benchmarks.shared.estimates import single, text
from benchmarks.shared.main import QuickOptions, run_main
from envs.automl.table import read_table

ROOT = Path(__file__).resolve().parent.parent
N_EVALUATIONS, N_DATASETS, N_SPLITS = 5, 10, 3
MAX_SECONDS = 30.0
MIN_PER_CLASS = 6
"""Smallest class: two rows in each fold [rows]."""
TIME_BUDGET = 60
"""Time budget of `select` on each dataset [s]."""
FLAML = """
import sys
import pandas as pd
from flaml import AutoML
folder, target, seconds = sys.argv[1:]
train, test = (pd.read_csv(f"{folder}/{part}.csv", dtype={target: str}) for part in ("train", "test"))
model = AutoML()
model.fit(train.drop(columns=target), train[target], task="classification", metric="accuracy",
          time_budget=float(seconds), n_jobs=1, seed=0, verbose=0)
pd.Series(model.predict(test.drop(columns=target))).to_csv(f"{folder}/flaml.csv", index=False, header=False)
"""


@dataclass(frozen=True, kw_only=True)
class Options(QuickOptions):
    """Options of this benchmark."""

    wheels: Path = RUNS / "selection" / "wheels"
    """Folder of the wheels from which the table was built (`benchmarks.automl_table.build`)."""

    flaml: Path | None = None
    """Interpreter with flaml[automl]."""


def main(options: Options) -> None:
    """Time the command and compare its recommendation with other models."""
    set_up(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        timed = time_on_synthetic_data(Path(folder))
        print(
            f"5000 x 20, {N_EVALUATIONS} evaluations: {timed['seconds']:.0f} s of at most {MAX_SECONDS:.0f}, on a core"
        )
        tables = [("make_classification", *large_data())] if not options.quick else []
        tables += [(name, *data_of(name, options.wheels)) for name in held_out(2 if options.quick else N_DATASETS)]
        rows = []
        for name, frame, target in tables:
            rows.append(compare_on_dataset(name, frame, target, options.flaml, Path(folder)))
            print(json.dumps(rows[-1]), flush=True)
    print(table(rows))
    others = [key for key in ("hist_gradient_boosting", "flaml") if key in rows[0]]
    of_tables = [row for row in rows if row["dataset"] != "make_classification"]
    summary = {f"select_minus_{key}": single([row["select"] - row[key] for row in of_tables]) for key in others}
    for key, value in summary.items():
        print(key, text(value, 4))
    write_result("select", {"time": timed, "datasets": rows, "summary": summary}, quick=options.quick)


def time_on_synthetic_data(folder: Path) -> dict[str, Any]:
    """Time the complete command, including the start of Python and reading of the file [s of one core]."""
    synthetic_data().to_csv(folder / "made_up.csv", index=False)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = select(folder / "made_up.csv", "label", "--no-compare")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "target": MAX_SECONDS, "met": seconds <= MAX_SECONDS, "ranking": report["ranking"]}


def large_data() -> tuple[pd.DataFrame, str]:
    """Generate 20,000 rows of 20 numeric columns and four classes that overlap."""
    options = {"n_informative": 12, "n_clusters_per_class": 3, "class_sep": 0.7, "flip_y": 0.1, "random_state": 0}
    inputs, classes = make_classification(20_000, 20, n_classes=4, **options)
    return pd.DataFrame(inputs.round(4)).rename(columns=str).assign(label=classes), "label"


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


def data_of(name: str, wheels: Path) -> tuple[pd.DataFrame, str]:
    """Return a held-out dataset with all rows, and the name of its target."""
    (entry,) = (each for each in catalogue() if each.name == name)
    frame = read(entry, wheels)
    frame = frame.drop(columns=[column for column in frame.columns if listed(str(column), entry.unused)])
    counts = frame[entry.target].map(frame[entry.target].value_counts()).fillna(0).astype(int)
    return frame[counts >= MIN_PER_CLASS].reset_index(drop=True), entry.target


def compare_on_dataset(name: str, frame: pd.DataFrame, target: str, flaml: Path | None, folder: Path) -> dict[str, Any]:
    """Return the accuracy of each model on held-out rows, a mean over folds."""
    found: dict[str, list[float]] = {}
    splitter = StratifiedKFold(N_SPLITS, shuffle=True, random_state=0)
    for split, (train, test) in enumerate(splitter.split(frame, frame[target].astype(str))):
        part = folder / f"{name}-{split}"
        part.mkdir()
        frame.iloc[train].to_csv(part / "train.csv", index=False)
        frame.iloc[test].to_csv(part / "test.csv", index=False)
        truth = pd.read_csv(part / "test.csv", dtype={target: str})[target].str.strip().to_numpy()
        started = time.perf_counter()
        report = select(part / "train.csv", target, "--time-budget", str(TIME_BUDGET))
        names: dict[str, Any] = {"__name__": "best"}
        exec((part / "train" / "best.py").read_text(), names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit on the number of iterations is part of the algorithm
            model = names["fit"](str(part / "train.csv"))
        seconds = time.perf_counter() - started
        predicted = {"select": model.predict(names["columns"](str(part / "test.csv")))}
        predicted["hist_gradient_boosting"] = gradient_boosting(part, target)
        if flaml is not None:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            command = [str(flaml), "-c", FLAML, str(part), target, str(seconds)]
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
            predicted["flaml"] = pd.read_csv(part / "flaml.csv", header=None, dtype=str)[0].to_numpy()
        for key, labels in predicted.items():
            found.setdefault(key, []).append(float(np.mean(labels == truth)))
        found.setdefault("expected", []).append(report["expected_on_new_rows"]["mean"])
        found.setdefault("seconds", []).append(seconds)
    return {"dataset": name, "rows": len(frame), **{key: float(np.mean(values)) for key, values in found.items()}}


def gradient_boosting(folder: Path, target: str) -> NDArray[Any]:
    """Predict the test rows by `HistGradientBoostingClassifier`, with text as its categories."""
    train, test = (pd.read_csv(folder / f"{part}.csv", dtype={target: str}) for part in ("train", "test"))
    inputs = train.drop(columns=target)
    words = inputs.select_dtypes(exclude="number").columns.to_list()
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=250)
    columns = ColumnTransformer([("words", encoder, words)], remainder="passthrough")
    classifier = HistGradientBoostingClassifier(categorical_features=list(range(len(words))), random_state=0)
    return make_pipeline(columns, classifier).fit(inputs, train[target].str.strip()).predict(test[inputs.columns])


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
