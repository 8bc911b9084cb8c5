"""Coherent quantum memory: a circuit on a stored and an arriving register of qubits, then measurements.

Acts on registers (`quantum_memory`). At each step a circuit acts on the memory's wires and on the register that
arrives; the register's wires are measured, and the memory's other wires stay coherent until the last register of the
episode, when all are measured and the answer is drawn (`qrl.models.shared.register_cell`). Nearest published
architecture: a recurrent network whose hidden state is a quantum state, Li et al., arXiv:2510.25557, which is trained
on labels and reads expectation values instead.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from torch import Generator

from qrl.common.checks import check_count, check_in_unit_interval
from qrl.common.errors import UsageError
from qrl.common.options import check_literals, only_with, tunable
from qrl.models.shared.ansatz import MAX_N_LAYERS
from qrl.models.shared.register_cell import RegisterCell, Storage, build_cell, require_registers
from qrl.models.shared.register_circuit import PairEntangler, RegisterCircuit
from qrl.policies.frame import MAX_BUDGET, Frame

LISTED_UNDER = "on registers of qubits, for quantum data"

N_LAYERS = 3
"""Layers of the circuit unless the option says otherwise, one less from `MANY_REGISTERS` registers on [layers]; ours.
The circuit has weights of its own for each register, and with many registers a smaller one learns faster."""

MANY_REGISTERS = 4
"""Number of registers of an episode from which the default circuit has one layer less."""

N_HIDDEN = 24
"""Width of the classical memory for trials of several episodes [units]; ours."""

MAX_WIRES = 10
"""Most wires of memory and register together; a unitary has 4**wires entries."""


@dataclass(frozen=True)
class Config:
    """Options of the cell."""

    n_memory: int = 0
    """Wires of the memory [qubits]; 0: as many as hold all earlier registers of an episode (ours)."""
    n_layers: int | None = None
    """Layers of the circuit on memory and register [layers]; none given: 3, or 2 in episodes of four or more registers
    (ours)."""
    entangler: PairEntangler = "pairs"
    """pairs: RXX, RYY and RZZ on pairs of a memory wire and a register wire; ring: CZ on a ring of all wires (ours)."""
    initial_angle: float = field(default=math.pi, metadata=tunable(0.1, math.pi, log=True))
    """Initial angles are uniform within this distance of 0 [rad]; ours. With small angles, training often ends in the
    best classical strategy."""
    memory: Literal["coherent", "measured", "dephased"] = "coherent"
    """coherent; measured: all wires of the memory are measured at each step, which makes it classical; dephased: their
    coherence shrinks by `dephasing` between registers."""
    dephasing: float = field(default=1.0, metadata=only_with(memory="dephased"))
    """dephased: fraction of the coherence that is lost between two registers, in [0, 1]; at 1 the memory is classical.
    """
    measured_wires: tuple[int, ...] = field(default=(), metadata=only_with(memory=("coherent", "dephased")))
    """Wires of the memory, from 0, that are measured at each step like the register's."""
    n_hidden: int | None = None
    """Width of a classical recurrent memory of outcomes, answers and rewards, on which angles and answers depend
    [units]; 0: none, and no angle depends on the past. None given: 24 if a trial has several episodes, else 0 (ours).
    """

    def __post_init__(self) -> None:
        check_literals(self, "model")
        check_count("model: n_memory", self.n_memory, least=0, most=MAX_WIRES)
        if self.n_layers is not None:
            check_count("model: n_layers", self.n_layers, most=MAX_N_LAYERS)
        for wire in self.measured_wires:
            check_count("model: measured_wires", wire, least=0, most=MAX_WIRES - 1)
        check_in_unit_interval("model: dephasing", self.dephasing)
        if not 0 <= self.initial_angle < math.inf:
            raise UsageError(f"model: initial_angle must be finite and not negative [rad], not {self.initial_angle}")
        if self.n_hidden is not None:
            check_count("model: n_hidden", self.n_hidden, least=0, most=MAX_BUDGET)
        if self.memory != "dephased" and self.dephasing != 1.0:
            raise UsageError(f"model: dephasing applies to memory dephased only, not to memory {self.memory}")
        if self.memory == "measured" and self.measured_wires:
            raise UsageError("model: measured_wires has no effect with memory measured, which measures all wires")

    def wires(self, frame: Frame) -> int:
        """Return the number of wires of the memory. Raises UsageError if there are too many for the simulation."""
        registers = require_registers(frame)
        n_memory = self.n_memory or registers.n_qubits * (registers.n_registers - 1)
        if n_memory + registers.n_qubits > MAX_WIRES:
            raise UsageError(
                f"n_memory must be at most {MAX_WIRES - registers.n_qubits} with registers of {registers.n_qubits} "
                f"qubits, not {n_memory}, since the circuit's unitary has 4 to the power of all wires entries"
            )
        for wire in self.measured_wires:
            if not 0 <= wire < n_memory:
                raise UsageError(f"measured_wires: the memory has no wire {wire}; it has wires 0 to {n_memory - 1}")
        if len({*self.measured_wires}) != len(self.measured_wires):
            raise UsageError(f"measured_wires: a wire is given twice: {self.measured_wires}")
        return n_memory


def build(config: Config, frame: Frame, generator: Generator) -> RegisterCell:
    """Build the cell. Raises UsageError for an environment without registers, and for impossible wires."""
    n_memory = config.wires(frame)
    measured = tuple(range(n_memory)) if config.memory == "measured" else tuple(sorted(config.measured_wires))
    storage = Storage(dephasing=config.dephasing if config.memory == "dephased" else 0.0)
    registers = require_registers(frame)
    n_layers = config.n_layers or (N_LAYERS if registers.n_registers < MANY_REGISTERS else N_LAYERS - 1)
    circuit = RegisterCircuit(n_memory, registers.n_qubits, n_layers, config.entangler)
    several = frame.trial_steps > registers.n_registers
    n_hidden = (N_HIDDEN if several else 0) if config.n_hidden is None else config.n_hidden
    return build_cell(frame, circuit, measured, storage, n_hidden, config.initial_angle, generator)
