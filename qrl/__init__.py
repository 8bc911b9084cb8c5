"""Quantum policies in torch: circuits as values, a fused simulator, layers and policies.

Sub-packages build on each other in one order: `common` (errors, files, registry), `circuits` (their description, no
torch), `noise` (no torch either), `simulator` (the fused executor), `backends` (devices and formats), `layer`
(`QuantumLayer`), `policies`; then `models`, one file a model, which policies know by name only, and the bridges `sb3`
and `sklearn`.

Importing this package is cheap: torch is imported with the first name that needs it.

This package is part of qrl-meta.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qrl.circuits.circuit import Circuit
    from qrl.circuits.gates import Gate, Input, Weight
    from qrl.circuits.observables import Observable
    from qrl.common.errors import UsageError
    from qrl.layer import QuantumLayer
    from qrl.models.shared.pennylane import pennylane_model
    from qrl.policies.frame import Frame
    from qrl.policies.policy import Policy
    from qrl.sklearn.classifier import QuantumClassifier

__all__ = [
    "Circuit",
    "Frame",
    "Gate",
    "Input",
    "Observable",
    "Policy",
    "QuantumClassifier",
    "QuantumLayer",
    "UsageError",
    "Weight",
    "pennylane_model",
    "register_model",
]

_HOME = {
    "Circuit": "qrl.circuits.circuit",
    "Frame": "qrl.policies.frame",
    "Gate": "qrl.circuits.gates",
    "Input": "qrl.circuits.gates",
    "Observable": "qrl.circuits.observables",
    "Policy": "qrl.policies.policy",
    "QuantumClassifier": "qrl.sklearn.classifier",
    "QuantumLayer": "qrl.layer",
    "UsageError": "qrl.common.errors",
    "Weight": "qrl.circuits.gates",
    "pennylane_model": "qrl.models.shared.pennylane",
}


def register_model(name: str, plugin: object) -> None:
    """Make `plugin` (a module or any object with `Config` and `build`) known as a model in this process.

    In place of what was registered under that name before, if anything.

    Raises:
        UsageError: it lacks `Config` or `build`, or the name is that of another model.
    """
    from qrl.models import MODELS

    MODELS.register(name, plugin)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
