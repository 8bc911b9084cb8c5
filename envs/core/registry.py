"""The registry of environments: the families of `envs/`, ids of Gymnasium, and task distributions."""

from pathlib import Path
from typing import TYPE_CHECKING

from qrl.common.registry import Plugin, Registry, Shelf

if TYPE_CHECKING:
    from envs.core.distribution import TaskDistribution


def _plugin_of_id(name: str) -> "Plugin[TaskDistribution] | None":
    from envs.wrapped.ids import plugin_of_id  # Here because it brings torch.

    return plugin_of_id(name)


def _plugin_of_object(thing: object) -> "Plugin[TaskDistribution] | None":
    from envs.wrapped.ids import plugin_of_object

    return plugin_of_object(thing)


ENVS: "Registry[TaskDistribution]" = Registry(
    "env",
    "qrl.envs",
    [Shelf("envs", Path(__file__).parents[1], "environments")],
    of_name=_plugin_of_id,
    of_object=_plugin_of_object,
)
"""Every environment; `ENVS.load(name).build(config)` makes a task distribution."""
