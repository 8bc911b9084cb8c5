"""Circuits in a user's file: a single `Circuit` is a model; for circuits of PennyLane the error says what to write."""

import sys
from collections.abc import Mapping
from types import FunctionType, ModuleType

from qrl.circuits.circuit import Circuit
from qrl.common.errors import UsageError
from qrl.models.shared.circuit_model import CircuitModel


def model_in(module: ModuleType) -> CircuitModel | None:
    """Return the model of a file's only `Circuit`; None if it has none, and no circuit of PennyLane, or half a model.

    Raises UsageError for several circuits, and for PennyLane's, which do not say how many inputs they have.
    """
    if {"Config", "build"} & vars(module).keys():
        return None
    circuits = {name: value for name, value in vars(module).items() if isinstance(value, Circuit)}
    distinct = set(circuits.values())
    if len(distinct) > 1:
        raise UsageError(
            f"the file has several circuits, {', '.join(circuits)}; a model has one: leave one in the file, or write "
            "Config and build"
        )
    if distinct:
        return CircuitModel(distinct.pop())
    if (pennylane := sys.modules.get("pennylane")) is None:
        return None
    layers = [name for name, value in vars(module).items() if isinstance(value, pennylane.qnn.TorchLayer)]
    names = layers or [name for name, value in vars(module).items() if isinstance(value, pennylane.QNode)]
    if not names and _has(vars(module), pennylane):
        names = [name for name, value in vars(module).items() if _is_defined_in(module, value)]
    if names:
        name = names[0] if len(names) == 1 else "CIRCUIT"
        raise UsageError(f"a circuit of PennyLane {_line(name, ', n_weights=…' * (not layers))}")
    return None


def _line(name: str, weights: str) -> str:
    return f"becomes a model by a line in its file: Config, build = qrl.pennylane_model({name}, n_inputs=…{weights})"


def check_not_of_pennylane(thing: object) -> None:
    """Raise UsageError, with what to write, for a QNode, TorchLayer or function of PennyLane in place of a model."""
    pennylane = sys.modules.get("pennylane")
    if pennylane is not None and isinstance(thing, FunctionType) and _has(thing.__globals__, pennylane):
        name = thing.__name__ if thing.__name__.isidentifier() else "CIRCUIT"
        raise UsageError(
            f"a function of PennyLane {_line(name, ', n_weights=…')}; in Python, the model is "
            f"qrl.Circuit.from_pennylane({name}, n_inputs=…, n_weights=…)"
        )
    if pennylane is not None and isinstance(thing, pennylane.QNode):
        raise UsageError("a QNode becomes a model by qrl.Circuit.from_pennylane(circuit, n_inputs=…, n_weights=…)")
    if pennylane is not None and isinstance(thing, pennylane.qnn.TorchLayer):
        raise UsageError("a TorchLayer becomes a model by qrl.Circuit.from_pennylane(layer, n_inputs=…)")


def _has(namespace: Mapping[str, object], pennylane: ModuleType) -> bool:
    """Return whether PennyLane is imported into a namespace, as a whole or by names."""
    defined = (value.__module__ for value in namespace.values() if isinstance(value, type | FunctionType))
    return any(value is pennylane for value in namespace.values()) or any(
        str(module).startswith("pennylane.") for module in defined
    )


def _is_defined_in(module: ModuleType, value: object) -> bool:
    return isinstance(value, FunctionType) and value.__module__ == module.__name__
