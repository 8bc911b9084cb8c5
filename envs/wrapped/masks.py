"""Masks of third-party environments: flags that say which actions can be taken now.

An environment has masks if one of these exists, looked for in this order: the entry `action_mask` of its infos (as in
Gymnasium's Taxi-v3), its method or attribute `action_masks` (as in Stable-Baselines3's MaskablePPO), the part
`action_mask` of its Dict of observations (as in RLlib and PettingZoo).

| actions                    | mask                                                                             |
|----------------------------|----------------------------------------------------------------------------------|
| Discrete                   | a flag for each action                                                           |
| MultiDiscrete, MultiBinary | the flags of all parts in one vector, or in a tuple or list of vectors; or an    |
|                            | array with a flag for each combination, an axis for each part                    |
"""

import functools
from collections.abc import Mapping
from typing import Any, TypeGuard

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.wrapped.faults import Fault
from envs.wrapped.results import Environment, kind

MASK = "action_mask"
"""Entry of an info, or part of a Dict of observations."""

MASK_METHOD = "action_masks"
"""Method of an environment, or attribute."""


def has_masks(env: Environment, info: Mapping[str, Any]) -> bool:
    """Return whether an environment says, after a reset with this info, which of its actions can be taken."""
    return _can_be_masked(env) and _gives_masks(env, info)


def ignored_masks(env: Environment, info: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a note for the user if an environment gives masks of actions that have none, such as those of a Box."""
    if _can_be_masked(env) or not _gives_masks(env, info):
        return ()
    space = type(env.action_space).__name__
    return (f"the environment's action masks have no effect: its actions are a {space}, of which none is masked",)


def _can_be_masked(env: Environment) -> bool:
    return isinstance(env.action_space, gym.spaces.Discrete | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary)


def _gives_masks(env: Environment, info: Mapping[str, Any]) -> bool:
    return MASK in info or _by_method(env) or _by_observation(env)


def _by_method(env: Environment) -> bool:
    return env.has_wrapper_attr(MASK_METHOD) and env.get_wrapper_attr(MASK_METHOD) is not None


def _by_observation(env: Environment) -> bool:
    return isinstance(env.observation_space, gym.spaces.Dict) and MASK in env.observation_space.spaces


def with_flags(observations: gym.spaces.Box, actions: gym.spaces.Box | gym.spaces.Discrete) -> gym.spaces.Box:
    """Return a space of vectors with a flag for each invalid action after their entries."""
    assert isinstance(actions, gym.spaces.Discrete)
    flags = np.ones(int(actions.n), dtype=np.float32)
    low, high = np.append(observations.low, 0 * flags), np.append(observations.high, flags)
    return gym.spaces.Box(low, high, dtype=np.float32)


def invalid_actions(env: Environment, observation: object, info: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return 1 for each action of the family that cannot be taken now, else 0.

    All are 0 where none can be taken: after the end of an episode, or in a dead end, where any action will do.

    Args:
        env: the environment.
        observation: its last observation.
        info: its last info.

    Raises:
        Fault: the environment gives no mask, or one of another shape or with other numbers than 0 and 1.
    """
    if MASK in info:
        where, given = f"info[{MASK!r}]", info[MASK]
    elif _by_method(env):
        given = env.get_wrapper_attr(MASK_METHOD)
        where, given = (f"{MASK_METHOD}()", given()) if callable(given) else (MASK_METHOD, given)
    elif _by_observation(env) and isinstance(observation, Mapping):
        where, given = f"the part {MASK!r} of the observation", observation[MASK]
    else:
        raise Fault(f"the info has no {MASK!r} in this step, as it had after the first reset")
    if isinstance(env.action_space, gym.spaces.Discrete):
        valid = _flags(given, (int(env.action_space.n),), where)
    else:
        valid = _combined(given, _sizes(env.action_space), where)
    return 1 - valid if valid.any() else valid


def _sizes(space: gym.Space[Any]) -> tuple[int, ...]:
    """Return the number of values of each part of an action."""
    if isinstance(space, gym.spaces.MultiDiscrete):
        return tuple(space.nvec.reshape(-1).tolist())
    assert isinstance(space, gym.spaces.MultiBinary)
    return (2,) * int(np.prod(space.shape))


def _combined(given: object, sizes: tuple[int, ...], where: str) -> NDArray[np.float32]:
    """Return a flag for each combination of the parts' values, the last part fastest."""
    if isinstance(given, np.ndarray) and given.shape == sizes and len(sizes) > 1:
        return _flags(given, sizes, where).reshape(-1)
    if _is_by_part(given) and len(given) == len(sizes) > 1:
        parts = [_flags(part, (size,), where) for part, size in zip(given, sizes, strict=True)]
    else:
        parts = np.split(_flags(given, (sum(sizes),), where), np.cumsum(sizes)[:-1])
    return functools.reduce(np.multiply.outer, parts).reshape(-1)


def _is_by_part(given: object) -> TypeGuard[tuple[object, ...] | list[object]]:
    """Return whether these are the flags of each part. A list of numbers has those of all parts in one vector."""
    return isinstance(given, tuple) or (isinstance(given, list) and any(np.ndim(part) > 0 for part in given))


def _flags(given: object, shape: tuple[int, ...], where: str) -> NDArray[np.float32]:
    try:
        mask = np.asarray(given)
    except ValueError:  # rows of different lengths
        mask = np.empty(0)
    if mask.shape != shape or not np.isin(mask, (0, 1)).all():
        wanted = f"{shape[0]} numbers" if len(shape) == 1 else f"an array of shape {shape}"
        raise Fault(f"{where} must be {wanted}, 0 or 1, not {kind(given)}")
    return mask.astype(np.float32)
