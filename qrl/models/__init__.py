"""Models: one file each; the file name is the value of `--model`."""

from pathlib import Path
from typing import TYPE_CHECKING

from qrl.common.registry import Registry, Shelf

if TYPE_CHECKING:
    from torch.nn import Module

MODELS: "Registry[Module]" = Registry("model", "qrl.models", [Shelf("qrl.models", Path(__file__).parent, "models")])
"""Registry of all models; `MODELS.load(name).build(config, frame, generator)` builds the features of a policy."""


def register_model(name: str, plugin: object) -> None:
    """Make `plugin` (a module or any object with `Config` and `build`) known as a model in this process.

    An earlier registration under that name is replaced.

    Raises:
        UsageError: the plug-in lacks `Config` or `build`, or the name is that of another model.
    """
    MODELS.register(name, plugin)
