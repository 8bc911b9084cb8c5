"""scikit-learn's checks of estimators, on QuantumClassifier with several models and options."""

import warnings
from typing import Any

from sklearn.utils.estimator_checks import check_estimator

from qrl import QuantumClassifier

SMALL: dict[str, Any] = {"n_qubits": 2, "n_layers": 2, "batch_size": 100, "max_iter": 50}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "QuantumClassifier": {},
    "without held-out samples": {"early_stopping": False},
    "balanced classes": {"class_weight": "balanced"},
    "all inputs projected": {"ansatz_options": {"encoding": "projection"}},
    "strongly_entangling": {"ansatz": "strongly_entangling"},
    "unentangled": {"ansatz": "unentangled"},
    "ising": {"ansatz": "ising"},
}
"""Options of the classifiers, besides those of small circuits."""


def run_estimator_checks() -> tuple[int, dict[str, str]]:
    """Return the number of checks, and the failures with their messages; checks that do not apply are not counted."""
    n_checks, failures = 0, {}
    for name, options in CLASSIFIERS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of convergence; a check that expects a warning records it itself
            results = check_estimator(QuantumClassifier(**SMALL | options), on_fail=None, on_skip=None)
        for result in results:
            n_checks += result["status"] != "skipped"
            if result["status"] not in ("passed", "skipped"):
                failures[f"{name}: {result['check_name']}"] = " ".join(str(result["exception"]).split())[:300]
    return n_checks, failures
