"""Ranges: the distribution of one task parameter, written as an inverse cumulative distribution function.

A task is a row of independent uniforms in [0, 1), one per number, and a range maps its own of them to values. So what
a seed stands for does not depend on the kinds of ranges, and a range that is changed moves no other parameter. A
parameter is a number, or an array of them if its range has a `shape`.
A new kind of range is one frozen dataclass with `ppf`, `contains` and `describe`.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qrl.errors import UsageError


def finite_number(value: Any, what: str) -> float:
    """`value` as a float, or a UsageError that names `what`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UsageError(f"{what} must be a number, not {value!r}") from None
    if not math.isfinite(number):
        raise UsageError(f"{what} must be finite, not {value!r}")
    return number


def finite_array(value: Any, what: str, shape: tuple[int, ...] = ()) -> NDArray[np.float64]:
    """`value` as an array [*shape]; a number stands for all of them. Raises UsageError that names `what`."""
    if not shape:
        return np.asarray(finite_number(value, what))
    try:
        array = np.broadcast_to(np.asarray(value, dtype=np.float64), shape)
    except (TypeError, ValueError):
        raise UsageError(f"{what} must be numbers of shape {shape}, not {value!r}") from None
    if not np.isfinite(array).all():
        raise UsageError(f"{what} must be finite, not {value!r}")
    return array


@dataclass(frozen=True)
class Range(ABC):
    """The distribution of one task parameter, of an array of this shape; () is a number.

    Raises:
        UsageError: a size below 1.
    """

    shape: tuple[int, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if any(size < 1 for size in self.shape):
            raise UsageError(f"{type(self).__name__}: sizes must be at least 1, not shape={self.shape}")

    @abstractmethod
    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Inverse cumulative distribution function: independent uniforms [..., *shape] in [0, 1) to values."""

    @abstractmethod
    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which `values` lie in the support (its boundary included), element by element."""

    def describe(self) -> str:
        """The range in the notation of the datasheets, such as `U[5, 15]` or `10 × 5 × N(1, 1)`."""
        return " × ".join([*map(str, self.shape), self._describe_one()])

    @abstractmethod
    def _describe_one(self) -> str:
        """The same without the shape."""


@dataclass(frozen=True)
class _Interval(Range):
    """What the ranges between two ends share: `low < high`, both finite."""

    low: float | int  # beartype, unlike mypy, does not take an int for a float; a float is what is kept
    high: float | int

    def __post_init__(self) -> None:
        super().__post_init__()
        for end in ("low", "high"):
            object.__setattr__(self, end, finite_number(getattr(self, end), f"{type(self).__name__}: {end}"))
        if not self.low < self.high:
            raise UsageError(f"{type(self).__name__}: low must be below high, not low={self.low}, high={self.high}")

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray((values >= self.low) & (values <= self.high))


@dataclass(frozen=True)
class Uniform(_Interval):
    """Uniform on [low, high)."""

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.low + (self.high - self.low) * u

    def _describe_one(self) -> str:
        return f"U[{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class LogUniform(_Interval):
    """A value whose logarithm is uniform: low · (high / low)^u, with 0 < low."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise UsageError(f"LogUniform: low must be above 0, not {self.low}")

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        values = self.low * (self.high / self.low) ** u
        return np.minimum(values, self.high)  # the last bit may fall outside the support

    def _describe_one(self) -> str:
        return f"logU[{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class SignedUniform(_Interval):
    """A fair random sign times U[low, high), with 0 <= low: the support is [-high, -low] and [low, high]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low < 0:
            raise UsageError(f"SignedUniform: low is a magnitude and must not be negative, not {self.low}")

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        width = self.high - self.low
        return np.where(u < 0.5, -self.high + width * 2.0 * u, self.low + width * (2.0 * u - 1.0))

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return super().contains(np.abs(values))

    def _describe_one(self) -> str:
        return f"±U[{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class Choice(Range):
    """One of a few distinct numbers, all equally likely."""

    values: tuple[float | int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        values = tuple(finite_number(value, "Choice: a value") for value in self.values)
        if not values or len(set(values)) != len(values):
            raise UsageError(f"Choice: needs one or more distinct values, not {self.values!r}")
        object.__setattr__(self, "values", tuple(sorted(values)))  # sorted: an inverse CDF does not decrease

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        # u·k may round up to k for the largest u below 1.
        index = np.minimum((u * len(self.values)).astype(np.int64), len(self.values) - 1)
        values: NDArray[np.float64] = np.asarray(self.values, dtype=np.float64)[index]
        return values

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.isin(values, self.values)

    def _describe_one(self) -> str:
        return "{" + ", ".join(f"{value:g}" for value in self.values) + "}"


@dataclass(frozen=True)
class Normal(Range):
    """Normal with this mean and standard deviation (0 < std)."""

    mean: float | int
    std: float | int

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mean", "std"):
            object.__setattr__(self, name, finite_number(getattr(self, name), f"Normal: {name}"))
        if self.std <= 0:
            raise UsageError(f"Normal: std must be above 0, not {self.std}")

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        # 0 is a uniform that may be drawn, and has no finite quantile.
        standard = torch.special.ndtri(torch.from_numpy(np.maximum(u, np.finfo(np.float64).tiny)))
        values: NDArray[np.float64] = self.mean + self.std * standard.numpy()
        return values

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.isfinite(values)

    def _describe_one(self) -> str:
        return f"N({self.mean:g}, {self.std:g})"


@dataclass(frozen=True)
class Dirichlet(Range):
    """Probabilities along the last axis of `shape`, uniform over all there are: Dirichlet(1, ..., 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.shape:
            raise UsageError("Dirichlet: needs a shape, as one number alone is no distribution")

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        # Exponential variables over their sum. All zero, they would have no direction.
        exponential = np.maximum(-np.log1p(-u), np.finfo(np.float64).tiny)
        values: NDArray[np.float64] = exponential / exponential.sum(-1, keepdims=True)
        return values

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        whole = np.isclose(values.sum(-1, keepdims=True), 1.0)
        return np.asarray((values >= 0) & (values <= 1) & whole)

    def _describe_one(self) -> str:
        return "Dirichlet(1)"
