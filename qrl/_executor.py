"""The fused executor's arithmetic: a lowered circuit on one device in one precision."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qrl._kernels import (
    FixedPhase,
    MapStack,
    PhaseMatrix,
    Turn,
    as_complex,
    as_parts,
    multiply_diagonal,
    multiply_phase,
    real_matrix,
)
from qrl._lowering import Factor, Local, Lowering, Measurement, Pairs, Phase, absorb_constants
from qrl.circuit import Circuit
from qrl.errors import UsageError

_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


class Executor:
    """The program's constants on one device in one precision, and the steps that use them."""

    def __init__(self, circuit: Circuit, lowering: Lowering, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        if dtype not in _COMPLEX:
            raise UsageError(f"circuit: runs in torch.float32 or torch.float64, not {dtype}")
        self.complex = _COMPLEX[dtype]
        self.first: Maps = {}
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
                    self.steps.append(functools.partial(self._apply, maps=maps))
                else:
                    self.first = maps
            elif isinstance(level, Pairs):
                for (low, high), matrix in level.channels:
                    between = [levels**n for n in (low, high - low - 1, circuit.n_wires - high - 1)]
                    shape = (between[0], levels, between[1], levels, between[2], 2)
                    self.steps.append(functools.partial(self._mix, shape=shape, matrix=self._real(matrix)))
            elif level.inputs:
                self.steps.append(functools.partial(self._turn, index=len(phases)))
                phases.append(level)
            elif level.weights or level.constant.any():
                self.steps.append(functools.partial(self._fixed, name=f"fixed{len(fixed)}"))
                fixed.append(level)
        self.stacks = {
            name: MapStack(c, len(c[0][0].constant), as_real=name.startswith("real"), dtype=dtype, device=device)
            for name, c in chains.items()
        }
        self.phases = PhaseMatrix(phases, circuit, dtype, device) if phases else None
        self.fixed = {f"fixed{index}": FixedPhase(phase, dtype, device) for index, phase in enumerate(fixed)}
        entries = lowering.space.populations(circuit.n_wires)
        # Their real parts: the populations of a density matrix have no others.
        self.populations = None if entries is None else torch.as_tensor(2 * entries, device=device)
        confusion = torch.as_tensor(lowering.confusion, dtype=dtype, device=device)
        self.values_read, self.readings = _mixtures(confusion), _mixtures(confusion.mT)
        self.measurements = [self._measurement(m) for m in lowering.measurements]

    # --- constants ---------------------------------------------------------------------------------------------------

    def _maps(self, level: Local, chains: dict[str, list[list[Factor]]]) -> "Maps":
        """Each block's map: a constant, or its place in the stack of its kind and size; identities are left out."""
        maps: Maps = {}
        for block, (chain, dim) in enumerate(zip(level.blocks, self.block_dims, strict=True)):
            merged = absorb_constants(chain, dim)
            if merged[0].cosine is not None:
                stack = f"{'real' if self._is_last(block) else 'complex'}{dim}"
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
        expected = misread(eigenvalues.mT, self.values_read).mT
        # A probability is the sum of two squares, of both parts: each eigenvalue counts for both.
        expected = expected if self.populations is not None else expected.repeat_interleave(2, dim=0)
        return _Measured(basis, eigenvalues, expected)

    def _constant(self, matrix: np.ndarray, block: int) -> Tensor:
        if self._is_last(block):
            return self._real(matrix)
        return torch.as_tensor(matrix.astype(np.complex128), device=self.device).to(self.complex)

    def _real(self, matrix: np.ndarray) -> Tensor:
        return real_matrix(torch.as_tensor(matrix.astype(np.complex128), device=self.device)).to(self.dtype)

    def _is_last(self, block: int) -> bool:
        return block == len(self.block_dims) - 1

    # --- a call ------------------------------------------------------------------------------------------------------

    def bind(self, weights: Tensor, scales: Tensor) -> dict[str, Tensor]:
        bound = {name: stack.multiply(weights) for name, stack in self.stacks.items()}
        bound["initial"] = self._prepare(bound).expand(*weights.shape[:-1], 1, -1)
        bound |= {name: phase.diagonal(weights) for name, phase in self.fixed.items()}
        return bound if self.phases is None else bound | self.phases.bind(weights, scales)

    def run(self, bound: dict[str, Tensor], inputs: Tensor, draw: "Draw | None" = None) -> Tensor:
        stacks = {name: bound[name].unbind(-3) for name in self.stacks}
        call = _Call(bound, stacks, self.phases.turns(bound, inputs) if self.phases is not None else [])
        state = bound["initial"]
        for step in self.steps:
            state = step(call, state)
        values = [self._measure(call, state, measured, draw, inputs.shape[:-1]) for measured in self.measurements]
        return functools.reduce(torch.add, values)

    def _prepare(self, bound: dict[str, Tensor]) -> Tensor:
        """The product state [..., 1, 2 * state] after the first local level, which depends on no input."""
        state = torch.ones(1, dtype=self.complex, device=self.device)
        for block, dim in enumerate(self.block_dims):
            one = self.first.get(block)
            if one is None:
                column = torch.zeros(dim, dtype=self.complex, device=self.device)
                column[0] = 1
            else:
                matrix = one if isinstance(one, Tensor) else bound[one[0]][..., one[1], :, :]
                column = as_complex(matrix[..., 0, :]) if self._is_last(block) else matrix[..., 0]
            state = (state.unsqueeze(-1) * column.unsqueeze(-2)).flatten(-2)
        return as_parts(state).unsqueeze(-2)

    def _apply(self, call: "_Call", state: Tensor, maps: "Maps") -> Tensor:
        for block, one in maps.items():
            matrix, dim, (*lead, batch, _) = call.map(one), self.block_dims[block], state.shape
            if self._is_last(block):
                product = state.reshape(*lead, -1, matrix.shape[-1]) @ matrix
                state = product.reshape(*product.shape[:-2], batch, -1)
            else:
                right = math.prod(self.block_dims[block + 1 :])
                matrix = matrix.unsqueeze(-3) if matrix.ndim > 2 else matrix  # the same for all samples
                product = matrix @ as_complex(state).reshape(*lead, -1, dim, right)
                state = as_parts(product.reshape(*product.shape[:-3], batch, -1))
        return state

    @staticmethod
    def _mix(call: "_Call", state: Tensor, shape: tuple[int, ...], matrix: Tensor) -> Tensor:
        """A channel on two wires: the state as wires before, first, between, second, behind, and parts."""
        pair = state.unflatten(-1, shape).movedim((-5, -3), (-3, -2)).flatten(-3)
        return (pair @ matrix).unflatten(-1, (shape[1], shape[3], 2)).movedim((-3, -2), (-5, -3)).flatten(-6)

    @staticmethod
    def _turn(call: "_Call", state: Tensor, index: int) -> Tensor:
        return multiply_phase(state, call.turns[index])

    @staticmethod
    def _fixed(call: "_Call", state: Tensor, name: str) -> Tensor:
        return multiply_diagonal(state, call.bound[name])

    def _measure(
        self, call: "_Call", state: Tensor, measured: "_Measured", draw: "Draw | None", shape: torch.Size
    ) -> Tensor:
        """Expectation values [*shape, observable] or, from what is drawn of the outcomes, estimates of them."""
        state = self._apply(call, state, measured.basis)
        if draw is None:
            outcomes = state.square() if self.populations is None else state[..., self.populations]
            return (outcomes @ measured.expected).expand(*shape, -1)
        if self.populations is None:
            probabilities = state.square().unflatten(-1, (-1, 2)).sum(-1)
        else:
            probabilities = state[..., self.populations]
        return draw(misread(probabilities, self.readings).expand(*shape, -1)) @ measured.eigenvalues


@dataclass(frozen=True)
class _Measured:
    """Observables that share a basis."""

    basis: "Maps"
    eigenvalues: Tensor
    """[outcome, observable]"""
    expected: Tensor
    """What an outcome is read as, on average, of a density matrix; of amplitudes for both parts of each."""


@dataclass(frozen=True)
class _Call:
    """What one call's steps take their maps and phases from."""

    bound: dict[str, Tensor]
    stacks: dict[str, tuple[Tensor, ...]]
    turns: list[Turn]

    def map(self, one: Tensor | tuple[str, int]) -> Tensor:
        return one if isinstance(one, Tensor) else self.stacks[one[0]][one[1]]


Maps = dict[int, Tensor | tuple[str, int]]
"""By block: a constant matrix or (stack, position). The last block's are `real_matrix`, the others' complex."""

Step = Callable[[_Call, Tensor], Tensor]

Draw = Callable[[Tensor], Tensor]
"""From probabilities of outcomes [..., outcome] to how often they were found, as a share."""


Mixtures = list[tuple[Tensor, Tensor]]
"""Of each wire, how much of a bit's number is its own and how much is that of the other bit, [2, 1] each."""


def _mixtures(confusion: Tensor) -> Mixtures:
    """Of matrices [wire, 2, 2]: those of P(reading | what there is) are for values, transposed for probabilities."""
    return [(m.diagonal().unsqueeze(-1), m.flip(-1).diagonal().unsqueeze(-1)) for m in confusion]


def misread(values: Tensor, mixtures: Mixtures) -> Tensor:
    """Of numbers of outcomes [..., outcome] what they are with errors of readout, wire by wire."""
    for wire, (stays, turns) in enumerate(mixtures):
        bits = values.unflatten(-1, (2**wire, 2, -1))
        values = (stays * bits + turns * bits.flip(-2)).flatten(-3)
    return values
