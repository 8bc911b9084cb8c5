"""QuantumClassifier compared with classical classifiers on four small datasets.

    python -m benchmarks.classifier [--quick] [--threads N]      results/classifier.json

Accuracy by stratified 5-fold cross-validation on iris, wine, breast_cancer and digits, with five seeds. A seed shuffles
the folds, identically for all classifiers, and initialises the random number generators. Every classifier follows a
StandardScaler fitted on the training folds and has the same default options on all datasets; the defaults of the
quantum classifier were chosen on synthetic datasets (docs/benchmarks.md). The MLP has one hidden layer, whose width
matches the number of parameters of the quantum classifier as closely as possible, and enough epochs to converge.
Differences are QuantumClassifier minus another classifier, paired by seed.
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
from benchmarks.shared.estimates import single, text
from benchmarks.shared.main import TimingOptions, run_main
from qrl.policies.frame import Frame
from qrl.sklearn.classifier import QuantumClassifier

DATASETS = {name: getattr(datasets, f"load_{name}") for name in ("iris", "wine", "breast_cancer", "digits")}
SEEDS, FOLDS = 5, 5
QUANTUM = "QuantumClassifier"
CLASSIFIERS: dict[str, Callable[[int, Frame, int], Any]] = {
    QUANTUM: lambda seed, frame, budget: QuantumClassifier(random_state=seed),
    f"{QUANTUM}, no entanglement": lambda seed, *_: QuantumClassifier(ansatz="unentangled", random_state=seed),
    "MLPClassifier": lambda seed, frame, budget: MLPClassifier(
        matching_width(frame, budget), max_iter=5000, random_state=seed
    ),
    "LogisticRegression": lambda seed, *_: LogisticRegression(max_iter=1000),
    "SVC, rbf": lambda *_: SVC(),
}
"""Factories, given the seed, the frame around the features, and the number of parameters to match."""


def main(options: TimingOptions) -> None:
    """Cross-validate all classifiers."""
    set_up(options.threads)
    results = {
        name: compare_classifiers(name, 2 if options.quick else SEEDS)
        for name in list(DATASETS)[: 2 if options.quick else None]
    }
    lines = [table_row(name, each, row) for name, rows in results.items() for each, row in rows["classifiers"].items()]
    print(table(lines))
    write_result("classifier", results, quick=options.quick)


def compare_classifiers(name: str, n_seeds: int) -> dict[str, Any]:
    """Cross-validate every classifier on a dataset."""
    inputs, targets = DATASETS[name](return_X_y=True)
    frame = Frame(inputs.shape[1], len(np.unique(targets)))
    rows: dict[str, dict[str, Any]] = {}
    for each, make in CLASSIFIERS.items():
        budget = rows[QUANTUM]["parameters"] if rows else 0
        seeds = [cross_validate(make(seed, frame, budget), seed, inputs, targets) for seed in range(n_seeds)]
        rows[each] = summary(seeds, rows[QUANTUM]["seeds"] if rows else seeds)
        print(name, each, text(rows[each]["accuracy"], 4), flush=True)
    sizes = {"samples": len(inputs), "inputs": frame.n_inputs, "classes": frame.n_outputs}
    return {**sizes, "options": QuantumClassifier().get_params(), "classifiers": rows}


def cross_validate(classifier: Any, seed: int, inputs: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Return accuracy of each fold, seconds per fit, number of parameters, and number of fits that did not converge."""
    scores, seconds, n_unconverged = [], [], 0
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(inputs, targets):
        pipeline = make_pipeline(StandardScaler(), clone(classifier))
        start = time.perf_counter()
        with warnings.catch_warnings(record=True, action="always", category=ConvergenceWarning) as caught:
            pipeline.fit(inputs[train], targets[train])
        seconds.append(time.perf_counter() - start)
        n_unconverged += len(caught)
        scores.append(float(pipeline.score(inputs[test], targets[test])))
    row = {"seed": seed, "folds": scores, "accuracy": float(np.mean(scores)), "seconds": float(np.median(seconds))}
    return row | {"parameters": n_parameters(pipeline[-1]), "cut_short": n_unconverged}


def summary(seeds: list[dict[str, Any]], quantum: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarise a classifier over its seeds, with its paired difference from the quantum classifier."""
    differences = [ours["accuracy"] - row["accuracy"] for ours, row in zip(quantum, seeds, strict=True)]
    return {
        "parameters": seeds[0]["parameters"],
        "accuracy": single([row["accuracy"] for row in seeds]),
        "quantum_minus_this": None if seeds is quantum else single(differences),
        "cut_short": sum(row["cut_short"] for row in seeds),
        "seconds_a_fit": float(np.median([row["seconds"] for row in seeds])),
        "seeds": seeds,
    }


def n_parameters(classifier: Any) -> int | None:
    """Number of parameters of a fitted classifier; None for a support vector machine, which stores samples."""
    match classifier:
        case QuantumClassifier():
            return sum(parameter.numel() for parameter in classifier.network_.parameters())
        case MLPClassifier():
            return sum(array.size for array in (*classifier.coefs_, *classifier.intercepts_))
        case LogisticRegression():
            return classifier.coef_.size + classifier.intercept_.size
    return None


def matching_width(frame: Frame, budget: int) -> tuple[int]:
    """Hidden layer sizes of the perceptron closest to a number of parameters [units]."""
    outputs = 1 if frame.n_outputs == 2 else frame.n_outputs  # scikit-learn uses one logistic output for two classes
    return (replace(frame, n_outputs=outputs).fit(budget, lambda units: (units, (frame.n_inputs + 1) * units)),)


def table_row(dataset: str, name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the printed table, in per cent."""
    percent = {
        key: {k: None if v is None else 100 * v for k, v in row[key].items()} if row[key] else None
        for key in ("accuracy", "quantum_minus_this")
    }
    return {
        "dataset": dataset,
        "classifier": name,
        "parameters": row["parameters"],
        "accuracy [%]": text(percent["accuracy"], 2),
        "quantum minus this": percent["quantum_minus_this"] and text(percent["quantum_minus_this"], 2),
        "not converged": row["cut_short"],
        "seconds per fit": row["seconds_a_fit"],
    }


if __name__ == "__main__":
    run_main(main, TimingOptions, __doc__)
