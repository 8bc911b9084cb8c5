"""Actions of third-party environments as the library's: one number from 0, or a vector of floats.

| the environment's space          | the family's space                                          |
|----------------------------------|-------------------------------------------------------------|
| Discrete with a start            | Discrete from 0                                             |
| Box of floats of any shape       | Box of one axis                                             |
| MultiDiscrete, MultiBinary       | Discrete, one action for each combination, the last fastest |
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from qrl.common.errors import UsageError

MAX_COMBINATIONS = 1024
"""Most combinations of a MultiDiscrete or MultiBinary action; each is an output of the policy."""

WRAPPER = "wrap the environment by gymnasium.wrappers.TransformAction in a function, see docs/custom-environments.md"


@dataclass(frozen=True)
class ActionMap:
    """Space of the family's actions, and how they become the environment's."""

    space: gym.spaces.Box | gym.spaces.Discrete
    to_environment: Callable[[Any], Any] | None
    """Converts one action that is within its bounds; None if it stays as it is."""


def action_map(space: gym.Space[Any]) -> ActionMap:
    """Return the map of an environment's action space. Raise UsageError for a space without one."""
    match space:
        case gym.spaces.Discrete():
            if space.start == 0:
                return ActionMap(space, None)
            start = space.start
            return ActionMap(gym.spaces.Discrete(int(space.n)), lambda action: space.dtype.type(action + start))
        case gym.spaces.Box() if np.issubdtype(space.dtype, np.floating) and math.prod(space.shape) > 0:
            if len(space.shape) == 1:
                return ActionMap(space, None)
            flat = gym.spaces.Box(space.low.reshape(-1), space.high.reshape(-1), dtype=space.dtype.type)
            return ActionMap(flat, lambda action: action.reshape(space.shape))
        case gym.spaces.MultiDiscrete() | gym.spaces.MultiBinary():
            return _combinations(space)
    raise UsageError(f"actions must be Discrete, MultiDiscrete, MultiBinary or a Box of floats, not {space}; {WRAPPER}")


def _combinations(space: gym.spaces.MultiDiscrete | gym.spaces.MultiBinary) -> ActionMap:
    if isinstance(space, gym.spaces.MultiDiscrete):
        sizes, start = space.nvec, space.start
    else:
        sizes, start = np.full(space.shape, 2), np.zeros(space.shape, dtype=space.dtype)
    count = math.prod(sizes.reshape(-1).tolist())
    if count > MAX_COMBINATIONS:
        raise UsageError(
            f"actions {space} have {count:,} combinations; at most {MAX_COMBINATIONS:,} can be outputs; {WRAPPER}"
        )
    parts = np.stack(np.unravel_index(np.arange(count), sizes.reshape(-1)), axis=1)
    table = (parts.reshape(count, *sizes.shape) + start).astype(space.dtype)
    return ActionMap(gym.spaces.Discrete(count), lambda action: table[action].copy())
