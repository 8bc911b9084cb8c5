"""Results of the kernel's rules in operations of torch, by the fused executor: where the rules themselves end.

Each function takes the tensors of its rule; those that are None are not differentiated.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from qrl.simulator.native.calls import N_TAIL_AXES
from qrl.simulator.native.request import Request

Optional = Tensor | None
Function = Callable[..., tuple[Tensor, ...]]

N_ARGUMENTS = 4
_N_TAIL = tuple(N_TAIL_AXES.values())


def output(request: Request, *arguments: Optional) -> tuple[Tensor, ...]:
    """Return the output for weights, scales, inputs and initial state."""
    return (request.kernel.reference(*_expanded(arguments, _N_TAIL[:N_ARGUMENTS])),)


def gradient(request: Request, *tensors: Optional) -> tuple[Tensor, ...]:
    """Return the wanted gradients for the arguments and the output's cotangent; circuits are not summed."""
    *arguments, cotangent = _expanded(tensors, (*_N_TAIL[:N_ARGUMENTS], N_TAIL_AXES["cotangent"]))
    assert cotangent is not None
    gradients = pull_back(partial(output, request), arguments, (cotangent,))
    return tuple(each for each, want in zip(gradients, request.gradients, strict=True) if want and each is not None)


def second(request: Request, *tensors: Optional) -> tuple[Tensor, ...]:
    """Return the wanted derivatives along tangents, for arguments, tangents, cotangent and the tangent of that."""
    *both, cotangent, cotangent_tangent = _expanded(tensors, _N_TAIL)
    arguments, tangents = both[:N_ARGUMENTS], both[N_ARGUMENTS:]
    results: tuple[Tensor, ...] = ()
    if request.output:
        results = push_forward(partial(output, request), arguments, tangents)
    if request.any_gradient:
        moved = push_forward(partial(gradient, request), [*arguments, cotangent], [*tangents, cotangent_tangent])
        results = (*results, *moved)
    return results


def pull_back(function: Function, tensors: Sequence[Optional], cotangents: tuple[Tensor, ...]) -> tuple[Optional, ...]:
    """Return the gradient by each tensor of a function's results, weighted by cotangents."""
    present, of_present = _of_present(function, tensors)
    gradients = iter(torch.func.vjp(of_present, *present)[1](cotangents))
    return tuple(None if tensor is None else next(gradients) for tensor in tensors)


def push_forward(function: Function, tensors: Sequence[Optional], tangents: Sequence[Optional]) -> tuple[Tensor, ...]:
    """Return the derivative of a function's results along tangents; a missing tangent is 0."""
    present, of_present = _of_present(function, tensors)
    given = ((tensor, tangent) for tensor, tangent in zip(tensors, tangents, strict=True) if tensor is not None)
    filled = (torch.zeros_like(tensor) if tangent is None else tangent for tensor, tangent in given)
    # Forward mode does not take tensors that are expanded.
    primals, along = (tuple(each.contiguous() for each in tensors) for tensors in (present, filled))
    return torch.func.jvp(of_present, primals, along)[1]


def _of_present(function: Function, tensors: Sequence[Optional]) -> tuple[tuple[Tensor, ...], Function]:
    """Return the tensors that are not None, and the function of them."""
    present = tuple(tensor for tensor in tensors if tensor is not None)

    def of_present(*values: Tensor) -> tuple[Tensor, ...]:
        rest = iter(values)
        return function(*(None if tensor is None else next(rest) for tensor in tensors))

    return present, of_present


def _expanded(tensors: Sequence[Optional], n_tail: Sequence[int]) -> list[Optional]:
    """Expand the leading axes of all tensors, so that every circuit has its own."""
    given = [(tensor, tail) for tensor, tail in zip(tensors, n_tail, strict=True) if tensor is not None]
    lead = torch.broadcast_shapes(*(tensor.shape[:-tail] for tensor, tail in given))
    return [
        None if tensor is None else tensor.expand(*lead, *tensor.shape[-tail:])
        for tensor, tail in zip(tensors, n_tail, strict=True)
    ]
