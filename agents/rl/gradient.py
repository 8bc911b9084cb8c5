"""Gradients and values of an objective that is a sum over chunks of data, one chunk's graph at a time."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.func import vmap

from agents.core.shard import WHOLE, Shard
from agents.rl.batch import select_tasks

Terms = dict[str, Tensor]
"""Sums over valid steps: `objective`, which is maximised, and further terms, which are only logged."""

Chunk = TypeVar("Chunk")


def chunked_gradient(
    terms: Callable[[Chunk], Terms],
    leaves: Sequence[Tensor],
    chunks: Iterable[Chunk],
    scale: float,
    shard: Shard = WHOLE,
) -> tuple[list[Tensor], dict[str, float]]:
    """Return the gradient of `scale` times the objective's sum, and the metrics of `chunked_terms`.

    Args:
        terms: computes the terms of one chunk.
        leaves: tensors with respect to which the objective is differentiated.
        chunks: parts of the data of this shard.
        scale: one over the number of valid steps of all shards, so that sums become means.
        shard: the shard, if there are several.
    """
    total = [torch.zeros_like(leaf) for leaf in leaves]
    means: dict[str, float] = {}
    for chunk in chunks:
        scaled = {name: scale * value for name, value in terms(chunk).items()}
        gradients = torch.autograd.grad(scaled["objective"], leaves, allow_unused=True)
        total = [t if g is None else t + g for t, g in zip(total, gradients, strict=True)]
        means = {name: means.get(name, 0.0) + float(value.detach()) for name, value in scaled.items()}
    *total, named = shard.sum([*total, torch.tensor([*means.values()], dtype=torch.float64)])
    return total, _metrics(dict(zip(means, named.tolist(), strict=True)))


@torch.no_grad()
def chunked_terms(
    terms: Callable[[Chunk], Terms], chunks: Iterable[Chunk], scale: float, shard: Shard = WHOLE
) -> dict[str, float]:
    """Return the metrics: `loss`, the objective's negative, and the means of the other terms; over all shards."""
    means: dict[str, float] = {}
    for chunk in chunks:
        means = {name: means.get(name, 0.0) + scale * float(value) for name, value in terms(chunk).items()}
    return _metrics(dict(zip(means, shard.totals([*means.values()]), strict=True)))


def task_terms(objective: Callable[..., Terms], params: object, data: tuple[object, ...], tasks: slice) -> Terms:
    """Return the sums over a slice of tasks of `objective(params, *data)`, which is that of one task.

    Args:
        objective: computes the terms of one task.
        params: pytree of parameters, common to all tasks.
        data: pytrees of tensors [task, ...].
        tasks: slice of the task axis.
    """
    in_dims = (None, *(0 for _ in data))
    each: Terms = vmap(objective, in_dims=in_dims)(params, *select_tasks(data, tasks))
    return {name: value.sum() for name, value in each.items()}


def per_step(valid: Tensor, shard: Shard = WHOLE) -> float:
    """Return one over the number of valid steps of all shards."""
    return 1 / shard.total(float(valid.sum()))


def _metrics(means: dict[str, float]) -> dict[str, float]:
    return {"loss": -means["objective"], **{name: value for name, value in means.items() if name != "objective"}}
