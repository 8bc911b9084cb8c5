"""Model given as an object: a module with its own initial parameters, a circuit, or a file with a circuit."""

import copy
from dataclasses import dataclass
from types import ModuleType

from torch import nn

from qrl.circuits.circuit import Circuit
from qrl.common.registry import NoOptions
from qrl.models.shared.circuit_model import CircuitModel
from qrl.models.shared.circuits_in_files import check_not_of_pennylane, model_in


@dataclass(frozen=True)
class ModuleModel:
    """Plug-in of a module that maps inputs [batch, input] to features [batch, n_features]."""

    module: nn.Module
    Config: type[NoOptions] = NoOptions

    def build(self, config: NoOptions, frame: object, generator: object) -> nn.Module:
        """Return a copy of the module, so that every policy starts from the given parameters."""
        return copy.deepcopy(self.module)


def plugin_of_object(thing: object) -> ModuleModel | CircuitModel | None:
    """Return the plug-in of an object without `Config` and `build`; None for an object that is no model.

    Raises UsageError for circuits of PennyLane, and for a file with several circuits.
    """
    if isinstance(thing, ModuleType):
        return model_in(thing)
    if isinstance(thing, Circuit):
        return CircuitModel(thing)
    check_not_of_pennylane(thing)
    return ModuleModel(thing) if isinstance(thing, nn.Module) else None
