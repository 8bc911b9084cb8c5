"""Ranges: the distribution of one task parameter, written as an inverse cumulative distribution function.

A task is a row of independent uniforms in [0, 1), one per parameter, and a range maps its column of them to values. So
what a seed stands for does not depend on the kinds of ranges, and a range that is changed moves no other parameter.
A new kind of range is one frozen dataclass with `ppf`, `contains` and `describe`.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
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


class Range(ABC):
    """The distribution of one task parameter."""

    @abstractmethod
    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Inverse cumulative distribution function: probabilities `u` in [0, 1) to values, element by element."""

    @abstractmethod
    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which `values` lie in the support (its boundary included)."""

    @abstractmethod
    def describe(self) -> str:
        """The range in the notation of the datasheets, such as `U[5, 15]`."""


@dataclass(frozen=True)
class _Interval(Range):
    """What the ranges between two ends share: `low < high`, both finite."""

    low: float | int  # beartype, unlike mypy, does not take an int for a float; a float is what is kept
    high: float | int

    def __post_init__(self) -> None:
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

    def describe(self) -> str:
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

    def describe(self) -> str:
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

    def describe(self) -> str:
        return f"±U[{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class Choice(Range):
    """One of a few distinct numbers, all equally likely."""

    values: tuple[float | int, ...]

    def __post_init__(self) -> None:
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

    def describe(self) -> str:
        return "{" + ", ".join(f"{value:g}" for value in self.values) + "}"
