"""Kernels of the fused executor; each lives on one device in one precision.

States are real tensors [..., batch, 2 * state] that interleave real and imaginary parts. A map is then a real matrix
product, whose gradient copies no complex conjugates, and probabilities are squares. States of small batches are
complex, [..., batch, state]. The leading axes are those of the parameters: each such row of weights and scales defines
its own circuit.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qrl.circuits.angles import Input
from qrl.circuits.circuit import Circuit
from qrl.common.autograd import Context, Rule, VmapInfo, mapped_axis_first
from qrl.simulator.lowering import Factor, Phase

SMALL = 2**14
"""Largest state batch per circuit [numbers] for which call overhead outweighs arithmetic. States of small batches are
complex, which takes the fewest calls, and autograd's built-in rules are faster than `PhaseProduct`. A single circuit
would gain up to 2**15; second derivatives of many circuits side by side are slower from 2**14 on."""


@dataclass(frozen=True)
class PhaseFactors:
    """Phase level for one batch: phase = exp(i rows @ matrix).

    Autograd differentiates `phase` itself if `rows` are None.
    """

    phase: Tensor
    rows: Tensor | None = None
    matrix: Tensor | None = None


def is_small(batch: int, n_parts: int) -> bool:
    """Return whether a batch of this many states with this many numbers each counts as small."""
    return batch * n_parts <= SMALL


def as_complex(state: Tensor) -> Tensor:
    """View interleaved real and imaginary parts [..., 2 * n] as [..., n] complex numbers; no copy if contiguous."""
    return torch.view_as_complex(state.contiguous().unflatten(-1, (-1, 2)))


def as_parts(state: Tensor) -> Tensor:
    """Invert `as_complex`."""
    return torch.view_as_real(state).flatten(-2)


def real_matrix(matrix: Tensor) -> Tensor:
    """Return W [..., 2n, 2n] with as_parts(psi) @ W = as_parts(U psi) for row vectors; row 0 of W is column 0 of U."""
    transposed = matrix.mT
    rows = torch.stack([torch.view_as_real(transposed), torch.view_as_real(1j * transposed)], dim=-3)
    return rows.flatten(-4, -3).flatten(-2)


class MapStack:
    """Weight-dependent maps of one size: each is a chain of factors, multiplied as a tree.

    One tensor holds all chains, so the number of torch calls does not grow with the number of layers. The products of
    two neighbours, the leaves of the tree, are sums over products of their cosines and sines.
    """

    def __init__(self, chains: list[list[Factor]], dim: int, dtype: torch.dtype, device: torch.device) -> None:
        self.n_levels = max(1, (max(map(len, chains)) - 1).bit_length())
        padding = Factor(np.eye(dim))
        flat = [factor for chain in chains for factor in [*chain, *[padding] * (2**self.n_levels - len(chain))]]
        zero = np.zeros((dim, dim))
        parts = np.stack(
            [[zero if m is None else m for m in (f.constant, f.cosine, f.sine)] for f in flat], dtype=np.complex128
        )
        # [pair, 9, dim*dim*2]: matrices as real numbers, so that the sum over the nine terms is a real matrix product.
        pairs = np.ascontiguousarray(parts[1::2, :, None] @ parts[0::2, None])
        self.parts = torch.as_tensor(pairs.view(np.float64).reshape(len(flat) // 2, 9, -1), dtype=dtype, device=device)
        self.weight = torch.as_tensor([f.weight for f in flat], device=device)
        # (1, cos, sin) of an angle a are the cosines of 0, a and a - pi/2.
        rate = torch.as_tensor([f.rate for f in flat], dtype=dtype, device=device)
        self.rate = rate[:, None] * torch.tensor([0.0, 1.0, 1.0], dtype=dtype, device=device)
        self.quarter = torch.tensor([0.0, 0.0, -math.pi / 2], dtype=dtype, device=device)
        self.shape = (len(chains), dim, dim)

    def multiply(self, weights: Tensor) -> Tensor:
        """Multiply each chain, later factors on the left: [..., map, dim, dim]."""
        angles = weights.index_select(-1, self.weight).unsqueeze(-1) * self.rate
        earlier, later = (angles + self.quarter).cos().unflatten(-2, (-1, 2)).unbind(-2)
        mixture = (later.unsqueeze(-1) * earlier.unsqueeze(-2)).reshape(-1, *self.parts.shape[:2])
        mixed = torch.bmm(mixture.transpose(0, 1), self.parts).transpose(0, 1)
        # `bmm` takes one batch axis: that of all factors of all chains.
        factors = torch.view_as_complex(mixed.reshape(-1, *self.shape[1:], 2))
        for _ in range(self.n_levels - 1):
            earlier, later = factors.unflatten(0, (-1, 2)).unbind(1)
            factors = torch.bmm(later, earlier)
        return factors.reshape(*weights.shape[:-1], *self.shape)


class PhaseMatrix:
    """Phase levels with inputs: angle = f @ M, rows f = (inputs, bounded angles, 1), M [level, column, state]."""

    def __init__(self, phases: list[Phase], circuit: Circuit, dtype: torch.dtype, device: torch.device) -> None:
        inputs = [(level, angle, row) for level, phase in enumerate(phases) for angle, row in phase.inputs]
        bounded = [angle for _, angle, _ in inputs if angle.transform != "identity"]
        one = circuit.n_scales + circuit.n_weights  # the last entry of the coefficients (scales, weights, 1)
        constant_column = circuit.n_inputs + len(bounded)
        terms: list[tuple[int, int, int, np.ndarray]] = []  # (level, column of f, coefficient, diagonal)
        bounded_column = circuit.n_inputs
        for level, angle, row in inputs:
            if angle.transform == "identity":
                terms.append((level, angle.feature, one if angle.scale is None else angle.scale, row))
            else:
                terms.append((level, bounded_column, one, row))
                bounded_column += 1
        for level, phase in enumerate(phases):
            terms += [(level, constant_column, circuit.n_scales + index, row) for index, row in phase.weights]
            if phase.constant.any():
                terms.append((level, constant_column, one, phase.constant))
        n_columns = constant_column + 1
        placement = np.zeros((len(phases) * n_columns, len(terms)))
        for term, (level, column, _, _) in enumerate(terms):
            placement[level * n_columns + column, term] = 1
        self.shape = (len(phases), n_columns, -1)
        self.placement = torch.as_tensor(placement, dtype=dtype, device=device)
        self.coefficient = torch.as_tensor([coefficient for _, _, coefficient, _ in terms], device=device)
        self.rows = torch.as_tensor(np.stack([row for *_, row in terms]), dtype=dtype, device=device)
        self.bounded = BoundedAngles(bounded, one, device) if bounded else None
        self.n_inputs = circuit.n_inputs
        # sin(a) = cos(a - pi/2): with this shift in the column of ones, one cosine gives both parts of exp(i a) in
        # place.
        quarter = torch.zeros(n_columns, 1, 2, dtype=dtype, device=device)
        quarter[-1, 0, 1] = -math.pi / 2
        self.quarter = quarter

    def bind(self, weights: Tensor, scales: Tensor) -> dict[str, Tensor]:
        """Compute `phase` (the matrix M), `parts` (M for both parts) and `bounded` (the scales of bounded angles)."""
        lead = weights.shape[:-1]
        coefficients = torch.cat([scales, weights, weights.new_ones(*lead, 1)], dim=-1)
        terms = coefficients.index_select(-1, self.coefficient).unsqueeze(-1) * self.rows
        phase = (self.placement @ terms).reshape(*lead, *self.shape)
        bound = {"phase": phase, "parts": (phase.unsqueeze(-1) + self.quarter).flatten(-2)}
        if self.bounded is not None:
            bound["bounded"] = coefficients[..., self.bounded.scale].unsqueeze(-2)
        return bound

    def phase_factors(self, bound: dict[str, Tensor], inputs: Tensor) -> list[PhaseFactors]:
        """Return rows, matrix and phase of each level; the phases of all levels are computed together."""
        columns = [inputs[..., : self.n_inputs]]
        if self.bounded is not None:
            columns.append(self.bounded.angles(bound["bounded"] * inputs[..., self.bounded.feature]))
        rows = torch.cat([*columns, inputs.new_ones(*inputs.shape[:-1], 1)], dim=-1)
        levels, parts = rows.unsqueeze(-3), bound["parts"]
        if is_small(rows.shape[-2], parts.shape[-1]) or not torch.is_grad_enabled():
            return [PhaseFactors(phase) for phase in as_complex((levels @ parts).cos()).unbind(-3)]
        phases = as_complex((levels.detach() @ parts.detach()).cos()).unbind(-3)
        return [PhaseFactors(p, rows, matrix) for p, matrix in zip(phases, bound["phase"].unbind(-3), strict=True)]


class BoundedAngles:
    """Input angles bounded by tanh or arctan."""

    def __init__(self, angles: list[Input], one: int, device: torch.device) -> None:
        self.feature = torch.as_tensor([a.feature for a in angles], device=device)
        self.scale = torch.as_tensor([one if a.scale is None else a.scale for a in angles], device=device)
        self.is_tanh = torch.as_tensor([a.transform == "tanh" for a in angles], device=device)

    def angles(self, scaled: Tensor) -> Tensor:
        """Return the bounded angles [..., batch, angle]."""
        return torch.where(self.is_tanh, scaled.tanh(), scaled.atan())


class FixedPhase:
    """A phase level without inputs: one diagonal for all samples."""

    def __init__(self, phase: Phase, dtype: torch.dtype, device: torch.device) -> None:
        self.index = torch.as_tensor([index for index, _ in phase.weights], dtype=torch.long, device=device)
        rows = np.stack([row for _, row in phase.weights]) if phase.weights else np.zeros((0, len(phase.constant)))
        self.rows = torch.as_tensor(rows, dtype=dtype, device=device)
        self.constant = torch.as_tensor(phase.constant, dtype=dtype, device=device)
        signs = np.exp(1j * phase.constant)
        self.signs: Tensor | None = None
        if not phase.weights and np.allclose(signs.imag, 0, atol=1e-12):
            self.signs = torch.as_tensor(np.repeat(signs.real.round(), 2), dtype=dtype, device=device)

    def diagonal(self, weights: Tensor) -> Tensor:
        """Return the diagonal [..., 1, state], complex.

        If all entries are +1 or -1, as for a ring of CZ, it is real, [..., 1, 2 * state].
        """
        if self.signs is not None:
            return self.signs.expand(*weights.shape[:-1], 1, -1)
        angle = self.constant + weights[..., None, self.index] @ self.rows
        return torch.complex(angle.cos(), angle.sin())


def times(state: Tensor, matrix: Tensor) -> Tensor:
    """Return state @ matrix, with fewer calls if each circuit has its own matrix."""
    if state.ndim == matrix.ndim == 3 and state.shape[0] == matrix.shape[0]:
        return torch.bmm(state, matrix)
    return state @ matrix


def multiply_diagonal(state: Tensor, diagonal: Tensor) -> Tensor:
    """Multiply the state by a diagonal from `FixedPhase.diagonal`."""
    if state.is_complex():
        return state * (diagonal if diagonal.is_complex() else diagonal[..., ::2])
    return as_parts(as_complex(state) * diagonal) if diagonal.is_complex() else state * diagonal


def multiply_phase(state: Tensor, factors: PhaseFactors) -> Tensor:
    """Multiply the state (1 or batch rows) by a level's phases (batch rows)."""
    phase = factors.phase
    if state.is_complex():
        return state * phase
    if factors.rows is None:
        return as_parts(as_complex(state) * phase)
    return PhaseProduct.apply(state.expand(*phase.shape[:-1], state.shape[-1]), factors.rows, factors.matrix, phase)


class PhaseProduct(Rule):
    """Product state * exp(i rows @ matrix) as an autograd rule.

    `phase` = exp(i rows @ matrix) is an argument, because it is computed for all levels together. The general rules for
    complex, cos and sin pass over the states several times more. With `out` the product and g its gradient, the
    gradient of the state is g * conj(phase), again this function. The gradient of the angle is Im(g * conj(out)); its
    product with `rows` is a real matrix product over both parts. The whole rule is itself differentiable. Every tensor
    may have leading axes, such as `task` under `vmap`.
    """

    @staticmethod
    def vmap(info: VmapInfo, in_dims: tuple[int | None, ...], *arguments: Tensor) -> tuple[Tensor, int]:
        return PhaseProduct.apply(*mapped_axis_first(info, in_dims, arguments)), 0

    @staticmethod
    def forward(state: Tensor, rows: Tensor, matrix: Tensor, phase: Tensor) -> Tensor:
        return as_parts(as_complex(state) * phase)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        _, rows, matrix, phase = inputs
        ctx.save_for_backward(rows, matrix, phase, output)
        ctx.save_for_forward(rows, matrix, phase, output)

    @staticmethod
    def backward(ctx: Context, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, matrix, phase, output = ctx.saved_tensors
        state_gradient = rows_gradient = matrix_gradient = None
        if ctx.needs_input_grad[0]:
            if torch.is_grad_enabled():  # the gradient will itself be differentiated
                state_gradient = PhaseProduct.apply(gradient, rows, -matrix, phase.conj())
            else:
                state_gradient = as_parts(as_complex(gradient) * phase.conj())
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            rotated = as_parts((as_complex(gradient) * as_complex(output).conj()).resolve_conj())
            if ctx.needs_input_grad[2]:
                matrix_gradient = (rows.mT @ rotated).unflatten(-1, (-1, 2))[..., 1]
            if ctx.needs_input_grad[1]:
                rows_gradient = rotated.unflatten(-1, (-1, 2))[..., 1] @ matrix.mT
        return state_gradient, rows_gradient, matrix_gradient, None

    @staticmethod
    def jvp(ctx: Context, state: Tensor | None, rows: Tensor | None, matrix: Tensor | None, _: Tensor | None) -> Tensor:
        saved_rows, saved_matrix, phase, output = ctx.saved_tensors
        rotated = 1j * as_complex(output)
        tangent = torch.zeros_like(rotated) if state is None else as_complex(state) * phase
        if rows is not None:
            tangent = tangent + (rows @ saved_matrix) * rotated
        if matrix is not None:
            tangent = tangent + (saved_rows @ matrix) * rotated
        return as_parts(tangent)
