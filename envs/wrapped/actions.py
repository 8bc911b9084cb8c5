"""Actions of third-party environments as the library's: one number from 0, or a vector of floats.

| the environment's space          | the family's space                                          |
|----------------------------------|-------------------------------------------------------------|
| Discrete with a start            | Discrete from 0                                             |
| Box of floats of any shape       | Box of one axis                                             |
| MultiDiscrete, MultiBinary       | Discrete, one action for each combination, the last fastest |
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.wrapped.faults import Fault
from envs.wrapped.results import Environment, kind
from qrl.common.errors import UsageError

MAX_COMBINATIONS = 1024
"""Most combinations of a MultiDiscrete or MultiBinary action; each is an output of the policy."""

MASK = "action_mask"
"""Entry of an info with a flag for each action, 1 if it can be taken now (as in Gymnasium's Taxi-v3)."""

MASK_METHOD = "action_masks"
"""Method of an environment that returns these flags (as in Stable-Baselines3's MaskablePPO)."""


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
        case gym.spaces.Box() if np.issubdtype(space.dtype, np.floating):
            if len(space.shape) == 1:
                return ActionMap(space, None)
            flat = gym.spaces.Box(space.low.reshape(-1), space.high.reshape(-1), dtype=space.dtype.type)
            return ActionMap(flat, lambda action: action.reshape(space.shape))
        case gym.spaces.MultiDiscrete() | gym.spaces.MultiBinary():
            return _combinations(space)
    raise UsageError(f"actions must be Discrete, MultiDiscrete, MultiBinary or a Box of floats, not {space}")


def _combinations(space: gym.spaces.MultiDiscrete | gym.spaces.MultiBinary) -> ActionMap:
    if isinstance(space, gym.spaces.MultiDiscrete):
        sizes, start = space.nvec, space.start
    else:
        sizes, start = np.full(space.shape, 2), np.zeros(space.shape, dtype=space.dtype)
    count = math.prod(sizes.reshape(-1).tolist())
    if count > MAX_COMBINATIONS:
        raise UsageError(f"actions {space} have {count:,} combinations; at most {MAX_COMBINATIONS:,} can be outputs")
    parts = np.stack(np.unravel_index(np.arange(count), sizes.reshape(-1)), axis=1)
    table = (parts.reshape(count, *sizes.shape) + start).astype(space.dtype)
    return ActionMap(gym.spaces.Discrete(count), lambda action: table[action].copy())


def has_masks(env: Environment, info: Mapping[str, Any]) -> bool:
    """Return whether an environment says, after a reset with this info, which of its actions can be taken."""
    is_discrete = isinstance(env.action_space, gym.spaces.Discrete)
    return is_discrete and (MASK in info or env.has_wrapper_attr(MASK_METHOD))


def with_flags(observations: gym.spaces.Box, actions: gym.spaces.Box | gym.spaces.Discrete) -> gym.spaces.Box:
    """Return a space of vectors with a flag for each invalid action after their entries."""
    assert isinstance(actions, gym.spaces.Discrete)
    flags = np.ones(int(actions.n), dtype=np.float32)
    low, high = np.append(observations.low, 0 * flags), np.append(observations.high, flags)
    return gym.spaces.Box(low, high, dtype=np.float32)


def invalid_actions(env: Environment, info: Mapping[str, Any], n_actions: int) -> NDArray[np.float32]:
    """Return 1 for each action that cannot be taken now, else 0; all 0 where none can, after the end of an episode.

    Raises:
        Fault: the environment gives no mask, or one of another shape or with other numbers than 0 and 1.
    """
    if MASK in info:
        where, given = f"info[{MASK!r}]", info[MASK]
    elif env.has_wrapper_attr(MASK_METHOD):
        where, given = f"{MASK_METHOD}()", env.get_wrapper_attr(MASK_METHOD)()
    else:
        raise Fault(f"the info has no {MASK!r} in this step, as it had after the first reset")
    mask = np.asarray(given)
    if mask.shape != (n_actions,) or not np.isin(mask, (0, 1)).all():
        raise Fault(f"{where} must be {n_actions} numbers, 0 or 1, not {kind(given)}")
    return np.zeros(n_actions, dtype=np.float32) if not mask.any() else 1 - mask.astype(np.float32)
