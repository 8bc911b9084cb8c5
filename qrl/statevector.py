"""Exact, batched and fused simulation of a `Circuit` in plain torch operations: the default executor.

The circuit arrives as alternating local unitaries and phases (`qrl._lowering`). What depends on no sample is computed
once a call by `Program.bind`: each local level is one small unitary a block (all levels at once, as a tree of batched
matrix products), and each phase level with inputs is a matrix M with phase = exp(i f @ M), f = (inputs, bounded
angles, 1). `Program.run` then takes one matrix product a block and one multiplication a phase for the whole batch.
During a rollout the parameters are constant, so they are bound once.

Only differentiable torch operations are used: autograd of any order, `torch.func` transforms and CUDA follow.
"""

import functools
import os
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from qrl._lowering import Factor, Local, Lowering, Measurement, Phase, absorb_constants
from qrl.circuit import Circuit, Input
from qrl.errors import UsageError

Bound = dict[str, Tensor]
"""What `Program.bind` returns: a flat dict (a pytree for `vmap`) of fused unitaries and phase matrices."""


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
        # Cached constants may later be saved for backward, which inference tensors refuse.
        with torch.inference_mode(False):
            return _Executor(self.circuit, self._lowering, dtype, device)

    def bind(self, weights: Float[Tensor, " weight"], scales: Float[Tensor, " scale"]) -> Bound:
        """Fused unitaries and phase matrices: everything that depends on no sample.

        weights [weight] in rad; scales [scale] in rad per unit of input. Map over tasks with `torch.func.vmap`.
        """
        return self._on(weights.dtype, weights.device).bind(weights, scales)

    def run(self, bound: Bound, inputs: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch observable"]:
        """Expectation values [batch, observable] for inputs [batch, feature], with bound parameters."""
        return self._on(inputs.dtype, inputs.device).run(bound, inputs)


class _Executor:
    """The program's constants on one device in one precision, and the steps that use them."""

    def __init__(self, circuit: Circuit, lowering: Lowering, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self.complex = torch.complex64 if dtype == torch.float32 else torch.complex128
        self.dim = lowering.dim
        self.block_dims = [2 ** len(wires) for wires in lowering.blocks]
        self.n_inputs = circuit.n_inputs
        chains: dict[int, list[list[Factor]]] = {}
        phases: list[Phase] = []
        fixed: list[Phase] = []
        self.steps: list[Callable[[_Values, Tensor | None], Tensor | None]] = []
        for level in lowering.levels:
            if isinstance(level, Local):
                self.steps.append(self._local(level, chains))
            elif level.inputs:
                self.steps.append(functools.partial(_multiply_input_phase, index=len(phases)))
                phases.append(level)
            elif level.weights or level.constant.any():
                self.steps.append(functools.partial(_multiply_fixed_phase, index=len(fixed)))
                fixed.append(level)
        self.stacks = {dim: _Stack(chain, dim, dtype, device) for dim, chain in chains.items()}
        self.input_phases = _PhaseMatrix(phases, circuit, dtype, device) if phases else None
        self.fixed_phases = [_FixedPhase(phase, dtype, device) for phase in fixed]
        self.measurements = [self._measurement(m) for m in lowering.measurements]

    def _local(self, level: Local, chains: dict[int, list[list[Factor]]]) -> Callable:
        """One step: the block's unitaries, each a constant or the next one of its dimension's stack."""
        unitaries: list[tuple[int, Tensor | tuple[int, int]]] = []
        for block, (chain, dim) in enumerate(zip(level.blocks, self.block_dims, strict=True)):
            chain = absorb_constants(chain, dim)
            if chain[0].cosine is not None:
                stack = chains.setdefault(dim, [])
                unitaries.append((block, (dim, len(stack))))
                stack.append(chain)
            elif not np.allclose(chain[0].constant, np.eye(dim)):
                unitaries.append((block, self._tensor(chain[0].constant)))
        return functools.partial(self._apply_local, unitaries=unitaries)

    def _measurement(self, measurement: Measurement) -> tuple[list[tuple[int, Tensor]], Tensor]:
        basis = [(b, self._tensor(m)) for b, m in enumerate(measurement.basis) if not np.allclose(m, np.eye(len(m)))]
        # Real and imaginary parts are squared side by side: each eigenvalue counts for both.
        doubled = np.repeat(measurement.eigenvalues, 2, axis=0)
        return basis, torch.as_tensor(doubled, dtype=self.dtype, device=self.device)

    def _tensor(self, matrix: np.ndarray) -> Tensor:
        return torch.as_tensor(matrix, dtype=self.complex, device=self.device)

    def bind(self, weights: Tensor, scales: Tensor) -> Bound:
        bound = {f"unitary{dim}": stack.multiply(weights) for dim, stack in self.stacks.items()}
        if self.input_phases is not None:
            bound |= self.input_phases.bind(weights, scales)
        for index, phase in enumerate(self.fixed_phases):
            bound[f"fixed{index}"] = phase.diagonal(weights)
        return bound

    def run(self, bound: Bound, inputs: Tensor) -> Tensor:
        values = _Values(
            {dim: bound[f"unitary{dim}"].unbind() for dim in self.stacks},
            [bound[f"fixed{index}"] for index in range(len(self.fixed_phases))],
            self.input_phases.diagonals(bound, inputs) if self.input_phases is not None else (),
        )
        state: Tensor | None = None
        for step in self.steps:
            state = step(values, state)
        return self._measure(self._initial({}) if state is None else state).expand(len(inputs), -1)

    def _initial(self, columns: dict[int, Tensor]) -> Tensor:
        """The product state [state] of first columns of the blocks' unitaries; |0...0> where there is none."""
        state = torch.ones(1, dtype=self.complex, device=self.device)
        for block, dim in enumerate(self.block_dims):
            column = columns.get(block)
            if column is None:
                column = torch.zeros(dim, dtype=self.complex, device=self.device)
                column[0] = 1
            state = (state.unsqueeze(-1) * column).reshape(-1)
        return state

    def _apply_local(self, values: "_Values", state: Tensor | None, unitaries: list) -> Tensor:
        matrices = {b: values.unitaries[u[0]][u[1]] if isinstance(u, tuple) else u for b, u in unitaries}
        if state is None:
            return self._initial({block: matrix[:, 0] for block, matrix in matrices.items()})
        for block, matrix in matrices.items():
            state = self._apply_block(state, matrix, block)
        return state

    def _apply_block(self, state: Tensor, matrix: Tensor, block: int) -> Tensor:
        dim = self.block_dims[block]
        right = int(np.prod(self.block_dims[block + 1 :], dtype=int))
        if right == 1:
            return (state.reshape(-1, dim) @ matrix.mT).reshape(state.shape)
        return (matrix @ state.reshape(-1, dim, right)).reshape(state.shape)

    def _measure(self, state: Tensor) -> Tensor:
        result: Tensor | None = None
        for basis, eigenvalues in self.measurements:
            rotated = state
            for block, matrix in basis:
                rotated = self._apply_block(rotated, matrix, block)
            value = torch.view_as_real(rotated).square().flatten(-2) @ eigenvalues
            result = value if result is None else result + value
        assert result is not None
        return result


class _Values:
    """The unitaries and phases of one call, ready for the steps."""

    def __init__(self, unitaries: dict[int, tuple[Tensor, ...]], fixed: list[Tensor], phases: tuple[Tensor, ...]) -> None:
        self.unitaries, self.fixed, self.phases = unitaries, fixed, phases


def _multiply_input_phase(values: _Values, state: Tensor, index: int) -> Tensor:
    return state * values.phases[index]


def _multiply_fixed_phase(values: _Values, state: Tensor, index: int) -> Tensor:
    return state * values.fixed[index]


class _Stack:
    """All weight-dependent unitaries of one dimension: for each a chain of factors, multiplied as a tree.

    One tensor holds them all, so that the number of torch calls does not grow with the number of layers.
    """

    def __init__(self, chains: list[list[Factor]], dim: int, dtype: torch.dtype, device: torch.device) -> None:
        length = 1 << (max(map(len, chains)) - 1).bit_length()  # a power of two, for the tree
        padding = Factor(np.eye(dim))
        flat = [factor for chain in chains for factor in [*chain, *[padding] * (length - len(chain))]]
        zero = np.zeros((dim, dim))
        parts = np.stack(
            [[zero if m is None else m for m in (f.constant, f.cosine, f.sine)] for f in flat], dtype=np.complex128
        )
        # [factor, 3, dim*dim*2]: a matrix as real numbers, so that the sum over the three is a real matrix product.
        real = parts.view(np.float64).reshape(len(flat), 3, -1)
        self.parts = torch.as_tensor(real, dtype=dtype, device=device)
        self.weight = torch.as_tensor([f.weight for f in flat], device=device)
        self.shape = (len(chains), length, dim, dim, 2)

    def multiply(self, weights: Tensor) -> Tensor:
        """[unitary, dim, dim]: the product of each chain, later factors on the left."""
        half = 0.5 * weights[self.weight]
        mixture = torch.stack([torch.ones_like(half), half.cos(), half.sin()], dim=-1).unsqueeze(-2)
        factors = torch.view_as_complex((mixture @ self.parts).reshape(self.shape))
        while factors.shape[1] > 1:
            factors = factors[:, 1::2] @ factors[:, 0::2]
        return factors[:, 0]


class _PhaseMatrix:
    """All phase levels with inputs: angles = f @ M for rows f = (inputs, bounded angles, 1), M [level, row, state]."""

    def __init__(self, phases: list[Phase], circuit: Circuit, dtype: torch.dtype, device: torch.device) -> None:
        inputs = [(level, angle, row) for level, phase in enumerate(phases) for angle, row in phase.inputs]
        bounded = [angle for _, angle, _ in inputs if angle.transform != "identity"]
        # f's columns; the last is the 1 that carries weights and constants, present only where a level has some.
        constant_column = circuit.n_inputs + len(bounded)
        one = circuit.n_scales + circuit.n_weights  # the last entry of the coefficients (scales, weights, 1)
        terms: list[tuple[int, int, int, np.ndarray]] = []  # (level, column of f, coefficient, diagonal)
        next_bounded = circuit.n_inputs
        for level, angle, row in inputs:
            if angle.transform == "identity":
                terms.append((level, angle.feature, one if angle.scale is None else angle.scale, row))
            else:
                terms.append((level, next_bounded, one, row))
                next_bounded += 1
        for level, phase in enumerate(phases):
            terms += [(level, constant_column, circuit.n_scales + index, row) for index, row in phase.weights]
            if phase.constant.any():
                terms.append((level, constant_column, one, phase.constant))
        self.has_constant = any(column == constant_column for _, column, _, _ in terms)
        n_columns = constant_column + self.has_constant
        place = np.zeros((len(phases) * n_columns, len(terms)))
        for term, (level, column, _, _) in enumerate(terms):
            place[level * n_columns + column, term] = 1
        self.shape = (len(phases), n_columns, -1)
        self.place = torch.as_tensor(place, dtype=dtype, device=device)
        self.coefficient = torch.as_tensor([coefficient for _, _, coefficient, _ in terms], device=device)
        self.rows = torch.as_tensor(np.stack([row for *_, row in terms]), dtype=dtype, device=device)
        self.bounded = _BoundedAngles(bounded, one, device) if bounded else None

    def bind(self, weights: Tensor, scales: Tensor) -> Bound:
        coefficients = torch.cat([scales, weights, weights.new_ones(1)])
        terms = coefficients[self.coefficient].unsqueeze(-1) * self.rows
        bound = {"phase": (self.place @ terms).reshape(self.shape)}
        if self.bounded is not None:
            bound["bounded"] = coefficients[self.bounded.scale]
        return bound

    def diagonals(self, bound: Bound, inputs: Tensor) -> tuple[Tensor, ...]:
        """exp(i angle) [batch, state] for each level."""
        columns = [inputs]
        if self.bounded is not None:
            columns.append(self.bounded.angles(bound["bounded"] * inputs[:, self.bounded.feature]))
        if self.has_constant:
            columns.append(inputs.new_ones(len(inputs), 1))
        rows = torch.cat(columns, dim=-1) if len(columns) > 1 else inputs
        angles = rows @ bound["phase"]
        return torch.complex(angles.cos(), angles.sin()).unbind()


class _BoundedAngles:
    """Inputs that pass through tanh or arctan."""

    def __init__(self, angles: list[Input], one: int, device: torch.device) -> None:
        self.feature = torch.as_tensor([a.feature for a in angles], device=device)
        self.scale = torch.as_tensor([one if a.scale is None else a.scale for a in angles], device=device)
        self.is_tanh = torch.as_tensor([a.transform == "tanh" for a in angles], device=device)

    def angles(self, scaled: Tensor) -> Tensor:
        return torch.where(self.is_tanh, scaled.tanh(), scaled.atan())


class _FixedPhase:
    """A phase level without inputs: one diagonal [state] for all samples."""

    def __init__(self, phase: Phase, dtype: torch.dtype, device: torch.device) -> None:
        self.index = torch.as_tensor([index for index, _ in phase.weights], dtype=torch.long, device=device)
        rows = np.stack([row for _, row in phase.weights]) if phase.weights else np.zeros((0, len(phase.constant)))
        self.rows = torch.as_tensor(rows, dtype=dtype, device=device)
        self.constant = torch.as_tensor(phase.constant, dtype=dtype, device=device)

    def diagonal(self, weights: Tensor) -> Tensor:
        angle = self.constant + weights[self.index] @ self.rows
        return torch.complex(angle.cos(), angle.sin())


def _check_memory(circuit: Circuit) -> None:
    """Refuse what cannot work: the states of one sample, kept for its gradient, must fit into this machine's memory."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    states = 4 * (2 + len(circuit.moments))
    needed = states * 8 * 2.0**circuit.n_wires
    if needed > available:
        fits = circuit.n_wires
        while states * 8 * 2.0**fits > available:
            fits -= 1
        raise UsageError(
            f"circuit: {circuit.n_wires} wires need about {needed / 2**30:.3g} GiB for the gradient of one sample; "
            f"this machine has {available / 2**30:.3g} GiB, enough for {fits} wires"
        )
