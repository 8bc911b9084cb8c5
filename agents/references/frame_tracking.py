"""Tracking of a hidden frame: a playable reference for `quantum_memory` with `--env.frame rz`.

The agent measures each pair by itself and keeps the exact posterior of the frame. It measures at right angles to the
posterior's direction, which tells most about the frame, until the posterior is certain enough; then it answers best.
This rule is the best one found, with a mean of .898 over ten episodes and .945 in the tenth. It is not proved optimal.
Without a frame there is nothing to learn, and the agent is `helstrom`.
"""

from dataclasses import dataclass

from agents.core.context import BuildContext
from agents.references.shared.effects import helstrom_effect, mean_states
from agents.references.shared.frame import balanced, exact_returns
from agents.references.shared.frame_agent import FrameAgent
from agents.references.shared.registers import MeasuringAgent
from agents.references.shared.trial import TrialConfig, require_family
from envs.quantum_memory import QuantumMemory

FAMILIES = ("quantum_memory",)


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of the tracking of a frame."""

    episodes: int = 10
    """Episodes of a trial [episodes], at most 16."""


def build(config: Config, context: BuildContext) -> MeasuringAgent | FrameAgent:
    """Return the agent."""
    family = require_family("frame_tracking", context, QuantumMemory)
    if family.config.frame == "none":
        effect = helstrom_effect(*mean_states(family))
        return MeasuringAgent(effect, family, config, context, label="frame_tracking")
    label = "frame_tracking (playable)"
    return FrameAgent(balanced, balanced_returns, family, config, context, name="frame_tracking", label=label)


def balanced_returns(n_episodes: int) -> list[float]:
    """Return the expected return of each episode of a trial."""
    return exact_returns(balanced, n_episodes)
