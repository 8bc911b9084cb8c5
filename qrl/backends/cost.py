"""Number of circuits a device would run, counted identically for every executor, for values and gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from qrl.circuits.circuit import Circuit
from qrl.circuits.gates import GATES, Gate
from qrl.common.autograd import Context, Rule, VmapInfo, is_plain


@dataclass
class Counter:
    """Circuits run so far [circuits]; with finite shots each circuit is run once per shot."""

    circuits: int = 0

    def add(self, values: Tensor, each: int) -> None:
        """Count `each` circuits for every row of values [..., observable]."""
        self.circuits += each * (values.numel() // values.shape[-1])

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend counting: the circuits run here only probe memory or shapes."""
        before = self.circuits
        try:
            yield
        finally:
            self.circuits = before


def shifts(circuit: Circuit) -> int:
    """Return the number of circuits of one gradient by the parameter-shift rule.

    Each rotation whose angle is a weight or an input takes two circuits, a controlled rotation four (Schuld et al.
    2019; Anselmetti et al. 2021).
    """
    return sum(n_terms(gate) for gate in circuit.gates if gate.is_parametric)


def n_terms(gate: Gate) -> int:
    """Return the number of terms in the parameter-shift rule of a rotation."""
    return 4 if GATES[gate.name].controlled else 2


def counted(values: Tensor, counter: Counter, n_bases: int, n_shifts: int) -> Tensor:
    """Return the values [..., batch, observable] and count their circuits.

    The count is `n_bases` circuits per sample now, and `n_shifts` times as many for each derivative of any order.
    """
    if is_plain():
        counter.add(values, n_bases)
        return values
    return _Counted.apply(values, counter, n_bases, n_shifts)


class _Counted(Rule):
    """Identity that counts the rows passing forwards and backwards."""

    @staticmethod
    def forward(values: Tensor, counter: Counter, each: int, n_shifts: int) -> Tensor:
        counter.add(values, each)
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
