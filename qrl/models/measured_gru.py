"""GRU on the outcomes of measured registers of qubits: the classical control of `coherent`.

Acts on registers (`quantum_memory`). Every register is measured when it arrives, after a circuit on its wires alone. A
GRU sees outcomes, answers and rewards, and the answer depends on its memory and on the last outcome. This is an agent
with a classical memory: no qubit is kept (`qrl.models.shared.register_cell`, with a memory of no wires).
"""

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Literal

from torch import Generator

from qrl.common.checks import check_count
from qrl.common.errors import UsageError
from qrl.common.options import check_literals, only_with, tunable
from qrl.models.shared.ansatz import MAX_N_LAYERS
from qrl.models.shared.register_cell import RegisterCell, Storage, build_cell, n_classical_inputs, require_registers
from qrl.models.shared.register_circuit import RegisterCircuit
from qrl.policies.budget import Budget, canonical_budget, n_parameters_of
from qrl.policies.frame import MAX_BUDGET, Frame
from qrl.policies.gru_cell import Affine

LISTED_UNDER = "on registers of qubits, for quantum data"


@dataclass(frozen=True)
class Config:
    """Options of measurement and memory."""

    measurement: Literal["learned", "fixed"] = "learned"
    """learned: a trainable circuit, and rotations that depend on the memory, precede the measurement of each register;
    fixed: every register is measured in the computational basis (ours)."""
    n_layers: int = field(default=3, metadata=only_with(measurement="learned"))
    """learned: layers of the circuit, rotations and CZ on a ring of the register's wires [layers]; ours."""
    initial_angle: float = field(
        default=math.pi, metadata=only_with(measurement="learned") | tunable(0.1, math.pi, log=True)
    )
    """learned: initial angles are uniform within this distance of 0 [rad]; ours."""
    budget: Budget = "like:coherent"
    """Least size of the model if `n_hidden` is 0 [parameters], or like:NAME: that of this model. The memory is the
    narrowest that reaches it (ours), so that the actor of this control never has fewer parameters."""
    n_hidden: int = 0
    """Width of the memory [units]; 0: from the budget (ours)."""

    def __post_init__(self) -> None:
        check_literals(self, "model")
        check_count("model: n_layers", self.n_layers, most=MAX_N_LAYERS)
        if self.measurement == "fixed" and (self.n_layers, self.initial_angle) != (3, math.pi):
            raise UsageError("model: n_layers and initial_angle apply to measurement learned only, not to fixed")
        if not 0 <= self.initial_angle < math.inf:
            raise UsageError(f"model: initial_angle must be finite and not negative [rad], not {self.initial_angle}")
        object.__setattr__(self, "budget", canonical_budget(self.budget))  # frozen
        check_count("model: n_hidden", self.n_hidden, least=0, most=MAX_BUDGET)

    def circuit(self, n_qubits: int) -> RegisterCircuit:
        """Return the circuit before the measurement of a register."""
        return RegisterCircuit(0, n_qubits, self.n_layers if self.measurement == "learned" else 0, "ring")


def build(config: Config, frame: Frame, generator: Generator) -> RegisterCell:
    """Build the cell. Raises UsageError for an environment without registers, and for agents without transitions."""
    registers, circuit = require_registers(frame), config.circuit(require_registers(frame).n_qubits)
    if not frame.trial_steps > 1:
        raise UsageError("its memory needs an agent that adapts in context, such as rl2")
    learned = config.measurement == "learned"

    def size(n_hidden: int) -> int:
        """Return the number of parameters: circuits, GRU, rotations by its memory, and answers."""
        n_answers, n_inputs = 2**circuit.n_wires * frame.n_outputs, n_classical_inputs(frame, circuit)
        per_register = circuit.n_weights + learned * 3 * registers.n_qubits * n_hidden
        return registers.n_registers * per_register + Affine.size(3, n_inputs, n_hidden) + n_answers * (1 + n_hidden)

    n_hidden = config.n_hidden or 1 + bisect_left(range(1, MAX_BUDGET), n_parameters_of(config.budget, frame), key=size)
    return build_cell(frame, circuit, (), Storage(), n_hidden, config.initial_angle, generator, steered=learned)
