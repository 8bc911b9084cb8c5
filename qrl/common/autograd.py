"""Types and helpers for rules of `torch.autograd.Function`."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

Context = Any
"""The context object of a rule, on which a rule keeps what it likes: torch annotates it so."""


@runtime_checkable
class VmapInfo(Protocol):
    """Information about a call under `torch.func.vmap`."""

    batch_size: int


def mapped_axis_first(info: VmapInfo, in_dims: Sequence[int | None], tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors with the mapped axis in front; those without one are expanded."""
    return [
        tensor.expand(info.batch_size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)
        for tensor, axis in zip(tensors, in_dims, strict=True)
    ]
