"""Checks of the values of task parameters: numbers and arrays of numbers."""

import numpy as np
from numpy.typing import NDArray

from qrl.common.checks import finite_number
from qrl.common.errors import UsageError


def finite_array(name: str, value: object, shape: tuple[int, ...] = ()) -> NDArray[np.float64]:
    """Return `value` as an array [*shape]; a number is repeated over the whole shape.

    Raises:
        UsageError: `value` does not have that shape, or is not finite; the message calls the value `name`.
    """
    if not shape:
        return np.asarray(finite_number(name, value))
    try:
        array = np.broadcast_to(np.asarray(value, dtype=np.float64), shape)
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be numbers of shape {shape}, not {value!r}") from None
    if not np.isfinite(array).all():
        raise UsageError(f"{name} must be finite, not {value!r}")
    return array
