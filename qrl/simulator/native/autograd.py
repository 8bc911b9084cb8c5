"""Rules of autograd for the kernel: the output, its gradient, and the derivative of both along a tangent.

Each rule is a `torch.autograd.Function` whose derivatives are the next one, under `torch.func` transforms as well. The
third derivatives are those of the fused executor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qrl.common.autograd import Context, Rule, VmapInfo, is_plain
from qrl.simulator.native.calls import N_TAIL_AXES, Arguments, Call
from qrl.simulator.native.encoding import EncodedCircuit
from qrl.simulator.native.library import Library

OF_CALL = tuple(N_TAIL_AXES.values())
"""Axes of the tensors of a call after the leading ones: arguments, tangents, cotangent and its tangent."""
OF_ARGUMENTS, OF_GRADIENT = OF_CALL[:4], (*OF_CALL[:4], N_TAIL_AXES["cotangent"], 1)
"""The same for the arguments, and for arguments, cotangent and final state."""

Optional = Tensor | None
Axes = tuple[int | None, ...]


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
    gradients: tuple[bool, bool, bool, bool]
    """Gradients by weights, scales, inputs and initial state."""
    output: bool = False
    """The output's derivative along the tangents."""

    @property
    def any_gradient(self) -> bool:
        return any(self.gradients)


def evaluate(kernel: Kernel, weights: Tensor, scales: Tensor, inputs: Tensor, initial: Optional) -> Tensor:
    """Return the output [..., batch, column] of the kernel, differentiable."""
    arguments = Arguments(weights, scales, inputs, initial)
    if is_plain():  # as in a rollout, where a rule would take longer than the kernel
        return Call(kernel.library, kernel.circuit, arguments).forward(keep=False)[0]
    # The rule cannot see whether anybody will ask for its gradient.
    return Output.apply(kernel, torch.is_grad_enabled(), *arguments)[0]


class Output(Rule):
    """Output of a circuit and, for the gradient, its final states."""

    @staticmethod
    def forward(
        kernel: Kernel, keep: bool, weights: Tensor, scales: Tensor, inputs: Tensor, initial: Optional
    ) -> tuple[Tensor, Tensor]:
        return Call(kernel.library, kernel.circuit, Arguments(weights, scales, inputs, initial)).forward(keep=keep)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[object, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.kernel, _, *arguments = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*arguments, output[1])
        ctx.save_for_forward(*arguments, output[1])

    @staticmethod
    def backward(ctx: Context, cotangent: Optional, _: Optional) -> tuple[Optional, ...]:
        *arguments, final_state = ctx.saved_tensors
        wanted = tuple(ctx.needs_input_grad[2:])
        if cotangent is None:
            return (None,) * 6
        gradient = Gradient.forward if is_plain() else Gradient.apply
        gradients = gradient(Request(ctx.kernel, wanted), *arguments, cotangent, final_state)
        return None, None, *_reduced(gradients, wanted, arguments)

    @staticmethod
    def jvp(ctx: Context, _kernel: None, _keep: None, *tangents: Optional) -> tuple[Tensor, None]:
        *arguments, _ = ctx.saved_tensors
        (tangent,) = Second.apply(Request(ctx.kernel, (False,) * 4, output=True), *arguments, *tangents, None, None)
        return tangent, None

    @staticmethod
    def vmap(
        info: VmapInfo, in_dims: Axes, kernel: Kernel, keep: bool, *arguments: Optional
    ) -> tuple[tuple[Tensor, Tensor], int]:
        return Output.apply(kernel, keep, *_leading(info, in_dims[2:], arguments, OF_ARGUMENTS)), 0


class Gradient(Rule):
    """Gradients of the output, weighted by a cotangent, by the wanted arguments; circuits are not summed."""

    @staticmethod
    def forward(request: Request, *tensors: Optional) -> tuple[Tensor, ...]:
        *arguments, cotangent, final_state = tensors
        kernel = request.kernel
        assert final_state is not None
        call = Call(kernel.library, kernel.circuit, Arguments(*arguments), cotangent=cotangent)
        return tuple(call.gradient(final_state, request.gradients))

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[object, ...], output: tuple[Tensor, ...]) -> None:
        ctx.request, *saved = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*saved)

    @staticmethod
    def backward(ctx: Context, *cotangents: Optional) -> tuple[Optional, ...]:
        *arguments, cotangent, _ = ctx.saved_tensors
        by_argument, by_cotangent = tuple(ctx.needs_input_grad[1:5]), ctx.needs_input_grad[5]
        if all(each is None for each in cotangents):
            return (None,) * 7
        tangents = _spread(cotangents, ctx.request.gradients)
        request = Request(ctx.request.kernel, by_argument, output=by_cotangent)
        second = Second.forward if is_plain() else Second.apply
        results = list(second(request, *arguments, *tangents, cotangent, None))
        first = results.pop(0) if by_cotangent else None
        reduced = _reduced(results, by_argument, arguments)
        return None, *reduced, None if first is None else _sum_to(first, cotangent.shape), None

    @staticmethod
    def jvp(ctx: Context, _request: None, *tangents: Optional) -> tuple[Tensor, ...]:
        *arguments, cotangent, _ = ctx.saved_tensors
        # Nothing but a rule: torch does not differentiate operations inside a jvp again (pinned by a test).
        return Second.apply(ctx.request, *arguments, *tangents[:4], cotangent, tangents[4])

    @staticmethod
    def vmap(info: VmapInfo, in_dims: Axes, request: Request, *tensors: Optional) -> tuple[tuple[Tensor, ...], int]:
        return Gradient.apply(request, *_leading(info, in_dims[1:], tensors, OF_GRADIENT)), 0


class Second(Rule):
    """Derivative along tangents of the arguments: of the output, if wanted, and of `Gradient`."""

    @staticmethod
    def forward(request: Request, *tensors: Optional) -> tuple[Tensor, ...]:
        kernel, cotangents = request.kernel, tensors[8:] if request.any_gradient else (None, None)
        call = Call(kernel.library, kernel.circuit, Arguments(*tensors[:4]), Arguments(*tensors[4:8]), *cotangents)
        return tuple(call.second(result=request.output, wanted=request.gradients))

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[object, ...], output: tuple[Tensor, ...]) -> None:
        ctx.request, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Context, *cotangents: Tensor) -> tuple[Optional, ...]:
        present, function = _reference_of(ctx)
        pull_back = torch.func.vjp(function, *present.values())[1]
        gradients = dict(zip(present, pull_back(cotangents), strict=True))
        return None, *(gradients.get(k) for k in range(len(ctx.saved_tensors)))

    @staticmethod
    def jvp(ctx: Context, _: None, *tangents: Optional) -> tuple[Tensor, ...]:
        present, function = _reference_of(ctx)
        filled = (torch.zeros_like(v) if (t := tangents[k]) is None else t for k, v in present.items())
        return torch.func.jvp(function, tuple(present.values()), tuple(filled))[1]

    @staticmethod
    def vmap(info: VmapInfo, in_dims: Axes, request: Request, *tensors: Optional) -> tuple[tuple[Tensor, ...], int]:
        return Second.apply(request, *_leading(info, in_dims[1:], tensors, OF_CALL)), 0


def _reference_of(ctx: Context) -> tuple[dict[int, Tensor], Callable[..., tuple[Tensor, ...]]]:
    """Return the tensors of `Second` by position, and its results as a function of them in operations of torch."""
    request: Request = ctx.request
    tensors: tuple[Optional, ...] = ctx.saved_tensors
    present = {k: tensor for k, tensor in enumerate(tensors) if tensor is not None}
    leads = [t.shape[: -OF_CALL[k]] for k, t in present.items()]
    lead = torch.broadcast_shapes(*leads)

    def function(*values: Tensor) -> tuple[Tensor, ...]:
        # `Gradient` keeps circuits apart, so every circuit has its own parameters.
        given = {k: v.expand(*lead, *v.shape[-OF_CALL[k] :]) for k, v in zip(present, values, strict=True)}
        positions = [k for k in range(4) if k in given]
        arguments = [given[k] for k in positions]
        tangents = [given.get(4 + k, torch.zeros_like(given[k])) for k in positions]

        def output(*arguments: Tensor) -> Tensor:
            named = dict(zip(positions, arguments, strict=True))
            return request.kernel.reference(*(named.get(k) for k in range(4)))

        def gradients(cotangent: Tensor, *arguments: Tensor) -> tuple[Tensor, ...]:
            return torch.func.vjp(output, *arguments)[1](cotangent)

        results = [torch.func.jvp(output, tuple(arguments), tuple(tangents))[1]] if request.output else []
        if request.any_gradient:
            cotangent = given[8]
            primals = (cotangent, *arguments)
            by_position = torch.func.jvp(gradients, primals, (given.get(9, torch.zeros_like(cotangent)), *tangents))[1]
            gradient_of = dict(zip(positions, by_position, strict=True))
            results += [gradient_of[k] for k in range(4) if request.gradients[k]]
        return tuple(results)

    return present, function


def _spread(values: Sequence[Optional], wanted: Sequence[bool]) -> list[Optional]:
    """Return one entry per argument from one entry per wanted argument."""
    rest = iter(values)
    return [next(rest) if want else None for want in wanted]


def _reduced(gradients: Sequence[Tensor], wanted: Sequence[bool], arguments: Sequence[Optional]) -> list[Optional]:
    """Sum gradients over the leading axes that their arguments do not have; one entry per argument."""
    return [
        None if gradient is None or argument is None else _sum_to(gradient, argument.shape)
        for gradient, argument in zip(_spread(gradients, wanted), arguments, strict=True)
    ]


def _sum_to(gradient: Tensor, shape: torch.Size) -> Tensor:
    return gradient if gradient.shape == shape else gradient.sum_to_size(shape)


def _leading(info: VmapInfo, in_dims: Axes, tensors: Sequence[Optional], n_tail: Sequence[int]) -> list[Optional]:
    """Make the mapped axis the first of the leading axes; those of all tensors then broadcast."""
    n_lead = max(
        tensor.ndim - (axis is not None) - tail
        for tensor, axis, tail in zip(tensors, in_dims, n_tail, strict=True)
        if tensor is not None
    )

    def moved(tensor: Optional, axis: int | None, tail: int) -> Optional:
        if tensor is None or axis is None:
            return tensor
        first = tensor.movedim(axis, 0)
        return first.reshape(info.batch_size, *(1,) * (n_lead + tail + 1 - first.ndim), *first.shape[1:])

    return [moved(*each) for each in zip(tensors, in_dims, n_tail, strict=True)]
