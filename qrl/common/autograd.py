"""Types and helpers for rules of `torch.autograd.Function`."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

Context = Any
"""Context object of a rule, on which the rule stores anything; torch annotates it as Any."""


@runtime_checkable
class VmapInfo(Protocol):
    """Information about a call under `torch.func.vmap`."""

    batch_size: int


def mapped_axis_first(info: VmapInfo, in_dims: Sequence[int | None], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Move the mapped axis of each tensor to the front; expand tensors without a mapped axis."""
    return [
        tensor.expand(info.batch_size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)
        for tensor, axis in zip(tensors, in_dims, strict=True)
    ]
