"""Quantum policies in torch: circuits as values, a fused simulator, layers and policies.

Importing this package is cheap: torch is imported with the first name that needs it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qrl.circuit import Circuit, Gate, Input, Observable, Weight
    from qrl.classifier import QuantumClassifier
    from qrl.errors import UsageError
    from qrl.layer import QuantumLayer
    from qrl.models._pennylane import pennylane_model
    from qrl.policy import Policy

__all__ = [
    "Circuit",
    "Gate",
    "Input",
    "Observable",
    "Policy",
    "QuantumClassifier",
    "QuantumLayer",
    "UsageError",
    "Weight",
    "pennylane_model",
]

_HOME = {
    "Circuit": "qrl.circuit",
    "Gate": "qrl.circuit",
    "Input": "qrl.circuit",
    "Observable": "qrl.circuit",
    "Policy": "qrl.policy",
    "QuantumClassifier": "qrl.classifier",
    "QuantumLayer": "qrl.layer",
    "UsageError": "qrl.errors",
    "Weight": "qrl.circuit",
    "pennylane_model": "qrl.models._pennylane",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
