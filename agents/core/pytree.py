"""Frozen dataclasses of tensors as pytrees, so that they pass through `torch.func.vmap` and `grad`."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

T = TypeVar("T")


def register_pytree(cls: type[T]) -> type[T]:
    """Register a dataclass with torch's pytrees, without the fields that are None.

    The function `register_dataclass` of torch would make leaves of these fields, which `vmap` refuses.
    """
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]

    def flatten(value: T) -> tuple[list[object], tuple[str, ...]]:
        present = tuple(name for name in names if getattr(value, name) is not None)
        return [getattr(value, name) for name in present], present

    def unflatten(children: Iterable[object], present: tuple[str, ...]) -> T:
        value = object.__new__(cls)  # without `__init__`: children may have any type, such as the axes given to vmap
        for name, child in zip(present, children, strict=True):
            object.__setattr__(value, name, child)
        return value

    pytree.register_pytree_node(cls, flatten, unflatten)
    return cls


def map_tensors(function: Callable[[Tensor], Tensor], tree: T) -> T:
    """Apply a function to every tensor of a tree; keep other leaves, such as a fixed step size."""
    mapped: T = pytree.tree_map_only(Tensor, function, tree)
    return mapped


def leaves(tree: object) -> list[Tensor]:
    """Return the tensors of a tree in the order of its leaves, without other leaves, such as a fixed step size."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def flatten(tree: object) -> Tensor:
    """Concatenate the tensors of a tree into one vector."""
    return torch.cat([leaf.flatten() for leaf in leaves(tree)])


def unflatten(vector: Tensor, like: T) -> T:
    """Split a vector into a tree with the structure of `like`: the inverse of `flatten`."""
    everything, structure = pytree.tree_flatten(like)
    parts = iter(vector.split([leaf.numel() for leaf in leaves(like)]))
    filled = [next(parts).reshape(leaf.shape) if isinstance(leaf, Tensor) else leaf for leaf in everything]
    tree: T = pytree.tree_unflatten(filled, structure)
    return tree
