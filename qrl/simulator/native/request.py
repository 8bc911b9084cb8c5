"""A kernel of one circuit and output, and which of its derivatives are wanted."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from qrl.simulator.native.encoding import EncodedCircuit
from qrl.simulator.native.library import Library


@dataclass(frozen=True)
class Kernel:
    """Kernel of a circuit with one output, which the rules differentiate."""

    library: Library
    circuit: EncodedCircuit
    reference: Callable[..., Tensor]
    """`reference(weights, scales, inputs, initial)`: the same output in differentiable operations of torch."""


@dataclass(frozen=True)
class Request:
    """Results that are wanted of a derivative: one argument of a rule, not a pytree."""

    kernel: Kernel
    gradients: tuple[bool, ...] = (False, False, False, False)
    """Gradients by weights, scales, inputs and initial state."""
    output: bool = False
    """The output's derivative along the tangents."""

    @property
    def any_gradient(self) -> bool:
        """Whether any gradient is wanted."""
        return any(self.gradients)
