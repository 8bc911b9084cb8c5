"""Functions of torch as functions of NumPy, for arrays of symbols."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qrl.circuits.angles import FUNCTIONS
from qrl.common.errors import UsageError


def clip(x: Any, low: Any = None, high: Any = None, **named: Any) -> Any:
    """Return x between two bounds, either of which may be missing; see `maximum`."""
    low, high = named.get("min", low), named.get("max", high)
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


def maximum(x: Any, y: Any) -> Any:
    """Return the larger number; where both are equal, its derivative is the mean of theirs."""
    return 0.5 * (x + y + np.absolute(x - y))


def minimum(x: Any, y: Any) -> Any:
    """Return the smaller number; where both are equal, its derivative is the mean of theirs."""
    return 0.5 * (x + y - np.absolute(x - y))


def hypot(x: Any, y: Any) -> Any:
    """Return the length of the vector (x, y)."""
    return np.sqrt(x * x + y * y)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, **named: Any) -> Any:
    """Return the Euclidean norm. Raises UsageError for another one."""
    if (order := named.get("p", ord)) not in (None, 2, "fro"):
        raise UsageError(f"norm of order {order} cannot be read; the Euclidean norm can")
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def _chunk(x: Any, chunks: int, axis: int = 0) -> list[Any]:
    return _split(x, -(-x.shape[axis] // chunks), axis)


def _split(x: Any, sizes: int | Sequence[int], axis: int = 0) -> list[Any]:
    ends = range(sizes, x.shape[axis], sizes) if isinstance(sizes, int) else np.cumsum(sizes)[:-1]
    return np.split(x, ends, axis)


def _permute(x: Any, *axes: Any) -> Any:
    return np.transpose(x, *axes) if len(axes) == 1 else np.transpose(x, axes)


def _reshape(x: Any, *shape: Any) -> Any:
    return np.reshape(x, *shape) if len(shape) == 1 else np.reshape(x, shape)


def _identity(x: Any, *_: object, **__: object) -> Any:
    return x


TORCH_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in FUNCTIONS},
    **{name: getattr(np, name) for name in ("log2", "log10", "log1p", "expm1", "exp2", "deg2rad", "rad2deg")},
    **{name: getattr(np, name) for name in ("arctanh", "arccosh")},
    "atan": np.arctan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "abs": np.absolute,
    "square": np.square,
    "neg": np.negative,
    "negative": np.negative,
    **dict.fromkeys(("sigmoid", "expit"), lambda x: 0.5 + 0.5 * np.tanh(0.5 * x)),
    "relu": lambda x, **_: maximum(x, 0.0),
    **dict.fromkeys(("clamp", "clip"), clip),
    "clamp_min": lambda x, least: maximum(x, least),
    "clamp_max": lambda x, most: minimum(x, most),
    "maximum": maximum,
    "minimum": minimum,
    "hypot": hypot,
    **dict.fromkeys(("norm", "linalg_norm", "linalg_vector_norm"), norm),
    **dict.fromkeys(("add", "__add__", "__radd__"), operator.add),
    **dict.fromkeys(("sub", "__sub__", "subtract"), operator.sub),
    **dict.fromkeys(("mul", "__mul__", "__rmul__", "multiply"), operator.mul),
    **dict.fromkeys(("div", "true_divide", "divide", "__truediv__"), operator.truediv),
    **dict.fromkeys(("__rsub__", "rsub"), lambda x, y: y - x),
    "__rdiv__": lambda x, y: y / x,
    **dict.fromkeys(("pow", "__pow__"), operator.pow),
    "__rpow__": lambda x, y: y**x,
    **dict.fromkeys(("matmul", "__matmul__", "mm", "mv"), np.matmul),
    "__rmatmul__": lambda x, y: y @ x,
    **{name: getattr(np, name) for name in ("dot", "outer", "sum", "mean", "prod", "cumsum", "stack", "ravel")},
    **{name: getattr(np, name) for name in ("zeros_like", "ones_like", "roll", "tile", "kron")},
    "reshape": _reshape,
    "flatten": np.ravel,
    "squeeze": np.squeeze,
    "unsqueeze": np.expand_dims,
    "flip": np.flip,
    "einsum": np.einsum,
    "t": np.transpose,
    **dict.fromkeys(("transpose", "swapaxes"), np.swapaxes),
    "permute": _permute,
    "split": _split,
    "chunk": _chunk,
    "dim": np.ndim,
    "numel": np.size,
    **dict.fromkeys(("cat", "concat", "concatenate"), np.concatenate),
    **dict.fromkeys(("clone", "contiguous", "to", "float", "double", "cpu", "type_as", "requires_grad_"), _identity),
}
"""Functions and methods of torch that take symbols, with functions of NumPy that compute them.

Types and devices are those of the backend that runs the circuit, so conversions return their argument.
"""

METHODS = frozenset({*TORCH_FUNCTIONS, "detach"} - {"cat", "concat", "concatenate", "stack", "einsum"})
"""Functions that are methods of tensors, too."""

_NAMES = {"dim": "axis", "dims": "axis", "keepdim": "keepdims", "shifts": "shift"}


def call_torch_function(name: str, args: Sequence[Any], named: dict[str, Any]) -> Any:
    """Return the value of a function of torch for arrays. Raises UsageError for a function that is not in the table."""
    if name == "detach":
        raise UsageError("detach cannot be read: derivatives are those of the whole circuit")
    if name not in TORCH_FUNCTIONS:
        raise UsageError(
            f"{name} of torch cannot be read; arithmetic, sums, products and shapes can, and {', '.join(FUNCTIONS)}"
        )
    plain = {_NAMES.get(key, key): _from_torch(value) for key, value in named.items()}
    return TORCH_FUNCTIONS[name](*map(_from_torch, args), **plain)


def _from_torch(value: Any) -> Any:
    """Return an argument of a function of torch for NumPy: tensors as arrays, in lists too."""
    if isinstance(value, list | tuple):
        return type(value)(map(_from_torch, value))
    is_number = isinstance(value, int | float | str | np.ndarray | None)
    return value if is_number else np.asarray(value)
