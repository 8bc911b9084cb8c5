"""How many circuits a device would run: the same count for every executor, of values and gradients alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import GATES, Gate
from qrl.common.autograd import Context, VmapInfo


@dataclass
class Counter:
    """Circuits run so far [circuits]; with finite shots each is run so many times."""

    circuits: int = 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is run meanwhile does not count: it is only to find something out about memory or shapes."""
        before = self.circuits
        try:
            yield
        finally:
            self.circuits = before


def shifts(circuit: Circuit) -> int:
    """Circuits of one gradient by the parameter-shift rule: two a rotation with an angle to learn or to pass back
    through, four if it is controlled (Schuld et al. 2019; Anselmetti et al. 2021)."""
    return sum(n_terms(gate) for gate in circuit.gates if gate.is_parametric)


def n_terms(gate: Gate) -> int:
    """Values that the parameter-shift rule of a rotation takes."""
    return 4 if GATES[gate.name].controlled else 2


def counted(values: Tensor, counter: Counter, n_bases: int, n_shifts: int) -> Tensor:
    """The values [..., batch, observable], counted: `n_bases` circuits a sample now, and `n_shifts` times as many for
    each derivative that is taken of them, of any order."""
    return _Counted.apply(values, counter, n_bases, n_shifts)


class _Counted(torch.autograd.Function):
    """The identity, which counts the rows that pass, forwards and backwards."""

    @staticmethod
    def forward(values: Tensor, counter: Counter, each: int, n_shifts: int) -> Tensor:
        counter.circuits += each * (values.numel() // values.shape[-1])
        return values.view_as(values)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Tensor, Counter, int, int], output: Tensor) -> None:
        _, ctx.counter, ctx.each, ctx.n_shifts = inputs

    @staticmethod
    def backward(ctx: Context, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Counted.apply(gradient, ctx.counter, ctx.each * ctx.n_shifts, ctx.n_shifts), None, None, None

    @staticmethod
    def jvp(ctx: Context, tangent: Tensor, *_: None) -> Tensor:
        return _Counted.apply(tangent, ctx.counter, ctx.each * ctx.n_shifts, ctx.n_shifts)

    @staticmethod
    def vmap(
        info: VmapInfo, in_dims: tuple[int | None, ...], values: Tensor, counter: Counter, each: int, n_shifts: int
    ) -> tuple[Tensor, int | None]:
        axis = in_dims[0]
        rows = values if axis is None else values.movedim(axis, 0)
        return _Counted.apply(rows, counter, each, n_shifts), None if axis is None else 0
