"""Lowering: rewrite a `Circuit` in the three kinds of operation that the fused executor supports.

- A *local* map acts on one block of neighbouring wires and depends on weights and constants only. All local gates and
  noise channels between two phases form one small matrix per block.
- A *phase* multiplies by exp(i angle), diagonal in the computational basis. A rotation by an input about X or Y is a
  phase between two constant local basis changes, which merge into the neighbouring local unitaries. Two-wire gates
  across blocks are phases too: CNOT = H CZ H, CRX = H CRZ H, RXX = HH RZZ HH.
- A *pair* map acts on two wires of different blocks: a noise channel, which is neither local nor a phase.

Gates are scheduled as early as possible into levels that cycle through these kinds. An encoding layer on all wires is
therefore one phase, whatever the order of its gates. A level may be empty. The state holds amplitudes or, with
channels, a density matrix (`qrl.simulator.representation`). Everything here is NumPy and runs once per circuit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from qrl.circuits.angles import Input, Weight
from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import GATES, Gate
from qrl.circuits.matrices import FIXED_GATES, HADAMARD, Array, I, embed, from_transfer, kron, rotation, superoperator
from qrl.circuits.measurement import Setting, eigenvalues, settings, z_signs
from qrl.noise.model import Noise
from qrl.simulator.representation import AMPLITUDES, DENSITIES

# V with V Z V^-1 = P: a rotation about P is a rotation about Z between V^-1 and V.
_BASIS = {"X": HADAMARD, "Y": np.diag([1, 1j]) @ HADAMARD, "Z": I}


@dataclass(frozen=True)
class Factor:
    """One map inside a block: constant + cos(rate w) cosine + sin(rate w) sine with w a weight, or `constant` alone."""

    constant: Array
    cosine: Array | None = None
    sine: Array | None = None
    weight: int = 0
    rate: float = 0.0

    def map(self, function: Callable[[Array], Array]) -> "Factor":
        """Return a copy with the function applied to each matrix."""
        cosine, sine = (None if m is None else function(m) for m in (self.cosine, self.sine))
        return Factor(function(self.constant), cosine, sine, self.weight, self.rate)


@dataclass
class Local:
    """Local level: the gates of each block in order, as matrices on the block."""

    blocks: list[list[Factor]]


@dataclass
class Phase:
    """Phase level: angle = constant + sum of weights * row + sum of input angles * row; each row is [state]."""

    constant: Array
    weights: list[tuple[int, Array]] = field(default_factory=list)
    inputs: list[tuple[Input, Array]] = field(default_factory=list)


@dataclass
class TwoWireChannels:
    """Level of channels across blocks, in order: the two wires, the smaller first, and a matrix on them."""

    channels: list[tuple[tuple[int, int], Array]] = field(default_factory=list)


_KINDS = (Local, Phase, TwoWireChannels)
Level = Local | Phase | TwoWireChannels


@dataclass(frozen=True)
class Measurement:
    """Observables measured in the same basis.

    One basis change per block, and the observables' eigenvalues [outcome, observable].
    """

    basis: list[Array]
    eigenvalues: Array


def block_wires(n_wires: int, largest: int) -> tuple[tuple[int, ...], ...]:
    """Split neighbouring wires into as few blocks of as even sizes as possible."""
    n_blocks = math.ceil(n_wires / largest)
    return tuple(tuple(map(int, wires)) for wires in np.array_split(np.arange(n_wires), n_blocks))


class Lowering:
    """Levels, blocks and measurements of one circuit, including the channels of `noise`."""

    def __init__(self, circuit: Circuit, noise: Noise) -> None:
        noise.check(circuit)
        channels = noise.channels()
        self.confusion = noise.confusion(circuit.n_wires)
        """P(reading | true outcome) [wire, true outcome, reading]; no wires if readout is perfect."""
        self.space = space = DENSITIES if noise.needs_density_matrix else AMPLITUDES
        self.dim = space.n_levels**circuit.n_wires
        self.blocks = block_wires(circuit.n_wires, space.max_block_wires)
        self.levels: list[Level] = []
        self._block_of = {wire: b for b, wires in enumerate(self.blocks) for wire in wires}
        self._front = [0] * circuit.n_wires
        self._z = z_signs(circuit.n_wires)
        channel = np.eye(space.n_levels)
        for kraus in channels.values():
            channel = superoperator(kraus) @ channel
        for gates, wires in noise.schedule(circuit):
            for step in (step for gate in gates for step in noise.noisy_gates(gate)):
                self._schedule(step.gate, step.angle_scale)
                if step.error is not None:
                    self._channel(step.gate.wires, from_transfer(step.error.matrix))
            for wire in wires if channels else ():
                self._local((wire,), Factor(channel))
        self.measurements = [self._measured(each, circuit.n_observables) for each in settings(circuit)]

    def _level(self, wires: tuple[int, ...], kind: type[Level]) -> Level:
        """Return the earliest level of this kind on which the wires are free."""
        level = max(self._front[wire] for wire in wires)
        level += (_KINDS.index(kind) - level) % len(_KINDS)
        while len(self.levels) <= level:
            empty = (Local([[] for _ in self.blocks]), Phase(np.zeros(self.dim)), TwoWireChannels())
            self.levels.append(empty[len(self.levels) % len(_KINDS)])
        for wire in wires:
            self._front[wire] = level
        return self.levels[level]

    def _local(self, wires: tuple[int, ...], factor: Factor) -> None:
        level, block = self._level(wires, Local), self._block_of[wires[0]]
        assert isinstance(level, Local)
        n_levels = self.space.n_levels
        level.blocks[block].append(factor.map(lambda m: embed(m, wires, self.blocks[block], n_levels)))

    def _constant(self, wires: tuple[int, ...], unitary: Array) -> None:
        self._local(wires, Factor(self.space.operator(unitary)))

    def _channel(self, wires: tuple[int, ...], matrix: Array) -> None:
        """Schedule a noise channel on one or two wires."""
        if len({self._block_of[wire] for wire in wires}) == 1:
            self._local(wires, Factor(matrix))
            return
        level = self._level(wires, TwoWireChannels)
        assert isinstance(level, TwoWireChannels)
        low, high = sorted(wires)
        level.channels.append(((low, high), embed(matrix, wires, (low, high), self.space.n_levels)))

    def _phase(self, wires: tuple[int, ...]) -> Phase:
        level = self._level(wires, Phase)
        assert isinstance(level, Phase)
        return level

    def _schedule(self, gate: Gate, angle_scale: float = 1.0) -> None:
        """Schedule a gate with its angle multiplied by `angle_scale`."""
        kind, wires = GATES[gate.name], gate.wires
        several = len(self.blocks) > 1
        in_block = len({self._block_of[wire] for wire in wires}) == 1
        # Without channels in between, two-wire gates are phases even inside a block: a ring of CZs stays one level
        # instead of alternating between two kinds.
        as_phase = several and len(wires) == 2 and (not in_block or self.space is AMPLITUDES)
        if gate.name == "CZ" and as_phase:
            self._phase(wires).constant += self.space.diagonal(math.pi * np.prod((1 - self._z[[*wires]]) / 2, axis=0))
        elif gate.name == "CNOT" and not in_block:
            self._constant(wires[1:], HADAMARD)
            self._schedule(Gate("CZ", wires))
            self._constant(wires[1:], HADAMARD)
        elif not kind.rotation:
            self._constant(wires, FIXED_GATES[gate.name])
        elif isinstance(gate.angle, Input) or as_phase:
            self._schedule_as_phase(gate, angle_scale)
        elif isinstance(gate.angle, Weight):
            for each in self.space.rotations(gate.name):
                self._local(wires, Factor(*each.matrices, gate.angle.index, angle_scale * each.rate))
        else:
            constant, cosine, sine = rotation(gate.name)
            half = angle_scale * gate.constant / 2
            self._constant(wires, constant + math.cos(half) * cosine + math.sin(half) * sine)

    def _schedule_as_phase(self, gate: Gate, angle_scale: float) -> None:
        kind = GATES[gate.name]
        targets = gate.wires[1:] if kind.controlled else gate.wires
        rotated = [(wire, _BASIS[p]) for wire, p in zip(targets, kind.rotation, strict=True) if p != "Z"]
        for wire, basis in rotated:
            self._constant((wire,), basis.conj().T)
        row = -0.5 * np.prod(self._z[list(targets)], axis=0)
        if kind.controlled:
            row = row * (1 - self._z[gate.wires[0]]) / 2
        row = self.space.diagonal(angle_scale * row)
        phase = self._phase(gate.wires)
        match gate.angle:
            case Input():
                phase.inputs.append((gate.angle, row))
            case Weight(index):
                phase.weights.append((index, row))
            case _:
                phase.constant += gate.constant * row
        for wire, basis in rotated:
            self._constant((wire,), basis)

    def _measured(self, setting: Setting, n_observables: int) -> Measurement:
        values = eigenvalues(setting, len(self._z), n_observables)
        return Measurement([self._basis(setting.basis, wires) for wires in self.blocks], values)

    def _basis(self, basis: dict[int, str], wires: tuple[int, ...]) -> Array:
        """Return the map from the eigenstates of these Pauli operators to the basis states."""
        return kron([self.space.operator(_BASIS[basis.get(wire, "Z")].conj().T) for wire in wires])


def absorb_constants(chain: list[Factor], dim: int) -> list[Factor]:
    """Multiply every constant gate into a neighbouring factor that has a weight; the product stays the same."""
    merged: list[Factor] = []
    pending = np.eye(dim)
    for factor in chain:
        if factor.cosine is None or factor.sine is None:
            pending = factor.constant @ pending
        else:
            merged.append(factor.map(pending.__rmatmul__))
            pending = np.eye(dim)
    if not merged:
        return [Factor(pending)]
    return [*merged[:-1], merged[-1].map(pending.__matmul__)]
