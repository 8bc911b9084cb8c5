"""Arrays of symbols: a user's circuit computes with them as with arrays of NumPy, and returns expressions as angles."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from qrl.circuits.angles import FUNCTIONS, Expression, Factor
from qrl.circuits.symbols import Imaginary, Symbol
from qrl.circuits.torch_functions import METHODS, call_torch_function, clip, hypot, maximum, minimum
from qrl.common.errors import UsageError

Array = np.ndarray

_OF_ARRAYS: dict[str, Callable[..., Any]] = {"clip": clip, "maximum": maximum, "minimum": minimum, "hypot": hypot}
"""Functions of NumPy that would ask for values of symbols, by formulas that do not."""


class _Size(int):
    """Number of elements, as in NumPy, which returns the shape, or the length of one axis, when called, as in torch."""

    shape: tuple[int, ...]

    def __new__(cls, shape: tuple[int, ...]) -> "_Size":
        self = super().__new__(cls, math.prod(shape))
        self.shape = shape
        return self

    def __call__(self, axis: int | None = None) -> Any:
        return self.shape if axis is None else self.shape[axis]


class SymbolArray(np.ndarray):
    """Array of symbols, also of none: elements are arrays without axes, so that they have shapes, as numbers of NumPy.

    Functions and methods of torch are computed by their counterparts in NumPy (`qrl.circuits.torch_functions`). Raises
    UsageError for methods that mean one thing in NumPy and another one in torch.
    """

    def __getitem__(self, index: Any) -> Any:
        return as_symbols(super().__getitem__(index))

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return partial(self._call, name)
        raise AttributeError(f"an array of inputs, weights or scales has no attribute {name!r}")

    @property
    def size(self) -> int:  # type: ignore[override]
        return _Size(self.shape)

    def view(self, *shape: Any) -> Any:  # type: ignore[override]
        is_shape = bool(shape) and all(isinstance(axis, int | tuple | list) for axis in shape)
        return self.reshape(*shape) if is_shape else super().view(*shape)

    def transpose(self, *axes: Any) -> Any:
        if len(axes) != 2 or not all(isinstance(axis, int) for axis in axes):
            return super().transpose(*axes)
        if self.ndim == 2 and axes[0] % 2 < axes[1] % 2:
            raise UsageError("transpose(0, 1) of a matrix is the matrix in NumPy, its transpose in torch: write .T")
        return self.swapaxes(*axes)

    def repeat(self, *repeats: Any, **axis: Any) -> Any:
        if axis:  # a call of np.repeat
            return super().repeat(*repeats, **axis)
        raise UsageError("repeat repeats elements in NumPy, the whole array in torch: write np.repeat or np.tile")

    def unwrap(self) -> Array:
        """Return the array of NumPy, with which PennyLane's own arrays compute."""
        return np.ndarray.view(self, np.ndarray)

    def _call(self, name: str, *args: Any, **named: Any) -> Any:
        return as_symbols(call_torch_function(name, (self, *args), named))

    def __array_ufunc__(self, ufunc: np.ufunc, method: Any, *inputs: Any, **kwargs: Any) -> Any:
        name = ufunc.__name__
        if method == "__call__" and name in _OF_ARRAYS:
            return as_symbols(_OF_ARRAYS[name](*inputs))
        if "out" in kwargs:
            kwargs["out"] = _plain(kwargs["out"])
        try:
            return as_symbols(getattr(ufunc, method)(*_plain(inputs), **kwargs))
        except (AttributeError, TypeError) as error:
            # NumPy looks for a method of the function's name.
            if f"callable {name} method" in str(error) or f"attribute '{name}'" in str(error):
                raise UsageError(
                    f"{name} of NumPy cannot be read; arithmetic can, and {', '.join(FUNCTIONS)}"
                ) from None
            raise

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        # NumPy calls methods of its arguments, some of which have torch's meaning here.
        function = _OF_ARRAYS.get(function.__name__, function)
        return as_symbols(function(*_plain(args), **{key: _plain(value) for key, value in kwargs.items()}))

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., object],
        types: object,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return as_symbols(call_torch_function(function.__name__.removeprefix("special_"), args, kwargs or {}))


def _reduction(name: str) -> Callable[..., Any]:
    """Return a method of both NumPy and torch, whose keywords differ."""

    def reduce(array: SymbolArray, *args: Any, **named: Any) -> Any:
        if named.keys() & {"dim", "keepdim"}:
            return as_symbols(call_torch_function(name, (array, *args), named))
        return as_symbols(getattr(np.ndarray, name)(array, *args, **named))

    reduce.__name__, reduce.__doc__ = name, f"Return {name} over axes, which are `axis` in NumPy and `dim` in torch."
    return reduce


for _name in ("sum", "mean", "prod", "cumsum", "squeeze"):
    setattr(SymbolArray, _name, _reduction(_name))


def symbols(make: Callable[[int], Factor], shape: tuple[int, ...]) -> SymbolArray:
    """Return an array of variables, numbered from 0 by `make`, in row-major order."""
    elements = np.empty(math.prod(shape), dtype=object)
    elements[:] = [Symbol(Expression.of(make(index))) for index in range(len(elements))]
    return elements.reshape(shape).view(SymbolArray)


def as_symbols(value: Any) -> Any:
    """Return symbols, single ones or arrays, in lists too, as `SymbolArray`s, and anything else as it is."""
    if isinstance(value, list):
        return [as_symbols(each) for each in value]
    if isinstance(value, Symbol | Imaginary):
        alone = np.empty((), dtype=object)
        alone[()] = value
        return alone.view(SymbolArray)
    return np.ndarray.view(value, SymbolArray) if is_symbolic(value) else value


def is_symbolic(value: object) -> bool:
    """Return whether a value is a symbol or an array of symbols."""
    return isinstance(value, Symbol) or (isinstance(value, np.ndarray) and value.dtype == object)


def expression_of(value: object) -> Expression:
    """Return the expression of a number: a symbol, or a number of Python, NumPy or torch, also in an array of one.

    Raises UsageError for an imaginary number, TypeError or ValueError for anything else.
    """
    value = _element(value)
    if isinstance(value, Imaginary):
        raise UsageError(f"an angle is a real number, not {value}")
    return value.expression if isinstance(value, Symbol) else Expression.of(float(value))  # type: ignore[arg-type]


def imaginary_part(value: object) -> Any:
    """Return the imaginary part of a number or symbol without a real part. Raises UsageError for any other one."""
    value = _element(value)
    if isinstance(value, Imaginary):
        return as_symbols(value.part)
    if isinstance(value, Symbol) or complex(value).real:  # type: ignore[call-overload]
        raise UsageError(f"its coefficient is not imaginary, but {value}")
    return complex(value).imag  # type: ignore[call-overload]


def _element(value: object) -> object:
    while isinstance(value, np.ndarray):  # NumPy nests the elements of lists of arrays
        value = value.item()
    return value


def _plain(value: Any) -> Any:
    """Return arrays of symbols, in lists and tuples too, as arrays of NumPy."""
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value.unwrap() if isinstance(value, SymbolArray) else value
