"""Gymnasium spaces as tensors."""

from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor


def action_units(space: gymnasium.Space[Any], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Return `low`, `high`, `centre` and `half` width of a Box [act]; an unbounded dimension has centre 0 and unit 1.

    Other spaces have no units: the dict is empty.
    """
    if not isinstance(space, gymnasium.spaces.Box):
        return {}
    bounds = (np.asarray(bound, dtype=np.float32) for bound in (space.low, space.high))
    low, high = (torch.as_tensor(bound, device=device) for bound in bounds)
    bounded = torch.isfinite(low) & torch.isfinite(high)
    centre, half = torch.where(bounded, (low + high) / 2, 0.0), torch.where(bounded, (high - low) / 2, 1.0)
    return {"low": low, "high": high, "centre": centre, "half": half}
