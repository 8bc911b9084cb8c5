"""Ranges: the distribution of one task parameter, written as an inverse cumulative distribution function.

A task is a row of independent uniforms in [0, 1), one per number, and each range maps its own uniforms to values. The
uniforms of a seed therefore do not depend on the kinds of ranges, and changing one range changes no other parameter. A
parameter is a number, or an array of numbers if its range has a `shape`.
A new kind of range is one frozen dataclass with `ppf`, `contains` and `describe_one`, and `n_values` if it is finite.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from envs.core.arrays import finite_array
from qrl.common.checks import finite_number
from qrl.common.errors import UsageError, wrap_errors

LARGEST_INTEGER = 2**53
"""Largest end of a range of integers; the numbers of tasks are floats, which hold no larger integers exactly."""


@dataclass(frozen=True)
class Range(ABC):
    """Distribution of one task parameter, an array of this shape; () is a number.

    Raises:
        UsageError: a size below 1.
    """

    shape: tuple[int, ...] = field(default=(), kw_only=True)
    bounded: ClassVar[bool] = True
    """Whether the range excludes some values, so that another range may not overlap it."""

    def __post_init__(self) -> None:
        is_valid = isinstance(self.shape, tuple) and all(isinstance(size, int) for size in self.shape)
        if not is_valid or any(size < 1 for size in self.shape):
            what = "a tuple of whole numbers of at least 1"
            raise UsageError(f"{type(self).__name__}: shape must be {what}, not {self.shape!r}")

    @property
    def n_values(self) -> int | None:
        """Return the number of distinct values, or arrays of this shape; None if it is infinite or unknown."""
        return None

    @abstractmethod
    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Apply the inverse cumulative distribution function to independent uniforms [..., *shape] in [0, 1)."""

    @abstractmethod
    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which `values` lie in the support, including its boundary, element by element."""

    def overlaps(self, other: "Range") -> bool:
        """Return whether two ranges share values, except for touching ends; False if either is unbounded."""
        if not (self.bounded and other.bounded):
            return False
        # The grid omits 0.5, where the two signs meet.
        drawn = np.random.default_rng(0).random((200, *self.shape)) if self.shape else np.linspace(0.001, 0.999, 1000)
        pairs = ((self, other), (other, self))
        found = [np.atleast_1d(b.contains(a.ppf(drawn))).reshape(len(drawn), -1).all(1) for a, b in pairs]
        return bool(np.any(found))

    def describe(self) -> str:
        """Return the range in the notation of the datasheets, such as `U[5, 15]` or `10 × 5 × N(1, 1)`."""
        return " × ".join([*map(str, self.shape), self.describe_one()])

    def describe_value(self, value: object) -> str:
        """Describe a value; an array of equal entries becomes one number, other arrays "an array"."""
        numbers = sorted(set(np.ravel(np.asarray(value)).tolist()))
        return f"{numbers[0]:g}" if len(numbers) == 1 else "an array"

    @abstractmethod
    def describe_one(self) -> str:
        """Return the range of one entry in the notation of the datasheets, without the shape."""


@dataclass(frozen=True)
class _Interval(Range):
    """Base class of the ranges between two ends: `low < high`, both finite."""

    low: float | int  # beartype, unlike mypy, does not accept an int for a float; stored as a float
    high: float | int

    def __post_init__(self) -> None:
        super().__post_init__()
        for end in ("low", "high"):
            object.__setattr__(self, end, finite_number(f"{type(self).__name__}: {end}", getattr(self, end)))
        if not self.low < self.high:
            raise UsageError(f"{type(self).__name__}: low must be below high, not low={self.low}, high={self.high}")

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray((values >= self.low) & (values <= self.high))


@dataclass(frozen=True)
class Uniform(_Interval):
    """Uniform on [low, high)."""

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.low + (self.high - self.low) * u

    def describe_one(self) -> str:
        return f"U[{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class LogUniform(_Interval):
    """Log-uniform on [low, high): low · (high / low)^u, with 0 < low."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise UsageError(f"LogUniform: low must be above 0, not {self.low}")

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        values = self.low * (self.high / self.low) ** u
        return np.minimum(values, self.high)  # the last bit may fall outside the support

    def describe_one(self) -> str:
        return f"logU[{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class SignedUniform(_Interval):
    """Fair random sign times U[low, high), with 0 <= low: the support is [-high, -low] and [low, high]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low < 0:
            raise UsageError(f"SignedUniform: low is a magnitude and must not be negative, not {self.low}")

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        width = self.high - self.low
        return np.where(u < 0.5, -self.high + width * 2.0 * u, self.low + width * (2.0 * u - 1.0))

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return super().contains(np.abs(values))

    def describe_one(self) -> str:
        return f"±U[{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class Choice(Range):
    """Uniform choice among a few distinct numbers."""

    values: tuple[float | int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.values, Iterable):
            raise UsageError(f"Choice: needs one or more distinct values, not {self.values!r}")
        values = tuple(finite_number("Choice: a value", value) for value in self.values)
        if not values or len(set(values)) != len(values):
            raise UsageError(f"Choice: needs one or more distinct values, not {self.values!r}")
        object.__setattr__(self, "values", tuple(sorted(values)))  # sorted: an inverse CDF does not decrease

    @property
    def n_values(self) -> int:
        return len(self.values) ** math.prod(self.shape)

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        # u·k may round up to k for the largest u below 1.
        index = np.minimum((u * len(self.values)).astype(np.int64), len(self.values) - 1)
        values: NDArray[np.float64] = np.asarray(self.values, dtype=np.float64)[index]
        return values

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.isin(values, self.values)

    def describe_one(self) -> str:
        return "{" + ", ".join(f"{value:g}" for value in self.values) + "}"


@dataclass(frozen=True)
class Labels(Range):
    """Uniform choice among a few distinct words, such as names of courses; a task holds the number of a word, from 0.

    Environments receive the word itself.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shape:
            raise UsageError("Labels: a parameter is one word, so it has no shape")
        if not self.names or len(set(self.names)) != len(self.names) or not all(isinstance(n, str) for n in self.names):
            raise UsageError(f"Labels: needs one or more distinct words, not {self.names!r}")

    @property
    def n_values(self) -> int:
        return len(self.names)

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        # u·k may round up to k for the largest u below 1.
        return np.minimum(np.floor(u * len(self.names)), len(self.names) - 1)

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.isin(values, np.arange(len(self.names)))

    def index(self, name: object) -> int:
        """Return the number of a word."""
        return self.names.index(name) if isinstance(name, str) else -1

    def describe_value(self, value: object) -> str:
        return self.names[int(np.asarray(value))]

    def describe_one(self) -> str:
        return "{" + ", ".join(self.names) + "}"


def Sign() -> Choice:  # named like the classes
    """Return the uniform choice between -1 and 1."""
    return Choice((-1, 1))


@dataclass(frozen=True)
class Integer(Range):
    """Uniform integer from low to high, both included."""

    low: float | int
    high: float | int

    def __post_init__(self) -> None:
        super().__post_init__()
        for end in ("low", "high"):
            number = finite_number(f"Integer: {end}", getattr(self, end))
            if not number.is_integer():
                raise UsageError(f"Integer: {end} must be a whole number, not {number:g}")
            if abs(number) > LARGEST_INTEGER:
                raise UsageError(f"Integer: {end} must be at most {LARGEST_INTEGER} in size, not {number:g}")
            object.__setattr__(self, end, int(number))
        if not self.low < self.high:
            raise UsageError(f"Integer: low must be below high, not low={self.low}, high={self.high}")

    @property
    def n_values(self) -> int:
        return int(self.high - self.low + 1) ** math.prod(self.shape)

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        # The product may round up for the largest u below 1.
        return np.minimum(self.low + np.floor((self.high - self.low + 1) * u), self.high)

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray((values >= self.low) & (values <= self.high) & (values == np.floor(values)))

    def describe_one(self) -> str:
        return f"{{{self.low}, ..., {self.high}}}"


@dataclass(frozen=True)
class Drawn(Range):
    """User-defined distribution: a function of a `numpy.random.Generator` returns a number, or an array of `shape`.

    The generator is seeded from the uniform numbers of the task, so that a task is reproducible.
    """

    bounded = False
    draw: Callable[[np.random.Generator], object]

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = (u * 2.0**53).astype(np.uint64).reshape(-1, max(1, math.prod(self.shape)))
        name = getattr(self.draw, "__name__", "the function")
        with wrap_errors(f"Drawn: {name}(generator)"):
            drawn = [self.draw(np.random.default_rng(row)) for row in rows]
        drawn = [finite_array(f"Drawn: the value of {name}", value, self.shape) for value in drawn]
        return np.asarray(drawn, dtype=np.float64).reshape(u.shape)

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.isfinite(values)  # the support is unknown otherwise

    def describe_one(self) -> str:
        return f"{getattr(self.draw, '__name__', 'drawn')}(rng)"


@dataclass(frozen=True)
class Normal(Range):
    """Normal with this mean and standard deviation (0 < std)."""

    bounded = False
    mean: float | int
    std: float | int

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mean", "std"):
            object.__setattr__(self, name, finite_number(f"Normal: {name}", getattr(self, name)))
        if self.std <= 0:
            raise UsageError(f"Normal: std must be above 0, not {self.std}")

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        # A uniform may be 0, which has no finite quantile.
        standard = torch.special.ndtri(torch.from_numpy(np.maximum(u, np.finfo(np.float64).tiny)))
        values: NDArray[np.float64] = self.mean + self.std * standard.numpy()
        return values

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.isfinite(values)

    def describe_one(self) -> str:
        return f"N({self.mean:g}, {self.std:g})"


@dataclass(frozen=True)
class Dirichlet(Range):
    """Probability vectors along the last axis of `shape`, uniform over the simplex: Dirichlet(1, ..., 1)."""

    bounded = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.shape:
            raise UsageError("Dirichlet: needs a shape, the size of the probability vectors")

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        # Normalised exponential variables. The lower bound avoids a sum of zero.
        exponential = np.maximum(-np.log1p(-u), np.finfo(np.float64).tiny)
        values: NDArray[np.float64] = exponential / exponential.sum(-1, keepdims=True)
        return values

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        sums_to_one = np.isclose(values.sum(-1, keepdims=True), 1.0)
        return np.asarray((values >= 0) & (values <= 1) & sums_to_one)

    def describe_one(self) -> str:
        return "Dirichlet(1)"
