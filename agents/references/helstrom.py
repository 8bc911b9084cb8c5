"""Helstrom measurement: the largest success rate of any agent that keeps the registers of an episode.

The agent measures the projector on the positive part of the difference of the two cases' mean states (Helstrom 1976).

With a hidden frame, the agent learns as much about the frame as one measurement per pair can in all episodes but the
last one, where it answers best. Its line in pictures is then an envelope: in each episode, the success rate of an agent
that has only learned until now and now answers best. No agent that measures each pair in its own episode attains the
envelope in all episodes, since learning and answering need different measurements. The envelope is no bound for agents
that keep several pairs unmeasured.
"""

from dataclasses import dataclass

from agents.core.context import BuildContext
from agents.references.shared.effects import helstrom_effect, mean_states
from agents.references.shared.frame import envelope, explore_first
from agents.references.shared.frame_agent import FrameAgent
from agents.references.shared.registers import MeasuringAgent
from agents.references.shared.trial import TrialConfig, require_family
from envs.quantum_memory import QuantumMemory

FAMILIES = ("quantum_memory",)


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of the Helstrom measurement."""

    episodes: int = 1
    """Episodes of a trial [episodes]; at most 16 with a hidden frame."""


def build(config: Config, context: BuildContext) -> MeasuringAgent | FrameAgent:
    """Return the agent."""
    family = require_family("helstrom", context, QuantumMemory)
    if family.config.frame != "none":
        label = "helstrom (envelope)"
        return FrameAgent(explore_first, envelope, family, config, context, name="helstrom", label=label)
    effect = helstrom_effect(*mean_states(family))
    return MeasuringAgent(effect, family, config, context, label="helstrom")
