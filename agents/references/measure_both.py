"""Measure each register in the computational basis when it arrives, then decide by the likelier case.

This is a strategy of an agent with a classical memory. It attains the ceiling of all such agents in modes `symmetry`,
`match`, `same`, and in `purity` of two copies, also with a hidden frame, since RZ does not change the outcomes.
"""

from dataclasses import dataclass

from agents.core.context import BuildContext
from agents.references.shared.effects import mean_states, measured_effect
from agents.references.shared.registers import MeasuringAgent
from agents.references.shared.trial import TrialConfig, require_family
from envs.quantum_memory import QuantumMemory

FAMILIES = ("quantum_memory",)


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of the measurement in the computational basis."""

    episodes: int = 1
    """Episodes of a trial [episodes]."""


def build(config: Config, context: BuildContext) -> MeasuringAgent:
    """Return the agent."""
    family = require_family("measure_both", context, QuantumMemory)
    return MeasuringAgent(measured_effect(*mean_states(family)), family, config, context, label="measure_both")
