"""QuantumClassifier beside classical classifiers on four small datasets.

    python -m benchmarks.classifier [--quick] [--threads N]      results/classifier.json

Accuracy by stratified 5-fold cross-validation on iris, wine, breast_cancer and digits, from five seeds: a seed shuffles
the folds, the same ones for all, and begins whatever is random. All stand behind a StandardScaler that sees the
training part alone, and have their defaults, the same on all four; those of the quantum one were found on synthetic
datasets (docs/benchmarks.md). The MLP has one hidden layer, as wide as brings it closest to the number of parameters of
the quantum classifier, and epochs enough to converge. Differences are QuantumClassifier minus another, seed by seed.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.shared.common import set_up, table, write_result
from benchmarks.shared.main import TimingOptions, run_main
from benchmarks.shared.statistics import interval, median_of, t_interval
from qrl.policies.frame import Frame
from qrl.sklearn.classifier import QuantumClassifier

DATASETS = {name: getattr(datasets, f"load_{name}") for name in ("iris", "wine", "breast_cancer", "digits")}
SEEDS, FOLDS = 5, 5
QUANTUM = "QuantumClassifier"
CLASSIFIERS: dict[str, Callable[[int, Frame, int], Any]] = {
    QUANTUM: lambda seed, frame, budget: QuantumClassifier(random_state=seed),
    f"{QUANTUM}, no entanglement": lambda seed, *_: QuantumClassifier(ansatz="unentangled", random_state=seed),
    "MLPClassifier": lambda seed, frame, budget: MLPClassifier(width(frame, budget), max_iter=5000, random_state=seed),
    "LogisticRegression": lambda seed, *_: LogisticRegression(max_iter=1000),
    "SVC, rbf": lambda *_: SVC(),
}
"""How to make them, from a seed, what surrounds the features, and the number of parameters to come closest to."""


def main(options: TimingOptions) -> None:
    """Cross-validate."""
    set_up(options.threads)
    results = {
        name: compared(name, 2 if options.quick else SEEDS) for name in list(DATASETS)[: 2 if options.quick else None]
    }
    lines = [shown(name, each, row) for name, rows in results.items() for each, row in rows["classifiers"].items()]
    print(table(lines))
    write_result("classifier", results, quick=options.quick)


def compared(name: str, n_seeds: int) -> dict[str, Any]:
    """Every classifier on a dataset."""
    inputs, targets = DATASETS[name](return_X_y=True)
    frame = Frame(inputs.shape[1], len(np.unique(targets)))
    rows: dict[str, dict[str, Any]] = {}
    for each, make in CLASSIFIERS.items():
        budget = rows[QUANTUM]["parameters"] if rows else 0
        seeds = [cross_validated(make(seed, frame, budget), seed, inputs, targets) for seed in range(n_seeds)]
        rows[each] = summary(seeds, rows[QUANTUM]["seeds"] if rows else seeds)
        print(name, each, interval(rows[each]["accuracy"], 4), flush=True)
    sizes = {"samples": len(inputs), "inputs": frame.n_inputs, "classes": frame.n_outputs}
    return {**sizes, "options": QuantumClassifier().get_params(), "classifiers": rows}


def cross_validated(classifier: Any, seed: int, inputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Accuracy in each fold, seconds of a fit, trained numbers, and fits that were cut short."""
    scores, seconds, cut = [], [], 0
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(inputs, targets):
        pipeline = make_pipeline(StandardScaler(), clone(classifier))
        start = time.perf_counter()
        with warnings.catch_warnings(record=True, action="always", category=ConvergenceWarning) as caught:
            pipeline.fit(inputs[train], targets[train])
        seconds.append(time.perf_counter() - start)
        cut += len(caught)
        scores.append(float(pipeline.score(inputs[test], targets[test])))
    row = {"seed": seed, "folds": scores, "accuracy": float(np.mean(scores)), "seconds": float(np.median(seconds))}
    return row | {"parameters": n_parameters(pipeline[-1]), "cut_short": cut}


def summary(seeds: list[dict[str, Any]], quantum: list[dict[str, Any]]) -> dict[str, Any]:
    """A classifier's seeds, and what the quantum one has more than it."""
    differences = [ours["accuracy"] - row["accuracy"] for ours, row in zip(quantum, seeds, strict=True)]
    return {
        "parameters": seeds[0]["parameters"],
        "accuracy": t_interval([row["accuracy"] for row in seeds]),
        "quantum_minus_this": None if seeds is quantum else t_interval(differences),
        "cut_short": sum(row["cut_short"] for row in seeds),
        "seconds_a_fit": median_of(seeds, "seconds"),
        "seeds": seeds,
    }


def n_parameters(classifier: Any) -> int | None:
    """Trained numbers of a fitted classifier; None for a support vector machine, which keeps samples."""
    match classifier:
        case QuantumClassifier():
            return sum(parameter.numel() for parameter in classifier.network_.parameters())
        case MLPClassifier():
            return sum(array.size for array in (*classifier.coefs_, *classifier.intercepts_))
        case LogisticRegression():
            return classifier.coef_.size + classifier.intercept_.size
    return None


def width(frame: Frame, budget: int) -> tuple[int]:
    """The hidden layer of a perceptron that comes closest to a number of parameters [units]."""
    outputs = 1 if frame.n_outputs == 2 else frame.n_outputs  # scikit-learn's has a logistic output for two classes
    return (replace(frame, n_outputs=outputs).fit(budget, lambda units: (units, (frame.n_inputs + 1) * units)),)


def shown(dataset: str, name: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table, in per cent."""
    percent = {
        key: {k: None if v is None else 100 * v for k, v in row[key].items()} if row[key] else None
        for key in ("accuracy", "quantum_minus_this")
    }
    return {
        "dataset": dataset,
        "classifier": name,
        "parameters": row["parameters"],
        "accuracy [%]": interval(percent["accuracy"], 2),
        "quantum minus this": percent["quantum_minus_this"] and interval(percent["quantum_minus_this"], 2),
        "cut short": row["cut_short"],
        "seconds a fit": row["seconds_a_fit"],
    }


if __name__ == "__main__":
    run_main(main, TimingOptions, __doc__)
