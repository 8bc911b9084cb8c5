"""Registry of agents: meta-learners in `agents/`, reference policies in `agents/references/`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from envs.core.registry import ENVS
from qrl.common.registry import Plugin, Registry, Shelf
from qrl.models import MODELS

if TYPE_CHECKING:
    from agents.core.agent import Agent

_AGENTS = Path(__file__).parents[1]


def _plugin_of_object(thing: object) -> "Plugin[Agent[object]] | None":
    from agents.core.given import plugin_of_agent  # Local, as it imports torch.

    return plugin_of_agent(thing)


AGENTS: "Registry[Agent[object]]" = Registry(
    "agent",
    "qrl.agents",
    [
        Shelf("agents", _AGENTS, "meta-learners"),
        Shelf("agents.references", _AGENTS / "references", "references"),
    ],
    resolve_object=_plugin_of_object,
    objects="an agents.Agent",
)
"""Registry of all agents; `AGENTS.load(name).build(config, context)` builds one."""

REGISTRIES: Mapping[str, Registry[object]] = {"env": ENVS, "agent": AGENTS, "model": MODELS}
"""Registry of each role of a run."""

DEFAULT_NAMES = {"env": "navigation", "agent": "maml", "model": "reuploading"}


def register(name: str, plugin: object) -> None:
    """Register `plugin` (a module or any object with `Config` and `build`) as an agent in this process.

    An earlier registration under the same name is replaced.

    Raises:
        UsageError: the plug-in lacks `Config` or `build`, or an agent of this library has this name.
    """
    AGENTS.register(name, plugin)
