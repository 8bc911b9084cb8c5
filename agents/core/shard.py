"""Shards: equal parts of the tasks of a training, whose partial results are combined in the order of the shards.

Each shard trains a replica of the learner on tasks of its own, with random streams of its own. Whatever depends on all
tasks, such as a gradient or a standard deviation, is gathered from all shards and then combined in every one of them,
in the same order; so the replicas stay equal, bit by bit. The number of shards is part of the arithmetic; where they
run, in one process or in many, is not.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from qrl.common.errors import UsageError


@runtime_checkable
class Exchange(Protocol):
    """Exchange of numbers between all shards of a training, which call it in the same order."""

    def gather(self, index: int, values: Tensor) -> list[Tensor]:
        """Return the values [n] that every shard passed, in the order of the shards; n is the same for all."""


@dataclass(frozen=True)
class Shard:
    """One part of a training: `index` of `count`."""

    index: int = 0
    count: int = 1
    exchange: Exchange | None = None
    """Exchange with the other shards; None if there are none."""

    def gather(self, values: Tensor) -> list[Tensor]:
        """Return a tensor of every shard, in the order of the shards; all have the same shape and type."""
        if self.exchange is None:
            return [values]
        gathered = self.exchange.gather(self.index, values.detach().double().flatten())
        return [each.to(values.dtype).reshape(values.shape) for each in gathered]

    def sum(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the sums of several tensors over the shards, added in the order of the shards."""
        if self.exchange is None or not values:
            return list(values)
        # One exchange, in double precision: to exchange costs more than to add.
        joined = torch.cat([value.detach().double().flatten() for value in values])
        total = functools.reduce(torch.add, self.exchange.gather(self.index, joined))
        parts = total.split([value.numel() for value in values])
        return [part.reshape(value.shape).to(value.dtype) for part, value in zip(parts, values, strict=True)]

    def totals(self, numbers: Sequence[float]) -> list[float]:
        """Return the sums of several numbers over the shards."""
        if self.exchange is None:
            return list(numbers)
        (total,) = self.sum([torch.tensor(numbers, dtype=torch.float64)])
        return total.tolist()

    def total(self, number: float) -> float:
        """Return the sum of a number over the shards."""
        return self.totals([number])[0]

    def mean(self, number: float) -> float:
        """Return the mean of a number over the shards."""
        return self.total(number) / self.count

    def largest(self, values: Tensor) -> Tensor:
        """Return the largest of each entry over the shards."""
        return functools.reduce(torch.maximum, self.gather(values))

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any shard."""
        return self.total(float(flag)) > 0

    def part(self, n_tasks: int, name: str) -> int:
        """Return the number of tasks of each shard. Raises UsageError, with this name, unless it is a whole number."""
        if n_tasks % self.count:
            raise UsageError(f"{name} must be a multiple of the number of shards, {self.count}, not {n_tasks}")
        return n_tasks // self.count


WHOLE = Shard()
"""The only shard of a training that is not split."""


@runtime_checkable
class Sharded(Protocol):
    """Learner that can train as one of several shards."""

    shard: Shard


class Moments(NamedTuple):
    """Number, mean, variance and standard deviation of values, as tensors without axes."""

    n: Tensor
    mean: Tensor
    variance: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, values: Tensor, shard: Shard = WHOLE) -> "Moments":
        """Return the moments of the values [n] of all shards (Chan et al. 1979)."""
        n = torch.tensor(float(len(values)), dtype=torch.float64, device=values.device)
        own = (n, values.mean(), values.var(correction=0), values.std(correction=0))
        # One exchange, in double precision: to exchange costs more than to convert, which is exact.
        gathered = shard.gather(torch.stack([value.double() for value in own]))
        parts = (cls(*(part.to(value.dtype) for part, value in zip(each, own, strict=True))) for each in gathered)
        return functools.reduce(cls.merged, parts)

    def merged(self, other: "Moments") -> "Moments":
        """Return the moments of the values of both."""
        n = self.n + other.n
        ours, theirs = self.n / n, other.n / n
        delta = other.mean - self.mean
        variance = ours * self.variance + theirs * other.variance + ours * theirs * delta.square()
        return Moments(n, self.mean + theirs * delta, variance, variance.sqrt())
