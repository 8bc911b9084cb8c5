"""Arguments with which a user's function of PennyLane is called: inputs, weights and scales."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qrl.circuits.angles import Input, Scale, Weight
from qrl.circuits.tracing import SymbolArray, as_symbols, symbols
from qrl.common.checks import check_count, shown
from qrl.common.errors import UsageError, suggest

Shapes = Mapping[str, int | Sequence[int]]
"""Shape of each argument with weights, as in `qml.qnn.TorchLayer`; a number is a vector of this length."""

EXAMPLE = "such as {'weights': (2, 4)}"

Arguments = tuple[tuple[SymbolArray, ...], dict[str, SymbolArray]]
"""Arguments by position and by name."""


@dataclass(frozen=True)
class Sizes:
    """Numbers of inputs, weights and scales, and the shapes of the weights; None: weights are one vector."""

    n_inputs: int
    n_weights: int
    n_scales: int
    shapes: dict[str, tuple[int, ...]] | None


def sizes_of(n_inputs: int, n_weights: int | None, n_scales: int, weight_shapes: Shapes | None) -> Sizes:
    """Return the sizes of a function's arguments.

    Raises UsageError for a negative number, shapes that are no dict, a shape that is none, and unless either the number
    of weights or their shapes are given.
    """
    for name, count in (("n_inputs", n_inputs), ("n_weights", n_weights or 0), ("n_scales", n_scales)):
        check_count(f"from_pennylane: {name}", count, least=0)
    if (n_weights is None) == (weight_shapes is None):
        raise UsageError(f"from_pennylane: give n_weights, for a vector, or weight_shapes, {EXAMPLE}")
    if weight_shapes is None:
        return Sizes(n_inputs, n_weights or 0, n_scales, None)
    if not isinstance(weight_shapes, Mapping) or not all(isinstance(name, str) for name in weight_shapes):
        raise UsageError(
            f"from_pennylane: weight_shapes is a dict from the names of arguments to shapes, {EXAMPLE}, not "
            f"{shown(weight_shapes)}"
        )
    shapes = {name: _shape(name, shape) for name, shape in weight_shapes.items()}
    return Sizes(n_inputs, sum(math.prod(shape) for shape in shapes.values()), n_scales, shapes)


def _shape(name: str, shape: object) -> tuple[int, ...]:
    axes = tuple(shape) if isinstance(shape, Iterable) and not isinstance(shape, str) else (shape,)
    return tuple(check_count(f"from_pennylane: weight_shapes: {name}", axis, least=0) for axis in axes)


def symbolic_arguments(function: Callable[..., object], sizes: Sizes, batch: tuple[int, ...]) -> Arguments:
    """Return symbols as the arguments of a function, with inputs [*batch, n_inputs].

    Arguments that the function names `inputs`, `weights` or `scales`, or as in `weight_shapes`, are passed by name. Its
    other parameters take the others in this order; with `weight_shapes`, only inputs may have a name of their own.

    Raises UsageError for a name in `weight_shapes` that the function does not have.
    """
    weights = symbols(Weight, (sizes.n_weights,))
    values = {"inputs": symbols(Input, (*batch, sizes.n_inputs))}
    values |= {"weights": weights} if sizes.shapes is None else _split(weights, sizes.shapes)
    if sizes.n_scales:
        values["scales"] = symbols(Scale, (sizes.n_scales,))
    parameters = _parameters(function)
    if parameters is None:
        return (tuple(values.values()), {}) if sizes.shapes is None else ((), values)
    if unknown := [name for name in sizes.shapes or () if name not in parameters]:
        choices = _may_be_weights(parameters, sizes, unknown[0])
        raise UsageError(
            f"from_pennylane: weight_shapes: unknown argument {unknown[0]!r}{suggest(unknown[0], choices)}"
        )
    free = [name for name in parameters if name not in values]
    unnamed = [name for name in values if name not in parameters and (sizes.shapes is None or name == "inputs")]
    if not sizes.n_inputs and len(free) < len(unnamed) and "inputs" in unnamed:
        del values["inputs"], unnamed[0]
    renamed = dict(zip(unnamed, free, strict=False))
    return (), {renamed.get(name, name): value for name, value in values.items()}


def _may_be_weights(parameters: list[str], sizes: Sizes, meant: str) -> list[str]:
    """Return the parameters that may take weights: all but those of inputs and scales.

    Inputs that are not called so are the first parameter that is not in `weight_shapes`; one that begins like the
    mistyped name, `meant`, is probably no input.
    """
    taken = {"inputs", *(["scales"] if sizes.n_scales else [])}
    if sizes.n_inputs and "inputs" not in parameters:
        free = [name for name in parameters if name not in (sizes.shapes or {}) and name not in taken]
        taken.update(sorted(free, key=lambda name: name[:1] == meant[:1])[:1])
    return [name for name in parameters if name not in taken]


def _parameters(function: Callable[..., object]) -> list[str] | None:
    """Return the names of a function's parameters, required ones first; None if an argument may have no name."""
    try:
        parameters = sorted(inspect.signature(function).parameters.values(), key=_has_default)
    except (TypeError, ValueError):  # some functions in C
        return None
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [each.name for each in parameters] if all(each.kind in by_name for each in parameters) else None


def _has_default(parameter: inspect.Parameter) -> bool:
    return parameter.default is not inspect.Parameter.empty


def _split(weights: SymbolArray, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, SymbolArray]:
    """Divide a vector of weights into arguments, one after the other."""
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = np.split(weights, ends[:-1]) if shapes else []
    return {name: as_symbols(part.reshape(shape)) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
