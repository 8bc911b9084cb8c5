"""Angles that are expressions, computed in torch before the circuit runs, for all samples and circuits at once."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from qrl.circuits.angles import Expression, Factor, Function, Input, Scale, Weight, variables
from qrl.circuits.circuit import Circuit
from qrl.circuits.substitution import substitute
from qrl.common.autograd import PerDevice

TORCH_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "arctan": torch.arctan,
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "arcsin": torch.arcsin,
    "arccos": torch.arccos,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "arcsinh": torch.arcsinh,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "absolute": torch.abs,
    "reciprocal": torch.reciprocal,
}
"""Functions of `qrl.circuits.angles.FUNCTIONS`."""


class Substitution:
    """Circuit in plain angles, and the further weights and features that it takes.

    `circuit`: the circuit for an executor, the original one if no angle is an expression; `n_scales`: how many of the
    original scales it takes.
    """

    def __init__(self, circuit: Circuit) -> None:
        plain = substitute(circuit)
        self.circuit = plain.circuit
        self.n_scales = plain.circuit.n_scales
        self._n_plain_weights = plain.circuit.n_weights
        self._n_inputs, self._n_weights = circuit.n_inputs, circuit.n_weights
        self._weights = _Evaluator(plain.weights) if plain.weights else None
        self._features = _Evaluator(plain.features) if plain.features else None

    @property
    def is_original(self) -> bool:
        """Whether no angle is an expression, so that `circuit` is the original one."""
        return self._weights is None and self._features is None

    @property
    def has_features(self) -> bool:
        """Whether there are further features, which `inputs` computes from the original inputs and parameters."""
        return self._features is not None

    def weights(self, weights: Tensor, scales: Tensor) -> Tensor:
        """Return the weights [..., weight] of `circuit` for the original parameters [rad].

        The leading axes of all arguments of this method and of `inputs` broadcast.
        """
        if self._weights is None:
            return weights[..., : self._n_plain_weights]
        return _joined(weights[..., : self._n_weights], self._weights(weights, scales, None))

    def inputs(self, inputs: Tensor, weights: Tensor, scales: Tensor) -> Tensor:
        """Return the inputs [..., feature] of `circuit` for the original inputs and parameters."""
        if self._features is None:
            return inputs
        return _joined(inputs[..., : self._n_inputs], self._features(weights, scales, inputs))


class _Evaluator:
    """Values of expressions, functions of columns: first of 1 and the variables, then of functions of these too."""

    def __init__(self, expressions: Sequence[Expression]) -> None:
        used = {variable for expression in expressions for variable in variables(expression)}
        self._weights = sorted(v.index for v in used if isinstance(v, Weight))
        self._scales = sorted(v.index for v in used if isinstance(v, Scale))
        self._features = sorted(v.feature for v in used if isinstance(v, Input))
        leaves: list[Factor] = [*map(Weight, self._weights), *map(Scale, self._scales), *map(Input, self._features)]
        column: dict[Factor, int] = {leaf: 1 + index for index, leaf in enumerate(leaves)}
        functions: dict[Function, int] = {}
        for expression in expressions:
            _collect_depths(expression, functions)
        self._stages: list[tuple[_Polynomials, list[tuple[str, int]]]] = []
        for depth in range(max(functions.values(), default=0)):
            stage = sorted((f for f in functions if functions[f] == depth + 1), key=lambda f: f.name)
            names = [function.name for function in stage]
            runs = [(name, names.count(name)) for name in dict.fromkeys(names)]
            self._stages.append((_Polynomials([f.argument for f in stage], column), runs))
            column |= {function: len(column) + 1 + index for index, function in enumerate(stage)}
        self._result = _Polynomials(expressions, column)

    def __call__(self, weights: Tensor, scales: Tensor, inputs: Tensor | None) -> Tensor:
        """Return the values [..., expression]."""
        columns = self._leaves(weights, scales, inputs)
        for polynomials, runs in self._stages:
            arguments = polynomials(columns).split([count for _, count in runs], dim=-1)
            values = (TORCH_FUNCTIONS[name](each) for (name, _), each in zip(runs, arguments, strict=True))
            columns = torch.cat([columns, *values], dim=-1)
        return self._result(columns)

    def _leaves(self, weights: Tensor, scales: Tensor, inputs: Tensor | None) -> Tensor:
        """Return the columns [..., column] of 1 and of the variables."""
        given = ((weights, self._weights), (scales, self._scales), (inputs, self._features))
        parts = [tensor[..., indices] for tensor, indices in given if tensor is not None and indices]
        like = parts[0]
        lead = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
        expanded = (part.expand(*lead, part.shape[-1]) for part in parts)
        return torch.cat([like.new_ones(*lead, 1), *expanded], dim=-1)


class _Polynomials:
    """Sums of products of columns, one for each expression."""

    def __init__(self, expressions: Sequence[Expression], column: Mapping[Factor, int]) -> None:
        terms = [(index, term) for index, expression in enumerate(expressions) for term in expression.terms]
        # The column of ones pads products to the same number of factors.
        degree = max(1, *(len(term.factors) for _, term in terms))
        self._factors = [
            [column[term.factors[k]] if k < len(term.factors) else 0 for _, term in terms] for k in range(degree)
        ]
        self._coefficients = [
            [term.coefficient if index == each else 0.0 for each in range(len(expressions))] for index, term in terms
        ]
        self._constants = PerDevice(self._build)

    def __call__(self, columns: Tensor) -> Tensor:
        """Return the values [..., expression] for columns [..., column]."""
        factors, coefficients = self._constants.like(columns)
        first, *rest = factors.unbind()
        products = columns.index_select(-1, first)
        for factor in rest:
            products = products * columns.index_select(-1, factor)
        return products @ coefficients

    def _build(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return columns [factor, term] and coefficients [term, expression]."""
        return (
            torch.tensor(self._factors, device=device),
            torch.tensor(self._coefficients, dtype=dtype, device=device),
        )


def _collect_depths(expression: Expression, depths: dict[Function, int]) -> int:
    """Enter the functions of an expression with their depths, 1 for functions of variables; return the largest one."""
    deepest = 0
    for factor in (factor for term in expression.terms for factor in term.factors):
        if isinstance(factor, Function):
            if factor not in depths:
                depths[factor] = 1 + _collect_depths(factor.argument, depths)
            deepest = max(deepest, depths[factor])
    return deepest


def _joined(first: Tensor, second: Tensor) -> Tensor:
    """Concatenate columns; leading axes broadcast."""
    lead = torch.broadcast_shapes(first.shape[:-1], second.shape[:-1])
    return torch.cat([each.expand(*lead, each.shape[-1]) for each in (first, second)], dim=-1)
