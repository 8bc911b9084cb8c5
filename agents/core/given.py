"""Agent given as an object: ready to act, built by the user."""

from dataclasses import dataclass

from agents.core.agent import Agent
from qrl.common.registry import NoOptions


@dataclass(frozen=True)
class ReadyAgent:
    """Plug-in of an existing agent."""

    agent: Agent[object]
    Config: type[NoOptions] = NoOptions

    def build(self, config: NoOptions, context: object) -> Agent[object]:
        """Return the agent itself."""
        return self.agent


def plugin_of_agent(thing: object) -> ReadyAgent | None:
    """Return the plug-in of an agent; None for any other object."""
    return ReadyAgent(thing) if isinstance(thing, Agent) and not isinstance(thing, type) else None
