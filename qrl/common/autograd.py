"""Types and helpers for rules of `torch.autograd.Function`."""

import inspect
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor
from torch.autograd import Function

Rule = TypeVar("Rule", bound=type[Function])

Context = Any
"""Context object of a rule, on which the rule stores anything; torch annotates it as Any."""


@runtime_checkable
class VmapInfo(Protocol):
    """Information about a call under `torch.func.vmap`."""

    batch_size: int


def with_signature(rule: Rule) -> Rule:
    """Store the signature of a rule's `forward` with it; a class decorator.

    Torch looks the signature up in every call of a rule with `setup_context`; to find it takes longer than to multiply
    two small matrices.
    """
    rule.forward.__signature__ = inspect.signature(rule.forward)  # type: ignore[attr-defined]
    return rule


def mapped_axis_first(info: VmapInfo, in_dims: Sequence[int | None], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Move the mapped axis of each tensor to the front; expand tensors without a mapped axis."""
    return [
        tensor.expand(info.batch_size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)
        for tensor, axis in zip(tensors, in_dims, strict=True)
    ]
