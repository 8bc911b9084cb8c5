"""Parameter groups and state of torch's optimisers."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def adam(params: Mapping[str, Tensor], rates: Mapping[str, float], *, amsgrad: bool = False) -> torch.optim.Adam:
    """Return Adam with a learning rate for each parameter, by name; parameters of equal rates form one group.

    The steps are bitwise those of one group per parameter and of `foreach=False`.
    """
    groups: list[dict[str, Any]] = [
        {"params": [value for name, value in params.items() if rates[name] == rate], "lr": rate}
        for rate in dict.fromkeys(rates[name] for name in params)
    ]
    return torch.optim.Adam(groups, amsgrad=amsgrad, foreach=True)


def fresh_moments(optimiser: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """Return the tensors of an optimiser's state for such a parameter after one step, by name."""
    copy = torch.zeros_like(parameter, requires_grad=True)
    copy.grad = torch.zeros_like(copy)
    options = inspect.signature(type(optimiser)).parameters.keys() & optimiser.defaults.keys()
    other = type(optimiser)([copy], **{name: optimiser.param_groups[0][name] for name in options})
    other.step()
    return {key: value for key, value in other.state[copy].items() if isinstance(value, Tensor)}
