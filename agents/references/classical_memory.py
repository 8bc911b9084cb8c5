"""Best known agent with a classical memory, and the ceiling of all such agents.

The agent measures each register when it arrives and keeps outcomes only: in mode `one_shot`, it measures the two
examples in mutually unbiased bases and the last register as the outcomes suggest; in `purity` of three and more copies,
it measures adaptively, in the best of some bases; in all other cases, it is `measure_both`. The line in pictures,
`expected_returns`, is the family's `classical_ceiling`. Where the ceiling is exact, the agent attains it. Where the
ceiling is a bound (`purity` of three and more copies), the line is named so, and the agent stays below it.
"""

from dataclasses import dataclass

from agents.core.context import BuildContext
from agents.references.shared.adaptive import adaptive_effect
from agents.references.shared.effects import Operator, mean_states, measured_effect, unbiased_examples_effect
from agents.references.shared.registers import MeasuringAgent
from agents.references.shared.trial import TrialConfig, require_family
from envs.quantum_memory import QuantumMemory

FAMILIES = ("quantum_memory",)


@dataclass(frozen=True)
class Config(TrialConfig):
    """Options of the classical memory."""

    episodes: int = 1
    """Episodes of a trial [episodes]."""


def build(config: Config, context: BuildContext) -> MeasuringAgent:
    """Return the agent."""
    family = require_family("classical_memory", context, QuantumMemory)
    ceiling = family.classical_ceiling
    label = "classical_memory" if ceiling.kind == "exact" else "classical_memory (bound)"
    return MeasuringAgent(_effect(family), family, config, context, label=label, line=ceiling.value)


def _effect(family: QuantumMemory) -> Operator:
    """Return the effect of answer 1."""
    dim, n = family.registers.dim, family.registers.n_registers
    match family.config.mode:
        case "one_shot":
            return unbiased_examples_effect(dim)
        case "purity":
            return adaptive_effect(*mean_states(family), dim, n)
        case _:
            return measured_effect(*mean_states(family))
