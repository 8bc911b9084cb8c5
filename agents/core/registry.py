"""The registry of agents: meta-learners in `agents/`, reference policies in `agents/references/`."""

from pathlib import Path
from typing import TYPE_CHECKING

from qrl.common.registry import Registry, Shelf

if TYPE_CHECKING:
    from agents.core.agent import Agent

_AGENTS = Path(__file__).parents[1]

AGENTS: "Registry[Agent[object]]" = Registry(
    "agent",
    "qrl.agents",
    [
        Shelf("agents", _AGENTS, "agents"),
        Shelf("agents.references", _AGENTS / "references", "references"),
    ],
)
"""Every agent; `AGENTS.load(name).build(config, context)` makes one."""


def register(name: str, plugin: object) -> None:
    """Make `plugin` (a module or any object with `Config` and `build`) known as an agent in this process.

    In place of what was registered under that name before, if anything.

    Raises:
        UsageError: it lacks `Config` or `build`, or the name is that of another agent.
    """
    AGENTS.register(name, plugin)
