"""Symbolic numbers: a user's circuit computes with them as with arrays of NumPy, and returns expressions as angles."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qrl.circuits.angles import FUNCTIONS, Expression, Factor
from qrl.common.errors import UsageError

Array = np.ndarray
_REAL = (int, float, np.integer, np.floating, np.bool_)


class Symbol:
    """A number that stands for an expression; NumPy calls its methods for the elements of arrays.

    Arithmetic and the functions of `FUNCTIONS` return symbols. Raises UsageError where the value itself is asked for:
    it is not known, and a circuit that depends on it would be another one for other values.
    """

    __slots__ = ("expression",)

    def __init__(self, expression: Expression) -> None:
        self.expression = expression

    def __repr__(self) -> str:
        return str(self.expression)

    def __add__(self, other: object) -> "Symbol":
        return self._with(other, Expression.__add__)

    def __sub__(self, other: object) -> "Symbol":
        return self._with(other, Expression.__sub__)

    def __rsub__(self, other: object) -> "Symbol":
        return self._with(other, Expression.__rsub__)

    def __mul__(self, other: object) -> "Symbol":
        return self._with(other, Expression.__mul__)

    def __truediv__(self, other: object) -> "Symbol":
        return self._with(other, Expression.__truediv__)

    def __rtruediv__(self, other: object) -> "Symbol":
        return self._with(other, Expression.__rtruediv__)

    def __pow__(self, exponent: object) -> "Symbol":
        if not isinstance(exponent, _REAL):
            raise UsageError("a power has a number as its exponent")
        return Symbol(self.expression ** float(exponent))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Symbol":
        return Symbol(-self.expression)

    def __pos__(self) -> "Symbol":
        return self

    def __abs__(self) -> "Symbol":
        return Symbol(self.expression.apply("absolute"))

    def conjugate(self) -> "Symbol":
        """Return the symbol itself: it is a real number."""
        return self

    def _with(self, other: object, operation: Callable[..., Expression]) -> "Symbol":
        if isinstance(other, Symbol):
            return Symbol(operation(self.expression, other.expression))
        if isinstance(other, _REAL):
            return Symbol(operation(self.expression, float(other)))
        return NotImplemented  # an array computes element by element; anything else is a TypeError of Python

    def _unknown(self, *_: object) -> Any:
        raise UsageError(
            "only angles may depend on the values of inputs, weights and scales, not conditions, comparisons or numbers"
        )

    __bool__ = __float__ = __int__ = __index__ = __complex__ = __eq__ = __ne__ = _unknown
    __lt__ = __le__ = __gt__ = __ge__ = __floordiv__ = __mod__ = __round__ = _unknown
    __hash__ = object.__hash__


def _method(name: str) -> Callable[[Symbol], Symbol]:
    def apply(symbol: Symbol) -> Symbol:
        return Symbol(symbol.expression.apply(name))

    apply.__name__, apply.__doc__ = name, f"Return {name}(x); see `FUNCTIONS`."
    return apply


for _name in FUNCTIONS:
    setattr(Symbol, _name, _method(_name))

OF_TORCH: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in FUNCTIONS},
    "atan": np.arctan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "asinh": np.arcsinh,
    "abs": np.absolute,
    "square": np.square,
    "neg": np.negative,
    "negative": np.negative,
    **dict.fromkeys(("sigmoid", "expit"), lambda x: 0.5 + 0.5 * np.tanh(0.5 * x)),
    **dict.fromkeys(("add", "__add__", "__radd__"), operator.add),
    **dict.fromkeys(("sub", "__sub__", "subtract"), operator.sub),
    **dict.fromkeys(("mul", "__mul__", "__rmul__", "multiply"), operator.mul),
    **dict.fromkeys(("div", "true_divide", "divide", "__truediv__"), operator.truediv),
    **dict.fromkeys(("__rsub__", "rsub"), lambda x, y: y - x),
    "__rdiv__": lambda x, y: y / x,
    **dict.fromkeys(("pow", "__pow__"), operator.pow),
    **dict.fromkeys(("matmul", "__matmul__", "mm", "mv"), np.matmul),
    "__rmatmul__": lambda x, y: y @ x,
    **{name: getattr(np, name) for name in ("dot", "outer", "sum", "mean", "prod", "stack", "reshape", "ravel")},
    "flatten": np.ravel,
    "squeeze": np.squeeze,
    "unsqueeze": np.expand_dims,
    "flip": np.flip,
    "einsum": np.einsum,
    **dict.fromkeys(("cat", "concat", "concatenate"), np.concatenate),
}
"""Functions of torch that take symbols, with the functions of NumPy that compute them."""


class SymbolArray(np.ndarray):
    """Array of symbols, also of none: elements are arrays without axes, so that they have shapes, as numbers of NumPy.

    Functions of torch are computed by their counterparts in NumPy (`OF_TORCH`).
    """

    def __getitem__(self, index: Any) -> Any:
        return as_symbols(super().__getitem__(index))

    def __array_wrap__(self, array: Array, context: object = None, return_scalar: bool = False) -> Any:
        return as_symbols(array)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return as_symbols(super().__array_function__(function, types, args, kwargs))

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., object],
        types: object,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = function.__name__.removeprefix("special_")
        if name not in OF_TORCH:
            raise UsageError(
                f"{name} of torch cannot be read; arithmetic, sums, products and shapes can, and {', '.join(FUNCTIONS)}"
            )
        named = {("axis" if key == "dim" else key): value for key, value in (kwargs or {}).items()}
        return as_symbols(OF_TORCH[name](*map(_from_torch, args), **named))


def symbols(make: Callable[[int], Factor], shape: tuple[int, ...]) -> SymbolArray:
    """Return an array of variables, numbered from 0 by `make`, in row-major order."""
    elements = np.empty(math.prod(shape), dtype=object)
    elements[:] = [Symbol(Expression.of(make(index))) for index in range(len(elements))]
    return elements.reshape(shape).view(SymbolArray)


def as_symbols(value: Any) -> Any:
    """Return symbols, single ones or arrays, as a `SymbolArray`, and anything else as it is."""
    if isinstance(value, Symbol):
        alone = np.empty((), dtype=object)
        alone[()] = value
        return alone.view(SymbolArray)
    return value.view(SymbolArray) if isinstance(value, np.ndarray) and value.dtype == object else value


def expression_of(value: object) -> Expression:
    """Return the expression of a number: a symbol, or a number of Python, NumPy or torch, also in an array of one.

    Raises TypeError or ValueError for anything else.
    """
    while isinstance(value, np.ndarray):  # NumPy nests the elements of lists of arrays
        value = value.item()
    return value.expression if isinstance(value, Symbol) else Expression.of(float(value))  # type: ignore[arg-type]


def _from_torch(value: Any) -> Any:
    """Return an argument of a function of torch for NumPy: tensors as arrays, in lists too."""
    if isinstance(value, list | tuple):
        return type(value)(map(_from_torch, value))
    is_number = isinstance(value, int | float | str | np.ndarray | None)
    return value if is_number else np.asarray(value)
