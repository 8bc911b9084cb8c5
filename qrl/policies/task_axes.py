"""Parameters of several tasks, [*tasks, ...], in operations over batches of samples, [*tasks, batch, ...]."""

import torch
from jaxtyping import Float
from torch import Tensor


def for_batch(vector: Float[Tensor, "*tasks n"]) -> Float[Tensor, "..."]:
    """Insert the batch axis into a vector of each task; without task axes, return it unchanged."""
    return vector if vector.ndim == 1 else vector.unsqueeze(-2)


def affine(
    inputs: Float[Tensor, "*batch input"],
    weight: Float[Tensor, "*tasks output input"],
    bias: Float[Tensor, "*tasks output"],
) -> Float[Tensor, "*batch output"]:
    """Return W x + b, for the parameters of one task or for those of several with their own batches."""
    if weight.ndim == 2:
        return torch.nn.functional.linear(inputs, weight, bias)
    return inputs @ weight.mT + for_batch(bias)
