"""Arithmetic of the fused executor: a lowered circuit on one device in one precision."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qrl.circuits.circuit import Circuit
from qrl.common.errors import UsageError
from qrl.simulator.kernels import (
    FixedPhase,
    MapStack,
    PhaseFactors,
    PhaseMatrix,
    as_complex,
    as_parts,
    is_small,
    multiply_diagonal,
    multiply_phase,
    real_matrix,
    times,
)
from qrl.simulator.lowering import Factor, Local, Lowering, Measurement, Phase, TwoWireChannels, absorb_constants

CONSTANT, LAST, PARTS = "constant", "last", ".parts"
"""Names of maps without weights and of stacks for the last block, and the suffix of maps that act on interleaved
parts."""

_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


class FusedExecutor:
    """Constants of a program on one device in one precision, and the steps that use them."""

    def __init__(self, circuit: Circuit, lowering: Lowering, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        if dtype not in _COMPLEX:
            raise UsageError(f"circuit: dtype must be torch.float32 or torch.float64, not {dtype}")
        self.complex = _COMPLEX[dtype]
        self.first: Maps = {}
        self.constants: tuple[list[Tensor], list[Tensor]] = ([], [])  # for real and complex states
        levels = lowering.space.n_levels
        self.block_dims = [levels ** len(wires) for wires in lowering.blocks]
        self.steps: list[Step] = []
        chains: dict[str, list[list[Factor]]] = {}
        phases: list[Phase] = []
        fixed: list[Phase] = []
        for index, level in enumerate(lowering.levels):
            if isinstance(level, Local):
                maps = self._maps(level, chains)
                if index:
                    self.steps.append(maps)
                else:
                    self.first = maps
            elif isinstance(level, TwoWireChannels):
                for (low, high), matrix in level.channels:
                    sizes = (low, 1, high - low - 1, 1, circuit.n_wires - high - 1)
                    double = torch.as_tensor(matrix.astype(np.complex128), device=device)
                    self.steps.append(_Pair(tuple(levels**n for n in sizes), *self._from_the_right(double)))
            elif level.inputs:
                self.steps.append(len(phases))
                phases.append(level)
            elif level.weights or level.constant.any():
                self.steps.append(f"fixed{len(fixed)}")
                fixed.append(level)
        self.stacks = {name: MapStack(c, len(c[0][0].constant), dtype, device) for name, c in chains.items()}
        self.phases = PhaseMatrix(phases, circuit, dtype, device) if phases else None
        self.fixed = {f"fixed{index}": FixedPhase(phase, dtype, device) for index, phase in enumerate(fixed)}
        entries = lowering.space.populations(circuit.n_wires)
        # Real parts only: the populations of a density matrix are real.
        self.populations = None if entries is None else torch.as_tensor(2 * entries, device=device)
        confusion = torch.as_tensor(lowering.confusion, dtype=dtype, device=device)
        self.values_read, self.readings = mixtures(confusion), mixtures(confusion.mT)
        self.measurements = [self._measurement(m) for m in lowering.measurements]

    # --- constants ---------------------------------------------------------------------------------------------------

    def _maps(self, level: Local, chains: dict[str, list[list[Factor]]]) -> "Maps":
        """Return each block's map: a constant, or its position in the stack of its kind and size.

        Identities are omitted.
        """
        maps: Maps = {}
        for block, (chain, dim) in enumerate(zip(level.blocks, self.block_dims, strict=True)):
            merged = absorb_constants(chain, dim)
            if merged[0].cosine is not None:
                stack = f"{LAST if self._is_last(block) else 'block'}{dim}"
                maps[block] = (stack, len(chains.setdefault(stack, [])))
                chains[stack].append(merged)
            elif not np.allclose(merged[0].constant, np.eye(dim)):
                maps[block] = self._constant(merged[0].constant, block)
        return maps

    def _measurement(self, measurement: Measurement) -> "_Measured":
        basis: Maps = {
            block: self._constant(matrix, block)
            for block, matrix in enumerate(measurement.basis)
            if not np.allclose(matrix, np.eye(len(matrix)))
        }
        eigenvalues = torch.as_tensor(measurement.eigenvalues, dtype=self.dtype, device=self.device)
        expected = apply_readout_error(eigenvalues.mT, self.values_read).mT
        # A probability is the sum of the squares of both parts, so each eigenvalue appears twice.
        expected = expected if self.populations is not None else expected.repeat_interleave(2, dim=0)
        return _Measured(basis, eigenvalues, expected)

    def _constant(self, matrix: np.ndarray, block: int) -> tuple[str, int]:
        double = torch.as_tensor(matrix.astype(np.complex128), device=self.device)
        forms = self._from_the_right(double) if self._is_last(block) else (double.to(self.complex),) * 2
        for kept, form in zip(self.constants, forms, strict=True):
            kept.append(form)
        return CONSTANT, len(self.constants[0]) - 1

    def _from_the_right(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Return the matrix that multiplies row states from the right: for interleaved parts and for complex states."""
        return real_matrix(matrix).to(self.dtype), matrix.mT.contiguous().to(self.complex)

    def _is_last(self, block: int) -> bool:
        return block == len(self.block_dims) - 1

    # --- execution ---------------------------------------------------------------------------------------------------

    def bind(self, weights: Tensor, scales: Tensor) -> dict[str, Tensor]:
        """Compute everything that depends on no sample; see `qrl.simulator.program.Program.bind`."""
        if (lead := weights.shape[:-1]) != scales.shape[:-1]:
            lead = torch.broadcast_shapes(lead, scales.shape[:-1])
            weights, scales = (each.expand(*lead, each.shape[-1]) for each in (weights, scales))
        bound = {name: stack.multiply(weights) for name, stack in self.stacks.items()}
        bound["initial"] = self._prepare(bound).expand(*weights.shape[:-1], 1, -1)
        bound |= {f"{name}{PARTS}": real_matrix(bound[name]) for name in self.stacks if name.startswith(LAST)}
        bound |= {name: phase.diagonal(weights) for name, phase in self.fixed.items()}
        return bound if self.phases is None else bound | self.phases.bind(weights, scales)

    def run(
        self, bound: dict[str, Tensor], inputs: Tensor, draw: "Draw | None" = None, initial: Tensor | None = None
    ) -> Tensor:
        """Return expectation values or estimates; see `qrl.simulator.program.Program.run`."""
        call, state = self._evolve(bound, inputs, initial)
        values = [self._measure(call, state, measured, draw, inputs.shape[:-1]) for measured in self.measurements]
        return functools.reduce(torch.add, values)

    def amplitudes(self, bound: dict[str, Tensor], inputs: Tensor, initial: Tensor | None) -> Tensor:
        """Return final amplitudes; see `qrl.simulator.program.Program.amplitudes`."""
        _, state = self._evolve(bound, inputs, initial)
        return (state if state.is_complex() else as_complex(state)).expand(*inputs.shape[:-1], -1)

    def probabilities(self, bound: dict[str, Tensor], inputs: Tensor, initial: Tensor | None) -> Tensor:
        """Return outcome probabilities; see `qrl.simulator.program.Program.probabilities`."""
        return apply_readout_error(self.true_probabilities(bound, inputs, initial), self.readings)

    def true_probabilities(
        self, bound: dict[str, Tensor], inputs: Tensor, initial: Tensor | None, setting: int | None = None
    ) -> Tensor:
        """Return outcome probabilities [..., batch, outcome] before readout errors.

        `setting`: the basis is that of this measurement; None: the computational basis.
        """
        call, state = self._evolve(bound, inputs, initial)
        basis = {} if setting is None else self.measurements[setting].basis
        return self._probabilities(self._apply(call, state, basis)).expand(*inputs.shape[:-1], -1)

    def _evolve(self, bound: dict[str, Tensor], inputs: Tensor, initial: Tensor | None) -> tuple["_Call", Tensor]:
        """Return the final state: complex for a small batch, interleaved parts otherwise."""
        small_batch = is_small(inputs.shape[-2], bound["initial"].shape[-1])
        phase_factors = self.phases.phase_factors(bound, inputs) if self.phases is not None else []
        call = _Call(bound, self.maps_of(bound, small_batch), phase_factors)
        if initial is None:
            state = as_complex(bound["initial"]) if small_batch else bound["initial"]
        else:
            state = self._apply(call, initial if small_batch else as_parts(initial), self.first)
        for step in self.steps:
            state = self._step(call, state, step)
        return call, state

    def maps_of(self, bound: dict[str, Tensor], small_batch: bool) -> dict[str, Sequence[Tensor]]:
        """Return all maps as `_apply` expects them.

        The maps of the last block act from the right, on complex states or on interleaved parts.
        """
        maps = dict(bound)
        for name in self.stacks:
            if name.startswith(LAST):
                maps[name] = bound[name].mT if small_batch else bound[f"{name}{PARTS}"]
        return {name: maps[name].unbind(-3) for name in self.stacks} | {CONSTANT: self.constants[small_batch]}

    def _prepare(self, bound: dict[str, Tensor]) -> Tensor:
        """Return the product state [..., 1, 2 * state] after the first local level, which depends on no input."""
        columns = [self._column(bound, block, dim) for block, dim in enumerate(self.block_dims)]
        state = functools.reduce(lambda one, next_: (one.unsqueeze(-1) * next_.unsqueeze(-2)).flatten(-2), columns)
        return as_parts(state).unsqueeze(-2)

    def _column(self, bound: dict[str, Tensor], block: int, dim: int) -> Tensor:
        """Return the image of a block's first basis state under its first map."""
        name, position = self.first.get(block, (CONSTANT, None))
        if position is None:
            return torch.eye(dim, dtype=self.complex, device=self.device)[0]
        if name != CONSTANT:
            return bound[name][..., position, :, 0]
        matrix = self.constants[True][position]
        return matrix[0] if self._is_last(block) else matrix[:, 0]

    def _step(self, call: "_Call", state: Tensor, step: "Step") -> Tensor:
        match step:
            case int():
                return multiply_phase(state, call.phase_factors[step])
            case str():
                return multiply_diagonal(state, call.bound[step])
            case _Pair():
                return self._mix(state, step)
            case _:
                return self._apply(call, state, step)

    def _apply(self, call: "_Call", state: Tensor, maps: "Maps") -> Tensor:
        for block, one in maps.items():
            state = self._apply_to_block(state, call.map(one), block)
        return state

    def _apply_to_block(self, state: Tensor, matrix: Tensor, block: int) -> Tensor:
        if len(self.block_dims) == 1:
            return times(state, matrix)
        *lead, batch, _ = state.shape
        if self._is_last(block):
            product = state.reshape(*lead, -1, matrix.shape[-1]) @ matrix
            return product.reshape(*product.shape[:-2], batch, -1)
        right = math.prod(self.block_dims[block + 1 :])
        matrix = matrix.unsqueeze(-3) if matrix.ndim > 2 else matrix  # shared by all samples
        is_complex = state.is_complex()
        product = matrix @ (state if is_complex else as_complex(state)).reshape(
            *lead, -1, self.block_dims[block], right
        )
        product = product.reshape(*product.shape[:-3], batch, -1)
        return product if is_complex else as_parts(product)

    @staticmethod
    def _mix(state: Tensor, pair: "_Pair") -> Tensor:
        """Apply a channel on two wires."""
        is_complex, (_, one, _, other, _) = state.is_complex(), pair.shape
        if is_complex:
            joined = state.unflatten(-1, pair.shape).movedim((-4, -2), (-2, -1)).flatten(-2)
            return (joined @ pair.whole).unflatten(-1, (one, other)).movedim((-2, -1), (-4, -2)).flatten(-5)
        joined = state.unflatten(-1, (*pair.shape, 2)).movedim((-5, -3), (-3, -2)).flatten(-3)
        return (joined @ pair.parts).unflatten(-1, (one, other, 2)).movedim((-3, -2), (-5, -3)).flatten(-6)

    def _measure(
        self, call: "_Call", state: Tensor, measured: "_Measured", draw: "Draw | None", shape: torch.Size
    ) -> Tensor:
        """Return expectation values [*shape, observable], or estimates from sampled outcomes if `draw` is given."""
        state = self._apply(call, state, measured.basis)
        if draw is not None:
            readings = apply_readout_error(self._probabilities(state).expand(*shape, -1), self.readings)
            return draw(readings) @ measured.eigenvalues
        state = as_parts(state) if state.is_complex() else state
        outcomes = state.square() if self.populations is None else state[..., self.populations]
        return (outcomes @ measured.expected).expand(*shape, -1)

    def _probabilities(self, state: Tensor) -> Tensor:
        """Return the probability of each basis state."""
        state = as_parts(state) if state.is_complex() else state
        if self.populations is None:
            return state.square().unflatten(-1, (-1, 2)).sum(-1)
        return state[..., self.populations]


@dataclass(frozen=True)
class _Measured:
    """Observables measured in the same basis."""

    basis: "Maps"
    eigenvalues: Tensor
    """Eigenvalues [outcome, observable]."""
    expected: Tensor
    """Expected eigenvalue per outcome after readout error; duplicated for real and imaginary parts of amplitudes."""


@dataclass(frozen=True)
class _Call:
    """Maps and phases that the steps of one call use."""

    bound: dict[str, Tensor]
    maps: dict[str, Sequence[Tensor]]
    phase_factors: list[PhaseFactors]

    def map(self, one: tuple[str, int]) -> Tensor:
        return self.maps[one[0]][one[1]]


Maps = dict[int, tuple[str, int]]
"""Map of each block: the name of its stack, or CONSTANT, and the position there."""


@dataclass(frozen=True)
class _Pair:
    """Channel on two wires: its matrix for interleaved real states and for complex states.

    `shape`: levels of the wires before the first wire, of the first wire, of the wires in between, of the second wire,
    and of the wires after it.
    """

    shape: tuple[int, ...]
    parts: Tensor
    whole: Tensor


Step = int | str | _Pair | Maps
"""One step: a phase level with inputs (index), one without inputs (name), a channel on two wires, or a local level."""

Draw = Callable[[Tensor], Tensor]
"""Map from outcome probabilities [..., outcome] to relative frequencies."""


Mixtures = list[tuple[Tensor, Tensor]]
"""Readout mixture of each wire: weights of a bit's own value and of the flipped bit's value, [2, 1] each."""


def mixtures(confusion: Tensor) -> Mixtures:
    """Split confusion matrices [wire, 2, 2] into mixtures.

    Matrices P(reading | true outcome) act on values; their transposes act on probabilities.
    """
    return [(m.diagonal().unsqueeze(-1), m.flip(-1).diagonal().unsqueeze(-1)) for m in confusion]


def apply_readout_error(values: Tensor, mixtures: Mixtures) -> Tensor:
    """Apply readout errors, wire by wire, to values or probabilities [..., outcome]."""
    for wire, (stays, flips) in enumerate(mixtures):
        bits = values.unflatten(-1, (2**wire, 2, -1))
        values = (stays * bits + flips * bits.flip(-2)).flatten(-3)
    return values
