"""Registry of environments: the families of `envs/`, ids of Gymnasium, and task distributions."""

from pathlib import Path
from typing import TYPE_CHECKING

from qrl.common.registry import Plugin, Registry, Shelf

if TYPE_CHECKING:
    from envs.core.distribution import TaskDistribution


def _plugin_of_id(name: str) -> "Plugin[TaskDistribution] | None":
    from envs.wrapped.ids import plugin_of_id  # Local, as it imports torch.

    return plugin_of_id(name)


def _plugin_of_object(value: object) -> "Plugin[TaskDistribution] | None":
    from envs.wrapped.ids import plugin_of_object

    return plugin_of_object(value)


ENVS: "Registry[TaskDistribution]" = Registry(
    "env",
    "qrl.envs",
    [Shelf("envs", Path(__file__).parents[1], "environments")],
    resolve_name=_plugin_of_id,
    resolve_object=_plugin_of_object,
    objects='an envs.TaskDistribution such as envs.GymnasiumTasks("CartPole-v1", {"gravity": envs.Uniform(5, 15)})',
)
"""Every environment; `ENVS.load(name).build(config)` makes a task distribution."""


def register(name: str, plugin: object) -> None:
    """Register `plugin` as `name` in this process: a `TaskDistribution`, or an object with `Config` and `build`.

    An earlier registration of that name is replaced.

        >>> envs.register("tilted", envs.GymnasiumTasks(make, {"tilt": envs.Uniform(-1, 1)}))

    Raises:
        UsageError: `plugin` is neither, or `name` is that of a family of this folder, of a package or of Gymnasium.
    """
    ENVS.register(name, plugin)
