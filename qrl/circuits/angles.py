"""Angles of gates: numbers, weights, scaled inputs, and expressions of these."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from qrl.common.errors import UsageError

Transform = Literal["identity", "tanh", "arctan"]

LARGEST_INDEX = 2**31 - 2
"""Largest index of a weight, scale or feature, a count of which still has 32 bits."""

TRANSFORMS: tuple[Transform, ...] = ("identity", "tanh", "arctan")

FUNCTIONS: dict[str, Callable[[float], float]] = {
    "tanh": math.tanh,
    "arctan": math.atan,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "arcsin": math.asin,
    "arccos": math.acos,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "arcsinh": math.asinh,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "absolute": abs,
    "reciprocal": lambda x: 1 / x,
}
"""Functions in expressions, under NumPy's names."""

MAX_TERMS = 10_000
"""Largest number of terms, and of factors of a term, in the expression of one angle."""


@dataclass(frozen=True)
class Weight:
    """Angle = weights[index] [rad]."""

    index: int

    def __str__(self) -> str:
        return f"w{self.index}"


@dataclass(frozen=True)
class Input:
    """Angle = g(scales[scale] * inputs[feature]) [rad]; `scale=None` uses the unscaled input.

    g is `transform`: identity (the angle is unbounded, the circuit a Fourier series in the input: Schuld, Sweke and
    Meyer 2021), tanh or arctan (bounded angles: Skolik et al. 2022).
    """

    feature: int
    scale: int | None = None
    transform: Transform = "identity"

    def __str__(self) -> str:
        text = f"x{self.feature}" if self.scale is None else f"s{self.scale}*x{self.feature}"
        return text if self.transform == "identity" else f"{self.transform}({text})"


@dataclass(frozen=True)
class Scale:
    """Factor scales[index] of an expression."""

    index: int

    def __str__(self) -> str:
        return f"s{self.index}"


@dataclass(frozen=True)
class Function:
    """Factor f(argument) of an expression; `name` is one of `FUNCTIONS`."""

    name: str
    argument: "Expression"

    def __post_init__(self) -> None:
        if self.name not in FUNCTIONS:
            raise UsageError(f"circuit: unknown function {self.name!r} in an angle; choices: {', '.join(FUNCTIONS)}")

    def __str__(self) -> str:
        return f"{self.name}({self.argument})"


Factor = Weight | Scale | Input | Function
Operand = Factor | float | int
"""A number, a variable or a function: what becomes an expression by `Expression.of`."""


@dataclass(frozen=True)
class Term:
    """Product of a number and factors; a constant without factors."""

    coefficient: float
    factors: tuple[Factor, ...] = ()

    def __str__(self) -> str:
        powers = [f"{f}**{n}" if n > 1 else str(f) for f, n in _counted(self.factors)]
        number = [] if self.coefficient == 1 and powers else [f"{self.coefficient:.6g}"]
        return "-" + "*".join(powers) if self.coefficient == -1 and powers else "*".join([*number, *powers])


@dataclass(frozen=True)
class Expression:
    """Angle = sum of terms [rad], such as `2.0 * Expression.of(Weight(0)) + Input(1)`.

    Terms are collected and sorted, and an `Input` with a scale or a transform becomes a product or a function, so that
    expressions with the same terms are equal. `+`, `-`, `*`, `/`, `**` and `apply` compute with expressions.

    Raises UsageError for a coefficient that is not finite, and for more than `MAX_TERMS` terms or factors.
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        totals: dict[tuple[Factor, ...], float] = {}
        for term in self.terms:
            factors = tuple(sorted((plain for f in term.factors for plain in _plain(f)), key=_sort_key))
            totals[factors] = totals.get(factors, 0.0) + float(term.coefficient)
            if len(totals) > MAX_TERMS or len(factors) > MAX_TERMS:
                raise UsageError(f"circuit: an angle has more than {MAX_TERMS:,} terms or factors")
        if unbounded := [total for total in totals.values() if not math.isfinite(total)]:
            raise UsageError(f"circuit: the coefficient {unbounded[0]} in an angle is not finite")
        ordered = sorted(totals, key=lambda factors: [_sort_key(f) for f in factors])
        object.__setattr__(self, "terms", tuple(Term(totals[f], f) for f in ordered if totals[f]))

    @classmethod
    def of(cls, value: "Expression | Operand") -> "Expression":
        """Return a number, a variable or a function as an expression."""
        match value:
            case Expression():
                return value
            case Weight() | Scale() | Input() | Function():
                return cls((Term(1.0, (value,)),))
            case _:
                return cls((Term(float(value)),))

    @property
    def number(self) -> float | None:
        """Value of an expression without variables; None with variables."""
        match self.terms:
            case ():
                return 0.0
            case (Term(number, ()),):
                return number
        return None

    def simplest(self) -> "Angle":
        """Return the number, `Weight` or `Input` that the expression is equal to, or the expression itself."""
        if self.number is not None:
            return self.number
        match self.terms:
            case (Term(1.0, (Weight() as weight,)),):
                return weight
            case (Term(1.0, (Function("tanh" | "arctan" as transform, argument),)),):
                inner = argument.simplest()
                if isinstance(inner, Input) and inner.transform == "identity":
                    return Input(inner.feature, inner.scale, transform)
            case (Term(1.0, (Input() as plain,)),):
                return plain
            case (Term(1.0, (Scale(scale), Input(feature))),):
                return Input(feature, scale)
        return self

    def apply(self, name: str) -> "Expression":
        """Return f(expression) for a function of `FUNCTIONS`. Raises UsageError for another one, or no finite value."""
        function = Function(name, self)
        if self.number is None:
            return Expression.of(function)
        try:
            return Expression.of(FUNCTIONS[name](self.number))
        except (ArithmeticError, ValueError):
            raise UsageError(f"circuit: {function} in an angle has no value") from None

    def value(self, of: Callable[[Weight | Scale | Input], float]) -> float:
        """Return the value [rad] for these values of the variables, NaN where a function is not defined."""
        return math.fsum(t.coefficient * math.prod(_value(f, of) for f in t.factors) for t in self.terms)

    def __add__(self, other: "Expression | Operand") -> "Expression":
        return Expression((*self.terms, *Expression.of(other).terms))

    def __mul__(self, other: "Expression | Operand") -> "Expression":
        others = Expression.of(other).terms
        if len(self.terms) * len(others) > MAX_TERMS:
            raise UsageError(f"circuit: an angle has more than {MAX_TERMS:,} terms or factors")
        products = (Term(a.coefficient * b.coefficient, a.factors + b.factors) for a in self.terms for b in others)
        return Expression(tuple(products))

    def __neg__(self) -> "Expression":
        return self * -1.0

    def __sub__(self, other: "Expression | Operand") -> "Expression":
        return self + -Expression.of(other)

    def __truediv__(self, other: "Expression | Operand") -> "Expression":
        divisor = Expression.of(other)
        return self * divisor.apply("reciprocal")

    def __pow__(self, exponent: float | int) -> "Expression":
        """Return a whole power, or the square root for 0.5. Raises UsageError for other exponents."""
        if exponent == 0.5:
            return self.apply("sqrt")
        if exponent != int(exponent) or abs(exponent) > MAX_TERMS:
            raise UsageError(f"circuit: a power in an angle has a whole exponent or 0.5, not {exponent}")
        power = Expression.of(1.0)
        for _ in range(abs(int(exponent))):
            power = power * self
        return power if exponent >= 0 else power.apply("reciprocal")

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Operand) -> "Expression":
        return Expression.of(other) - self

    def __rtruediv__(self, other: Operand) -> "Expression":
        return Expression.of(other) / self

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms)).replace("+ -", "- ") or "0"


Angle = Weight | Input | Expression | float


def variables(angle: Angle | Scale | Function) -> Iterator[Weight | Scale | Input]:
    """Yield the weights, the scales and the inputs, without their scales, that an angle depends on."""
    match angle:
        case Weight() | Scale():
            yield angle
        case Input(feature, scale):
            yield Input(feature)
            if scale is not None:
                yield Scale(scale)
        case Function(_, argument):
            yield from variables(argument)
        case Expression(terms):
            for term in terms:
                for factor in term.factors:
                    yield from variables(factor)


def _plain(factor: Factor) -> tuple[Factor, ...]:
    """Return a factor as a product of unscaled inputs, scales, weights and functions."""
    match factor:
        case Input(_, None, "identity"):
            return (factor,)
        case Input(feature, scale, "identity"):
            return () if scale is None else (Scale(scale), Input(feature))
        case Input(feature, scale, transform):
            return (Function(transform, Expression.of(Input(feature, scale))),)
    return (factor,)


def _sort_key(factor: Factor) -> tuple[int, int, str, str]:
    match factor:
        case Scale(index):
            return 0, index, "", ""
        case Weight(index):
            return 1, index, "", ""
        case Input(feature):
            return 2, feature, "", ""
        case Function(name, argument):
            return 3, 0, name, repr(argument)


def _counted(factors: Iterable[Factor]) -> list[tuple[Factor, int]]:
    """Return each factor with its number of occurrences."""
    counts: dict[Factor, int] = {}
    for factor in factors:
        counts[factor] = counts.get(factor, 0) + 1
    return list(counts.items())


def _value(factor: Factor, of: Callable[[Weight | Scale | Input], float]) -> float:
    if not isinstance(factor, Function):
        return of(factor)
    try:
        return FUNCTIONS[factor.name](factor.argument.value(of))
    except (ArithmeticError, ValueError):
        return math.nan
