"""Quantum policies in torch: circuits as values, a fused simulator, layers and policies.

Sub-packages build on each other in one order: `common` (errors, files, registry), `circuits` (their description, no
torch), `noise` (no torch either), `simulator` (the fused executor), `backends` (devices and formats), `layer`
(`QuantumLayer`), `policies`; then `models`, one file a model, which policies know by name only, and the bridges `sb3`
and `sklearn`.

Importing this package is cheap: torch is imported with the first name that needs it.

This package is part of qrl-meta.
"""

from typing import TYPE_CHECKING

from qrl.common.lazy import lazy_names

if TYPE_CHECKING:
    from qrl.backends.backend import Backend as Backend
    from qrl.circuits.circuit import Circuit as Circuit
    from qrl.circuits.gates import Gate as Gate
    from qrl.circuits.gates import Input as Input
    from qrl.circuits.gates import Weight as Weight
    from qrl.circuits.observables import Observable as Observable
    from qrl.circuits.observables import PauliWord as PauliWord
    from qrl.common.errors import TrainingError as TrainingError
    from qrl.common.errors import UsageError as UsageError
    from qrl.layer import QuantumLayer as QuantumLayer
    from qrl.models.shared.pennylane import pennylane_model as pennylane_model
    from qrl.noise.calibration import Calibration as Calibration
    from qrl.noise.model import Noise as Noise
    from qrl.policies.actor import PolicyConfig as PolicyConfig
    from qrl.policies.features import BindableFeatures as BindableFeatures
    from qrl.policies.features import Features as Features
    from qrl.policies.features import GroupedFeatures as GroupedFeatures
    from qrl.policies.features import RecurrentFeatures as RecurrentFeatures
    from qrl.policies.frame import Frame as Frame
    from qrl.policies.policy import Params as Params
    from qrl.policies.policy import Policy as Policy
    from qrl.policies.policy import bind as bind
    from qrl.policies.policy import make_policy as make_policy
    from qrl.policies.recurrent import RecurrentPolicy as RecurrentPolicy
    from qrl.policies.recurrent import make_recurrent_policy as make_recurrent_policy
    from qrl.policies.spaces import action_units as action_units
    from qrl.sklearn.classifier import QuantumClassifier as QuantumClassifier

_HOMES = {
    "qrl.backends.backend": ("Backend",),
    "qrl.circuits.circuit": ("Circuit",),
    "qrl.circuits.gates": ("Gate", "Input", "Weight"),
    "qrl.circuits.observables": ("Observable", "PauliWord"),
    "qrl.common.errors": ("TrainingError", "UsageError"),
    "qrl.layer": ("QuantumLayer",),
    "qrl.models.shared.pennylane": ("pennylane_model",),
    "qrl.noise.calibration": ("Calibration",),
    "qrl.noise.model": ("Noise",),
    "qrl.policies.actor": ("PolicyConfig",),
    "qrl.policies.features": ("BindableFeatures", "Features", "GroupedFeatures", "RecurrentFeatures"),
    "qrl.policies.frame": ("Frame",),
    "qrl.policies.policy": ("Params", "Policy", "bind", "make_policy"),
    "qrl.policies.recurrent": ("RecurrentPolicy", "make_recurrent_policy"),
    "qrl.policies.spaces": ("action_units",),
    "qrl.sklearn.classifier": ("QuantumClassifier",),
}

if not TYPE_CHECKING:  # or type checkers would accept any name
    __getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES, "register_model")


def register_model(name: str, plugin: object) -> None:
    """Make `plugin` (a module or any object with `Config` and `build`) known as a model in this process.

    In place of what was registered under that name before, if anything.

    Raises:
        UsageError: it lacks `Config` or `build`, or the name is that of another model.
    """
    from qrl.models import MODELS

    MODELS.register(name, plugin)
