"""Recurrent cell on registers of qubits: a quantum memory, a classical memory, and the outcomes of measurements.

One step, for the t-th register of an episode (`qrl.circuits.registers.Registers`):

    h' = GRU(h, x)                                 classical memory, if it has a width; x: last outcomes, answer, reward
    psi' = U_t (memory x V_t(h') register)         U_t: a circuit; V_t: rotations of the register's wires
    o ~ P(o) = |Pi_o psi'|^2 / |psi'|^2            every wire of the register, and chosen wires of the memory
    memory' = E_e Pi_o psi'                        other wires of the memory keep their state; E_e: errors of storage
    logits = table[o] + readout[o] h'              at the last register, where every wire is measured

Nothing but outcomes, whose probabilities are linear in the density matrix, leaves the quantum part. The memory is empty
again after the last register. Joint states of memory and registers that are still to come travel as part of the memory,
a value like any hidden state.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float, Int
from torch import Generator, Tensor, nn

from qrl.circuits.registers import Registers
from qrl.common.autocast import in_own_precision
from qrl.common.errors import UsageError
from qrl.models.shared.register_circuit import RegisterCircuit, rotations
from qrl.policies.frame import Frame, check_size
from qrl.policies.gru_cell import GRU, BoundAffine
from qrl.policies.outcome_readout import BoundReadout, OutcomeReadout, read_outcome, uniform
from qrl.policies.registers import Evolved
from qrl.simulator.kernels import as_complex, as_parts
from qrl.simulator.registers import apply_paulis, arrive, collapse, evolve, outcome_weights


class BoundCell(NamedTuple):
    """Everything that depends only on the parameters; a pytree."""

    angles: Float[Tensor, "*tasks register weight"]
    unitaries: Complex[Tensor, "*tasks register state state"]
    steering: Float[Tensor, "*tasks register angle hidden"]
    answers: BoundReadout
    classical: BoundAffine | None


class Storage(NamedTuple):
    """Errors of the memory between two registers."""

    dephasing: float = 0.0
    """Fraction by which the coherence of each wire shrinks; 1 leaves classical bits."""
    depolarising: float = 0.0
    """Probability that the state of the whole memory is replaced by the maximally mixed state."""


class RegisterCell(nn.Module):
    """Cell on registers (`qrl.policies.registers.RegisterFeatures`); the top of the file describes its step.

    Args:
        registers: space of the observations.
        circuit: layers on memory and register; each register of an episode has its own weights.
        measured: wires of the memory that are measured at every step.
        storage: errors of the memory.
        n_hidden: width of the classical memory [units]; 0: none, so that no angle depends on outcomes.
        n_classical: number of classical inputs.
        n_answers: number of answers.
        initial_angle: initial angles are uniform within this distance of 0 [rad].
        generator: source of the initial parameters.
        steered: rotations of the register depend on the classical memory.
    """

    projectors: Tensor
    final_projectors: Tensor
    outcome_bits: Tensor
    final_bits: Tensor

    def __init__(
        self,
        registers: Registers,
        circuit: RegisterCircuit,
        measured: tuple[int, ...],
        storage: Storage,
        n_hidden: int,
        n_classical: int,
        n_answers: int,
        initial_angle: float,
        generator: Generator,
        *,
        steered: bool = True,
    ) -> None:
        super().__init__()
        self.registers, self.circuit, self.measured, self.storage = registers, circuit, measured, storage
        self.n_hidden, n, n_steps = n_hidden, circuit.n_memory, registers.n_registers
        n_rest = registers.dim ** (n_steps - 1) if registers.entangled else 1
        self.n_parts = 2 * 2**n * n_rest
        self.n_memory = self.n_parts + n_hidden
        self.n_outcomes, self.n_bits = 2**circuit.n_wires, circuit.n_wires
        wires = tuple(range(n))
        for prefix, chosen in (("", measured), ("final_", wires)):
            self.register_buffer(f"{prefix}projectors", _projectors(n, chosen), persistent=False)
            bits = _outcome_bits(n, registers.n_qubits, chosen)
            self.register_buffer("final_bits" if prefix else "outcome_bits", bits, persistent=False)
        self.angles = nn.Parameter(uniform(generator, initial_angle, n_steps, circuit.n_weights))
        self.answers = OutcomeReadout(self.n_outcomes, n_answers, n_hidden, generator)
        bound = 1 / math.sqrt(max(1, n_hidden))
        n_steered = 3 * registers.n_qubits if steered else 0
        self.steering = nn.Parameter(uniform(generator, bound, n_steps, n_steered, n_hidden))
        self.classical = GRU(n_classical, torch.zeros(n_hidden), generator) if n_hidden else None

    @property
    def groups(self) -> dict[str, str]:
        """Learning-rate group of each parameter outside "angles"."""
        return {"answers.table": "heads", "answers.weight": "heads", "steering": "scales"}

    @in_own_precision
    def bind(self) -> BoundCell:
        """Compute everything that depends only on the parameters. Raise UsageError in half precision."""
        if self.angles.dtype not in (torch.float32, torch.float64):
            raise UsageError(f"circuit: dtype must be torch.float32 or torch.float64, not {self.angles.dtype}")
        classical = None if self.classical is None else self.classical.bind()
        unitaries = self.circuit.unitary(self.angles)
        return BoundCell(self.angles, unitaries, self.steering, self.answers.bind(), classical)

    # --- one step ----------------------------------------------------------------------------------------------------

    @in_own_precision
    def evolve(
        self,
        bound: BoundCell,
        position: int,
        delivered: Float[Tensor, "*tasks batch part"],
        classical: Float[Tensor, "*tasks batch classical"],
        memory: Float[Tensor, "*tasks batch memory"],
    ) -> Evolved:
        """Update the classical memory, and apply the circuit to the memory and the arriving register."""
        parts, hidden = memory.split([self.n_parts, self.n_hidden], dim=-1)
        state = arrive(self.registers, position, as_complex(delivered), as_complex(parts), 2**self.circuit.n_memory)
        if self.classical is not None:
            assert bound.classical is not None
            _, hidden = self.classical.run(bound.classical, classical, hidden)
        if self.steering.numel():
            angles = hidden @ bound.steering[..., position, :, :].mT
            turn = rotations(angles.unflatten(-1, (-1, 3)))
            state = (state.flatten(-3, -2) @ turn.mT).reshape(state.shape)
        state = evolve(bound.unitaries[..., position, :, :], state)
        projectors = self.final_projectors if self.is_last(position) else self.projectors
        return Evolved(state, hidden, outcome_weights(state, projectors))

    def is_last(self, position: int) -> bool:
        """Return whether this register is the last one of an episode."""
        return position == self.registers.n_registers - 1

    @in_own_precision
    def logits(
        self,
        bound: BoundCell,
        position: int,
        outcome: Int[Tensor, "*tasks batch"],
        hidden: Float[Tensor, "*tasks batch hidden"],
    ) -> Float[Tensor, "*tasks batch answer"]:
        """Return the logits of the answers; 0 before the last register, where no answer is asked for."""
        if not self.is_last(position):
            return hidden.new_zeros(*outcome.shape, bound.answers.table.shape[-1])
        return read_outcome(bound.answers, outcome, hidden)

    def after(
        self, evolved: Evolved, position: int, outcome: Int[Tensor, "*tasks batch"], error: Int[Tensor, "*tasks batch"]
    ) -> Float[Tensor, "*tasks batch memory"]:
        """Return the memory after an outcome and an error of the storage (`draw_error`)."""
        hidden = evolved.hidden
        if self.is_last(position):
            return torch.cat([hidden.new_zeros(*hidden.shape[:-1], self.n_parts), hidden], dim=-1)
        kept = collapse(evolved.state, outcome, self.projectors)
        if self.storage != Storage():
            n = self.circuit.n_memory
            kept = apply_paulis(kept, error >> n, error & (2**n - 1))
        parts = as_parts(kept.flatten(-2))
        return torch.cat([nn.functional.pad(parts, (0, self.n_parts - parts.shape[-1])), hidden], dim=-1)

    # --- errors and outcomes -----------------------------------------------------------------------------------------

    @property
    def n_noise(self) -> int:
        """Number of uniform numbers that `draw_error` takes."""
        return self.circuit.n_memory + 2

    @property
    def n_stored(self) -> int:
        """Number of wires that are stored between two registers [qubits]."""
        return self.circuit.n_memory

    def depolarise_storage(self, probability: float) -> None:
        """Replace the stored state by the maximally mixed one with this probability between registers from now on."""
        self.storage = self.storage._replace(depolarising=probability)

    def draw_error(self, uniform: Float[Tensor, "*batch noise"]) -> Int[Tensor, "*batch"]:
        """Draw Pauli errors: X on the wires of the higher n bits, Z on those of the lower n bits; 0 for none."""
        n, device = self.circuit.n_memory, uniform.device
        phase_flips = uniform[..., :n] < self.storage.dephasing / 2
        place = 2 ** torch.arange(n - 1, -1, -1, device=device)
        dephased = (phase_flips * place).sum(-1)
        replaced = uniform[..., n] < self.storage.depolarising
        pauli = (uniform[..., n + 1] * 4**n).long()
        return torch.where(replaced, pauli ^ dephased, dephased)

    def bits(self, position: Int[Tensor, "*batch"], outcome: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch wire"]:
        """Return outcomes as +1 and -1 for each wire, memory first; 0 for wires that were not measured."""
        last = (position == self.registers.n_registers - 1).unsqueeze(-1)
        before = self.outcome_bits[outcome.clamp_max(len(self.outcome_bits) - 1)]
        return torch.where(last, self.final_bits[outcome], before)


def require_registers(frame: Frame) -> Registers:
    """Return the registers of a frame. Raises UsageError for an environment without registers."""
    if frame.registers is None:
        raise UsageError(
            "model: it acts on registers of qubits, which this environment does not hand over; use a model that reads "
            "numbers, or --env quantum_memory"
        )
    return frame.registers


def build_cell(
    frame: Frame,
    circuit: RegisterCircuit,
    measured: tuple[int, ...],
    storage: Storage,
    n_hidden: int,
    initial_angle: float,
    generator: Generator,
    *,
    steered: bool = True,
) -> RegisterCell:
    """Build a cell for a frame with registers. Raises UsageError if its agent observes no transitions to remember."""
    registers, n_answers = require_registers(frame), frame.n_outputs
    if n_hidden and not frame.trial_steps > 1:
        raise UsageError("n_hidden needs an agent that adapts in context, such as rl2; for other agents it must be 0")
    check_size(n_hidden**2 + 2**circuit.n_wires * n_answers * (1 + n_hidden))
    n_classical = n_classical_inputs(frame, circuit)
    return RegisterCell(
        registers,
        circuit,
        measured,
        storage,
        n_hidden,
        n_classical,
        n_answers,
        initial_angle,
        generator,
        steered=steered,
    )


def n_classical_inputs(frame: Frame, circuit: RegisterCircuit) -> int:
    """Return the width of a step's classical inputs: arriving register, outcomes, answer, reward, end of episode."""
    return require_registers(frame).n_registers + circuit.n_wires + frame.n_outputs + 2


def _projectors(n_wires: int, measured: tuple[int, ...]) -> Float[Tensor, "outcome memory"]:
    """Return a 1 for each basis state that belongs to an outcome; the first measured wire is the most significant."""
    basis = torch.arange(2**n_wires)
    outcome = torch.zeros_like(basis)
    for wire in measured:
        outcome = 2 * outcome + ((basis >> (n_wires - 1 - wire)) & 1)
    return (outcome == torch.arange(2 ** len(measured)).unsqueeze(-1)).float()


def _outcome_bits(n_memory: int, n_register: int, measured: tuple[int, ...]) -> Float[Tensor, "outcome wire"]:
    """Return the bits of each outcome, +1 for 0 and -1 for 1; 0 for wires that are not measured."""
    wires = [*measured, *range(n_memory, n_memory + n_register)]
    outcome = torch.arange(2 ** len(wires))
    bits = torch.zeros(len(outcome), n_memory + n_register)
    for place, wire in enumerate(reversed(wires)):
        bits[:, wire] = 1.0 - 2.0 * ((outcome >> place) & 1)
    return bits
