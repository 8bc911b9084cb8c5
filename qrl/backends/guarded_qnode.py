"""A QNode whose second derivatives are right or refused."""

from typing import Any

import pennylane as qml
from torch import Tensor

from qrl.backends.row_function import no_second_derivatives
from qrl.common.autograd import Context, Rule


class GuardedQNode(qml.QNode):  # type: ignore[misc]
    """QNode that raises UsageError where a second derivative is asked for, unless its diff_method is backprop.

    By the other methods PennyLane leaves out the second derivatives of the circuit without an error.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.diff_method != "backprop":
            method = str(self.diff_method)
            args = tuple(_guarded(each, method) for each in args)
            kwargs = {name: _guarded(each, method) for name, each in kwargs.items()}
        return super().__call__(*args, **kwargs)

    def update(self, **kwargs: Any) -> "GuardedQNode":
        """Return a QNode with other settings; see `qml.QNode.update`."""
        return _as_guarded(super().update(**kwargs))

    def __copy__(self) -> "GuardedQNode":
        return _as_guarded(super().__copy__())


def _as_guarded(qnode: qml.QNode) -> GuardedQNode:
    """Return a copy by PennyLane, which is a plain QNode even of a subclass, as a guarded one."""
    qnode.__class__ = GuardedQNode
    return qnode


def _guarded(argument: object, method: str) -> object:
    """Return an argument whose derivatives cannot be differentiated, if it is a tensor."""
    return _OnceDifferentiable.apply(method, argument) if isinstance(argument, Tensor) else argument


class _OnceDifferentiable(Rule):
    """The identity, with a first derivative only."""

    generate_vmap_rule = True

    @staticmethod
    def forward(method: str, argument: Tensor) -> Tensor:
        return argument.view_as(argument)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[str, Tensor], output: Tensor) -> None:
        ctx.method, argument = inputs
        ctx.save_for_backward(argument)

    @staticmethod
    def backward(ctx: Context, gradient: Tensor) -> tuple[None, Tensor]:
        # The argument makes the gradient depend on it, which PennyLane's own may not do.
        return None, _NotDifferentiable.apply(ctx.method, gradient, *ctx.saved_tensors)


class _NotDifferentiable(Rule):
    """The first of two tensors; to differentiate it raises UsageError."""

    generate_vmap_rule = True

    @staticmethod
    def forward(method: str, gradient: Tensor, argument: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[str, Tensor, Tensor], output: Tensor) -> None:
        ctx.method = inputs[0]

    @staticmethod
    def backward(ctx: Context, *_: Tensor) -> tuple[None, Tensor, Tensor]:
        raise no_second_derivatives(ctx.method)
