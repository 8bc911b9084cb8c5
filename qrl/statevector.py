"""Exact, batched and fused simulation of a `Circuit` in torch: the default executor.

The circuit arrives as alternating local unitaries and phases (`qrl._lowering`). What depends on no sample is computed
once a call by `Program.bind`: each local level is one small unitary a block (all levels at once, as a tree of batched
matrix products), and each phase level with inputs is a matrix M with phase = exp(i f @ M), f = (inputs, bounded
angles, 1). `Program.run` then takes one matrix product a block and one multiplication a phase for the whole batch.
During a rollout the parameters are constant, so they are bound once.

Only differentiable torch operations are used, and one autograd rule written out with them in `qrl._kernels`: autograd
of any order, `torch.func` transforms and CUDA follow.
"""

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from qrl._kernels import (
    FixedPhase,
    PhaseMatrix,
    Turn,
    UnitaryStack,
    as_complex,
    as_parts,
    multiply_diagonal,
    multiply_phase,
    real_matrix,
)
from qrl._lowering import Factor, Local, Lowering, Measurement, Phase, absorb_constants
from qrl._memory import physical_memory
from qrl.circuit import Circuit
from qrl.errors import UsageError

Bound = dict[str, Tensor]
"""What `Program.bind` returns: a flat dict (a pytree for `vmap`) of fused unitaries and phase matrices.

Every tensor has the parameters' leading axes."""

_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


@functools.lru_cache(maxsize=256)
def compile_circuit(circuit: Circuit) -> "Program":
    """The program of a circuit; equal circuits share one. Raises UsageError if one state cannot fit into memory."""
    return Program(circuit)


class Program:
    """A circuit compiled for the executor: immutable, without parameters, for any dtype and device."""

    def __init__(self, circuit: Circuit) -> None:
        _check_memory(circuit)
        self.circuit = circuit
        self._lowering = Lowering(circuit)
        self._on = functools.cache(self._build)

    def _build(self, dtype: torch.dtype, device: torch.device) -> "_Executor":
        # In a thread of its own, where none of the caller's modes holds: a constant made inside torch.func's transforms
        # is a wrapper of theirs, dead when they end, and one from inference mode cannot be saved for backward.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(_Executor, self.circuit, self._lowering, dtype, device).result()

    def bind(self, weights: Float[Tensor, "*circuits weight"], scales: Float[Tensor, "*circuits scale"]) -> Bound:
        """Fused unitaries and phase matrices: everything that depends on no sample.

        weights [..., weight] in rad; scales [..., scale] in rad per unit of input. Each row has a circuit of its own;
        they run side by side. `torch.func.vmap` does the same, with more overhead a call.
        """
        return self._on(weights.dtype, weights.device).bind(weights, scales)

    def run(
        self, bound: Bound, inputs: Float[Tensor, "*circuits batch feature"]
    ) -> Float[Tensor, "*circuits batch observable"]:
        """Expectation values [..., batch, observable] for inputs [..., batch, feature], with bound parameters.

        The leading axes are those of the parameters.
        """
        if inputs.shape[-1] < self.circuit.n_inputs:
            raise UsageError(f"circuit: takes {self.circuit.n_inputs} inputs, found {inputs.shape[-1]}")
        return self._on(inputs.dtype, inputs.device).run(bound, inputs)


class _Executor:
    """The program's constants on one device in one precision, and the steps that use them."""

    def __init__(self, circuit: Circuit, lowering: Lowering, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        if dtype not in _COMPLEX:
            raise UsageError(f"circuit: runs in torch.float32 or torch.float64, not {dtype}")
        self.complex = _COMPLEX[dtype]
        self.first: Unitaries = {}
        self.block_dims = [2 ** len(wires) for wires in lowering.blocks]
        self.steps: list[Step] = []
        chains: dict[str, list[list[Factor]]] = {}
        phases: list[Phase] = []
        fixed: list[Phase] = []
        for index, level in enumerate(lowering.levels):
            if isinstance(level, Local):
                unitaries = self._unitaries(level, chains)
                if index:
                    self.steps.append(functools.partial(self._apply, unitaries=unitaries))
                else:
                    self.first = unitaries
            elif level.inputs:
                self.steps.append(functools.partial(self._turn, index=len(phases)))
                phases.append(level)
            elif level.weights or level.constant.any():
                self.steps.append(functools.partial(self._fixed, name=f"fixed{len(fixed)}"))
                fixed.append(level)
        self.stacks = {
            name: UnitaryStack(c, len(c[0][0].constant), as_real=name.startswith("real"), dtype=dtype, device=device)
            for name, c in chains.items()
        }
        self.phases = PhaseMatrix(phases, circuit, dtype, device) if phases else None
        self.fixed = {f"fixed{index}": FixedPhase(phase, dtype, device) for index, phase in enumerate(fixed)}
        self.measurements = [self._measurement(m) for m in lowering.measurements]

    # --- constants ---------------------------------------------------------------------------------------------------

    def _unitaries(self, level: Local, chains: dict[str, list[list[Factor]]]) -> "Unitaries":
        """Each block's unitary: a constant, or its place in the stack of its kind and size; identities are left out."""
        unitaries: Unitaries = {}
        for block, (chain, dim) in enumerate(zip(level.blocks, self.block_dims, strict=True)):
            merged = absorb_constants(chain, dim)
            if merged[0].cosine is not None:
                stack = f"{'real' if self._is_last(block) else 'unitary'}{dim}"
                unitaries[block] = (stack, len(chains.setdefault(stack, [])))
                chains[stack].append(merged)
            elif not np.allclose(merged[0].constant, np.eye(dim)):
                unitaries[block] = self._constant(merged[0].constant, block)
        return unitaries

    def _measurement(self, measurement: Measurement) -> tuple["Unitaries", Tensor]:
        basis: Unitaries = {
            block: self._constant(matrix, block)
            for block, matrix in enumerate(measurement.basis)
            if not np.allclose(matrix, np.eye(len(matrix)))
        }
        # A probability is the sum of two squares: each eigenvalue counts for both parts.
        doubled = np.repeat(measurement.eigenvalues, 2, axis=0)
        return basis, torch.as_tensor(doubled, dtype=self.dtype, device=self.device)

    def _constant(self, matrix: np.ndarray, block: int) -> Tensor:
        double = torch.as_tensor(matrix.astype(np.complex128), device=self.device)
        if self._is_last(block):
            return real_matrix(double).to(self.dtype)
        return double.to(self.complex)

    def _is_last(self, block: int) -> bool:
        return block == len(self.block_dims) - 1

    # --- a call ------------------------------------------------------------------------------------------------------

    def bind(self, weights: Tensor, scales: Tensor) -> Bound:
        bound = {name: stack.multiply(weights) for name, stack in self.stacks.items()}
        bound["initial"] = self._prepare(bound).expand(*weights.shape[:-1], 1, -1)
        bound |= {name: phase.diagonal(weights) for name, phase in self.fixed.items()}
        return bound if self.phases is None else bound | self.phases.bind(weights, scales)

    def run(self, bound: Bound, inputs: Tensor) -> Tensor:
        stacks = {name: bound[name].unbind(-3) for name in self.stacks}
        call = _Call(bound, stacks, self.phases.turns(bound, inputs) if self.phases is not None else [])
        state = bound["initial"]
        for step in self.steps:
            state = step(call, state)
        return self._measure(call, state).expand(*inputs.shape[:-1], -1)

    def _prepare(self, bound: Bound) -> Tensor:
        """The product state [..., 1, 2 * state] after the first local level, which depends on no input."""
        state = torch.ones(1, dtype=self.complex, device=self.device)
        for block, dim in enumerate(self.block_dims):
            unitary = self.first.get(block)
            if unitary is None:
                column = torch.zeros(dim, dtype=self.complex, device=self.device)
                column[0] = 1
            else:
                matrix = unitary if isinstance(unitary, Tensor) else bound[unitary[0]][..., unitary[1], :, :]
                column = as_complex(matrix[..., 0, :]) if self._is_last(block) else matrix[..., 0]
            state = (state.unsqueeze(-1) * column.unsqueeze(-2)).flatten(-2)
        return as_parts(state).unsqueeze(-2)

    def _apply(self, call: "_Call", state: Tensor, unitaries: "Unitaries") -> Tensor:
        for block, unitary in unitaries.items():
            matrix, dim, (*lead, batch, _) = call.unitary(unitary), self.block_dims[block], state.shape
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
    def _turn(call: "_Call", state: Tensor, index: int) -> Tensor:
        return multiply_phase(state, call.turns[index])

    @staticmethod
    def _fixed(call: "_Call", state: Tensor, name: str) -> Tensor:
        return multiply_diagonal(state, call.bound[name])

    def _measure(self, call: "_Call", state: Tensor) -> Tensor:
        values = [self._apply(call, state, basis).square() @ eigenvalues for basis, eigenvalues in self.measurements]
        return functools.reduce(torch.add, values)


@dataclass(frozen=True)
class _Call:
    """What one call's steps take their unitaries and phases from."""

    bound: Bound
    stacks: dict[str, tuple[Tensor, ...]]
    turns: list[Turn]

    def unitary(self, unitary: Tensor | tuple[str, int]) -> Tensor:
        return unitary if isinstance(unitary, Tensor) else self.stacks[unitary[0]][unitary[1]]


Unitaries = dict[int, Tensor | tuple[str, int]]
"""By block: a constant matrix or (stack, position). The last block's are `real_matrix`, the others' complex."""

Step = Callable[[_Call, Tensor], Tensor]


def _check_memory(circuit: Circuit) -> None:
    """Refuse what cannot work: the states of one sample, kept for its gradient, must fit into this machine's memory."""
    available = physical_memory()
    bytes_a_state = 4 * (2 + len(circuit.moments)) * 8
    fits = max(0, int(math.log2(available / bytes_a_state)))
    if circuit.n_wires > fits:
        raise UsageError(
            f"circuit: {circuit.n_wires} wires are more than this machine has memory for: "
            f"its {available / 2**30:.3g} GiB are enough for the gradient of one sample with {fits} wires"
        )
