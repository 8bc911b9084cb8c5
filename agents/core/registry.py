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
