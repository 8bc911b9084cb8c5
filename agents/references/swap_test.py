"""Swap test: compare the registers of an episode by the symmetry of their joint state.

The test needs a coherent memory. It is optimal in every mode of `quantum_memory` but `one_shot`, where it compares the
last register with the first example only. A hidden frame is ignored.
"""

from dataclasses import dataclass

from agents.core.context import BuildContext
from agents.references.shared.effects import swap_test_effect
from agents.references.shared.registers import MeasuringAgent
from agents.references.shared.trial import TrialConfig, require_family
from envs.quantum_memory import QuantumMemory

FAMILIES = ("quantum_memory",)


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of the swap test."""

    episodes: int = 1
    """Episodes of a trial [episodes]."""


def build(config: Config, context: BuildContext) -> MeasuringAgent:
    """Return the agent."""
    family = require_family("swap_test", context, QuantumMemory)
    return MeasuringAgent(swap_test_effect(family), family, config, context, label="swap_test")
