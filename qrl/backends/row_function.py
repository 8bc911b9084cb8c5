"""Row-wise functions that are opaque to torch, such as a device call, with custom derivatives."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from qrl.common.autograd import Context, Rule, VmapInfo, mapped_axis_first
from qrl.common.errors import UsageError


def no_second_derivatives(method: str) -> UsageError:
    """Return the error for a second derivative by a differentiation method that has none."""
    return UsageError(
        f"backend: {method} provides no second derivatives, which are needed here: use backend torch or "
        "pennylane:default.qubit without shots (in to_pennylane, diff_method backprop), or a first-order agent "
        "(maml with estimator first-order, rl2)"
    )


class RowFunction(ABC):
    """Row-wise function: row i of each output [row, ...] depends only on row i of the inputs [row, ...].

    `order`: how many times the function can be differentiated. `method`: the differentiation method, for error
    messages.
    """

    def __init__(self, order: float, method: str) -> None:
        self.order, self.method = order, method

    @abstractmethod
    def __call__(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs, detached."""

    def derivative(self) -> "RowFunction":
        """Return the derivative, (inputs..., gradients of a scalar by the outputs...) -> gradients by the inputs.

        The derivative has one order less. Subclasses override this method if the order is not 0. Raises UsageError if
        it is.
        """
        raise no_second_derivatives(self.method)


class Differentiable(RowFunction):
    """Function that torch differentiates when called with ordinary tensors.

    Its derivatives are torch's: of every order, or of first order only where higher ones would be wrong.
    """

    def __init__(
        self,
        function: Callable[..., Sequence[Tensor]],
        n_inputs: int,
        n_outputs: int,
        order: float = math.inf,
        method: str = "autograd",
    ) -> None:
        super().__init__(order, method)
        self.function, self.n_inputs, self.n_outputs = function, n_inputs, n_outputs

    def __call__(self, *rows: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return tuple(self.function(*rows))

    def derivative(self) -> RowFunction:
        if self.order < 1:
            return super().derivative()

        def gradients(*arguments: Tensor) -> Sequence[Tensor]:
            with torch.enable_grad():
                inputs, by_output = arguments[: self.n_inputs], arguments[self.n_inputs :]
                inputs = tuple(x if x.requires_grad else x.detach().requires_grad_() for x in inputs)
                outputs = self.function(*inputs)
                create_graph = any(x.requires_grad for x in arguments)  # the gradient itself will be differentiated
                options = {"create_graph": create_graph, "allow_unused": True, "materialize_grads": True}
                return torch.autograd.grad(outputs, inputs, by_output, **options)  # type: ignore[arg-type]

        return Differentiable(gradients, self.n_inputs + self.n_outputs, self.n_inputs, self.order - 1, self.method)


class RowFunctionOp(Rule):
    """`RowFunctionOp.apply(function, *rows)`: a `RowFunction` for autograd, `torch.func.grad` and `vmap`."""

    @staticmethod
    def forward(function: RowFunction, *rows: Tensor) -> tuple[Tensor, ...]:
        return function(*(row.detach() for row in rows))

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[object, ...], output: tuple[Tensor, ...]) -> None:
        ctx.function, *rows = inputs
        ctx.save_for_backward(*rows)
        ctx.save_for_forward(*rows, *output)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *RowFunctionOp.apply(ctx.function.derivative(), *ctx.saved_tensors, *gradients)

    @staticmethod
    def jvp(ctx: Context, _: None, *tangents: Tensor | None) -> tuple[Tensor, ...]:
        """Differentiate the derivative by the weights of the outputs, in which it is linear."""
        n = len(tangents)
        rows, outputs = ctx.saved_tensors[:n], ctx.saved_tensors[n:]
        tangent_rows = [torch.zeros_like(row) if t is None else t for row, t in zip(rows, tangents, strict=True)]
        second = ctx.function.derivative().derivative()
        return tuple(RowFunctionOp.apply(second, *rows, *(torch.zeros_like(o) for o in outputs), *tangent_rows)[n:])

    @staticmethod
    def vmap(
        info: VmapInfo, in_dims: tuple[int | None, ...], function: RowFunction, *rows: Tensor
    ) -> tuple[tuple[Tensor, ...], int]:
        """Treat mapped rows as additional rows."""
        leading = mapped_axis_first(info, in_dims[1:], rows)
        outputs = RowFunctionOp.apply(function, *(row.flatten(0, 1) for row in leading))
        return tuple(output.unflatten(0, (info.batch_size, -1)) for output in outputs), 0
