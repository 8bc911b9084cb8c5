"""Rules of autograd for the kernel: the output, its gradient, and the derivative of both along a tangent.

Each rule is a `torch.autograd.Function` whose derivatives are the next one, under `torch.func` transforms as well.
Third derivatives, and gradients that autograd's own engine maps, are those of the fused executor.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from qrl.common.autograd import Context, Rule, VmapInfo, is_mapped_by_engine, is_plain
from qrl.simulator.native import reference
from qrl.simulator.native.calls import N_TAIL_AXES, Arguments, Call
from qrl.simulator.native.request import Kernel, Request

OF_CALL = tuple(N_TAIL_AXES.values())
"""Axes of the tensors of a call after the leading ones: arguments, tangents, cotangent and its tangent."""
OF_ARGUMENTS, OF_GRADIENT = OF_CALL[:4], (*OF_CALL[:4], N_TAIL_AXES["cotangent"], 1)
"""The same for the arguments, and for arguments, cotangent and final state."""

Optional = Tensor | None
Axes = tuple[int | None, ...]


def evaluate(kernel: Kernel, weights: Tensor, scales: Tensor, inputs: Tensor, initial: Optional) -> Tensor:
    """Return the output [..., batch, column] of the kernel, differentiable."""
    arguments = Arguments(weights, scales, inputs, initial)
    if is_plain():  # as in a rollout, where a rule would take longer than the kernel
        return Call(kernel.library, kernel.circuit, arguments).values()
    # The rule cannot see whether anybody will ask for its gradient.
    return Output.apply(kernel, torch.is_grad_enabled(), *arguments)[0]


class Output(Rule):
    """Output of a circuit and, for the gradient, its final states."""

    @staticmethod
    def forward(
        kernel: Kernel, keep: bool, weights: Tensor, scales: Tensor, inputs: Tensor, initial: Optional
    ) -> tuple[Tensor, Tensor]:
        call = Call(kernel.library, kernel.circuit, Arguments(weights, scales, inputs, initial))
        return call.values_and_state() if keep else (call.values(), inputs.new_empty(*call.lead, 0))

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
        wanted = ctx.needs_input_grad[2:]
        if cotangent is None:
            return (None,) * 6
        request = Request(ctx.kernel, wanted)
        if _any_mapped_by_engine([cotangent]):
            return None, None, *reference.pull_back(partial(reference.output, request), arguments, (cotangent,))
        gradient = Gradient.forward if is_plain() else Gradient.apply
        return None, None, *_reduced(gradient(request, *arguments, cotangent, final_state), wanted, arguments)

    @staticmethod
    def jvp(ctx: Context, _kernel: None, _keep: None, *tangents: Optional) -> tuple[Tensor, None]:
        *arguments, _ = ctx.saved_tensors
        (tangent,) = Second.apply(Request(ctx.kernel, output=True), *arguments, *tangents, None, None)
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
        by_argument, by_cotangent = ctx.needs_input_grad[1:5], ctx.needs_input_grad[5]
        if all(each is None for each in cotangents):
            return (None,) * 7
        given = _spread(cotangents, ctx.request.gradients)
        if _any_mapped_by_engine(given):
            function = partial(reference.gradient, Request(ctx.request.kernel, tuple(t is not None for t in given)))
            present = tuple(each for each in cotangents if each is not None)
            return None, *reference.pull_back(function, [*arguments, cotangent], present), None
        request = Request(ctx.request.kernel, by_argument, output=by_cotangent)
        second = Second.forward if is_plain() else Second.apply
        results = list(second(request, *arguments, *given, cotangent, None))
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
        return None, *reference.pull_back(partial(reference.second, ctx.request), ctx.saved_tensors, cotangents)

    @staticmethod
    def jvp(ctx: Context, _: None, *tangents: Optional) -> tuple[Tensor, ...]:
        return reference.push_forward(partial(reference.second, ctx.request), ctx.saved_tensors, tangents)

    @staticmethod
    def vmap(info: VmapInfo, in_dims: Axes, request: Request, *tensors: Optional) -> tuple[tuple[Tensor, ...], int]:
        return Second.apply(request, *_leading(info, in_dims[1:], tensors, OF_CALL)), 0


def _any_mapped_by_engine(tensors: Sequence[Optional]) -> bool:
    return any(tensor is not None and is_mapped_by_engine(tensor) for tensor in tensors)


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
