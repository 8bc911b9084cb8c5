"""Inputs of a layer."""

import torch
from torch import Tensor

from qrl.common.errors import UsageError


def layer_inputs(inputs: object, n_inputs: int, dtype: torch.dtype) -> Tensor:
    """Return inputs [*batch, input] of samples, whole numbers in the precision of the parameters, `dtype`.

    Raises UsageError unless they are a tensor of real numbers, of this width.
    """
    if not isinstance(inputs, Tensor):
        kind = type(inputs).__name__
        raise UsageError(f"layer: expected a tensor of {n_inputs} inputs, found a {kind}; torch.as_tensor makes it one")
    if inputs.is_complex():
        raise UsageError(
            f"layer: expected {n_inputs} real inputs, found complex numbers; inputs.real or torch.view_as_real takes "
            "their parts"
        )
    if inputs.ndim == 0:
        raise UsageError(f"layer: expected {n_inputs} inputs, found a number")
    if inputs.shape[-1] != n_inputs:
        raise UsageError(f"layer: expected {n_inputs} inputs, found {inputs.shape[-1]}")
    return inputs if inputs.is_floating_point() else inputs.to(dtype)
