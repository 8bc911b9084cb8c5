"""Symbolic numbers, which stand for expressions of inputs, weights and scales."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from qrl.circuits.angles import FUNCTIONS, Expression
from qrl.common.errors import UsageError

_ONLY_ANGLES = (
    "only angles may depend on the values of inputs, weights and scales, not conditions, comparisons or numbers"
)

_REAL = (int, float, np.integer, np.floating, np.bool_)

COMPOSED: dict[str, Callable[[Expression], Expression]] = {
    "log2": lambda x: x.apply("log") / math.log(2),
    "log10": lambda x: x.apply("log") / math.log(10),
    "log1p": lambda x: (x + 1.0).apply("log"),
    "exp2": lambda x: (x * math.log(2)).apply("exp"),
    "expm1": lambda x: x.apply("exp") - 1.0,
    "arctanh": lambda x: ((1.0 + x) / (1.0 - x)).apply("log") * 0.5,
    "arccosh": lambda x: (x + (x * x - 1.0).apply("sqrt")).apply("log"),
    "fabs": lambda x: x.apply("absolute"),
    **dict.fromkeys(("deg2rad", "radians"), lambda x: x * (math.pi / 180)),
    **dict.fromkeys(("rad2deg", "degrees"), lambda x: x * (180 / math.pi)),
}
"""Further functions of NumPy, made of those of `FUNCTIONS`."""


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

    def __format__(self, _: str) -> str:
        return str(self)

    def __add__(self, other: object) -> "Symbol":
        return self._with(other, Expression.__add__)

    def __sub__(self, other: object) -> "Symbol":
        return self._with(other, Expression.__sub__)

    def __rsub__(self, other: object) -> "Symbol":
        return self._with(other, Expression.__rsub__)

    def __mul__(self, other: object) -> "Symbol | Imaginary":
        if not isinstance(other, complex | np.complexfloating):
            return self._with(other, Expression.__mul__)
        if other.real and other.imag:
            raise UsageError(f"an angle is a real number, not a variable times {other}")
        return Imaginary(self * float(other.imag)) if other.imag else self * float(other.real)

    def __truediv__(self, other: object) -> "Symbol":
        return self._with(other, Expression.__truediv__)

    def __rtruediv__(self, other: object) -> "Symbol":
        return self._with(other, Expression.__rtruediv__)

    def __pow__(self, exponent: object) -> "Symbol":
        if not isinstance(exponent, _REAL):
            raise UsageError("a power of a variable has a number as its exponent; for x > 0, x**y is exp(y * log(x))")
        return Symbol(self.expression ** float(exponent))

    def __rpow__(self, base: object) -> "Symbol":
        if not isinstance(base, _REAL) or base <= 0:
            raise UsageError(f"a power with a variable as its exponent has a positive number as its base, not {base}")
        return Symbol((self.expression * math.log(base)).apply("exp"))

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
        raise UsageError(_ONLY_ANGLES)

    def __float__(self) -> float:
        """Raise UsageError: `float` and functions of the module math ask for the value."""
        raise UsageError(
            f"{_ONLY_ANGLES}; leave out float, and use functions of NumPy, such as np.sin, in place of those of math"
        )

    __bool__ = __int__ = __index__ = __complex__ = __eq__ = __ne__ = _unknown
    __lt__ = __le__ = __gt__ = __ge__ = __floordiv__ = __mod__ = __round__ = _unknown
    __hash__ = object.__hash__


def _method(name: str, function: Callable[[Expression], Expression]) -> Callable[[Symbol], Symbol]:
    def apply(symbol: Symbol) -> Symbol:
        return Symbol(function(symbol.expression))

    apply.__name__, apply.__doc__ = name, f"Return {name}(x); see `FUNCTIONS` and `COMPOSED`."
    return apply


for _name in FUNCTIONS:
    setattr(Symbol, _name, _method(_name, partial(Expression.apply, name=_name)))
for _name, _function in COMPOSED.items():
    setattr(Symbol, _name, _method(_name, _function))


class Imaginary:
    """A symbol times 1j, such as the exponent of a time evolution: no angle, but its part is one."""

    __slots__ = ("part",)

    def __init__(self, part: "Symbol | Imaginary") -> None:
        self.part = part

    def __repr__(self) -> str:
        return f"1j*({self.part})"

    def __mul__(self, other: object) -> "Imaginary":
        return Imaginary(self.part * other) if isinstance(other, _REAL) else NotImplemented

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> "Imaginary":
        return Imaginary(self.part / other) if isinstance(other, _REAL) else NotImplemented

    def __neg__(self) -> "Imaginary":
        return self * -1.0
