"""Models: one file each; the file name is the value of `--model`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qrl.common.importing import import_attribute
from qrl.common.registry import Plugin, Registry, Shelf

if TYPE_CHECKING:
    from torch.nn import Module


def _plugin_of_object(thing: object) -> "Plugin[Module] | None":
    # By name, as every model is imported: layers know this module, and the models are built of layers.
    resolve = import_attribute("model", "qrl.models.shared.given", "plugin_of_object")
    return cast("Callable[[object], Plugin[Module] | None]", resolve)(thing)


MODELS: "Registry[Module]" = Registry(
    "model",
    "qrl.models",
    [Shelf("qrl.models", Path(__file__).parent, "circuits")],
    resolve_object=_plugin_of_object,
    objects="a torch module with n_features, a qrl.Circuit",
)
"""Registry of all models; `MODELS.load(name).build(config, frame, generator)` builds the features of a policy."""


def register_model(name: str, plugin: object) -> None:
    """Make `plugin` (a module or any object with `Config` and `build`) known as a model in this process.

    An earlier registration under that name is replaced.

    Raises:
        UsageError: the plug-in lacks `Config` or `build`, or the name is that of another model.
    """
    MODELS.register(name, plugin)
