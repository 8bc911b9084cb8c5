"""Models: one file each; the file's name is its `--model`."""

from pathlib import Path
from typing import TYPE_CHECKING

from qrl.common.registry import Registry, Shelf

if TYPE_CHECKING:
    from torch.nn import Module

MODELS: "Registry[Module]" = Registry("model", "qrl.models", [Shelf("qrl.models", Path(__file__).parent, "models")])
"""Every model; `MODELS.load(name).build(config, frame, generator)` makes the features of a policy."""


def register_model(name: str, plugin: object) -> None:
    """Make `plugin` (a module or any object with `Config` and `build`) known as a model in this process.

    In place of what was registered under that name before, if anything.

    Raises:
        UsageError: it lacks `Config` or `build`, or the name is that of another model.
    """
    MODELS.register(name, plugin)
