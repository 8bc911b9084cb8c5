"""State of torch's optimisers."""

import inspect

import torch
from torch import Tensor


def fresh_moments(optimiser: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """Return the tensors of an optimiser's state for such a parameter after one step, by name."""
    copy = torch.zeros_like(parameter, requires_grad=True)
    copy.grad = torch.zeros_like(copy)
    options = inspect.signature(type(optimiser)).parameters.keys() & optimiser.defaults.keys()
    other = type(optimiser)([copy], **{name: optimiser.param_groups[0][name] for name in options})
    other.step()
    return {key: value for key, value in other.state[copy].items() if isinstance(value, Tensor)}
