"""Models: one file each; the file name is the value of `--model`."""

from pathlib import Path
from typing import TYPE_CHECKING

from qrl.common.errors import UsageError
from qrl.common.registry import Plugin, Registry, Shelf

if TYPE_CHECKING:
    from torch.nn import Module


def _plugin_of_object(thing: object) -> "Plugin[Module] | None":
    from torch.nn import Module  # Local, as torch takes seconds to import.

    from qrl.circuits.circuit import Circuit
    from qrl.models.shared.given import ModuleModel

    if isinstance(thing, Circuit):
        raise UsageError("a Circuit has no parameters of its own: wrap it, qrl.QuantumLayer(circuit)")
    return ModuleModel(thing) if isinstance(thing, Module) else None


MODELS: "Registry[Module]" = Registry(
    "model",
    "qrl.models",
    [Shelf("qrl.models", Path(__file__).parent, "circuits")],
    resolve_object=_plugin_of_object,
    objects="a torch module with n_features",
)
"""Registry of all models; `MODELS.load(name).build(config, frame, generator)` builds the features of a policy."""


def register_model(name: str, plugin: object) -> None:
    """Make `plugin` (a module or any object with `Config` and `build`) known as a model in this process.

    An earlier registration under that name is replaced.

    Raises:
        UsageError: the plug-in lacks `Config` or `build`, or the name is that of another model.
    """
    MODELS.register(name, plugin)
