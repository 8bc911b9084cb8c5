"""Observation and action spaces of Stable-Baselines3's MlpPolicy."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim

from qrl.common.errors import UsageError


def n_preprocessed(space: gymnasium.Space[Any]) -> int:
    """Return the number of entries of an observation after Stable-Baselines3's preprocessing, flattened.

    Discrete and MultiDiscrete observations are one-hot, matrices are flattened. Raises UsageError for other spaces, and
    for discrete ones that the preprocessing does not support.
    """
    if isinstance(space, spaces.Dict | spaces.Tuple):
        raise UsageError(
            f"sb3: observations must be a Box, Discrete, MultiDiscrete or MultiBinary space, not {space}; wrap the "
            "environment in gymnasium.wrappers.FlattenObservation"
        )
    if not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise UsageError(
            f"sb3: observations must be a Box, Discrete, MultiDiscrete or MultiBinary space, not {space}; write a "
            "gymnasium.ObservationWrapper that turns them into a Box"
        )
    if isinstance(space, spaces.Box) and not space.shape:
        raise UsageError(
            f"sb3: a Box of observations must have an axis, not as in {space}; wrap the environment in "
            "gymnasium.wrappers.ReshapeObservation(env, (1,))"
        )
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and np.any(space.start):
        raise UsageError(
            f"sb3: discrete observations must start at 0, not as in {space}; subtract the start "
            "with gymnasium.wrappers.TransformObservation"
        )
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) != 1:
        raise UsageError(f"sb3: a MultiDiscrete observation space must have one axis, not shape {space.shape}")
    return int(get_flattened_obs_dim(space))


def check_actions(space: gymnasium.Space[Any]) -> None:
    """Raise UsageError for discrete actions that Stable-Baselines3 takes but gets wrong.

    It counts actions from 0, and would give the environment those that its space does not contain.
    """
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and np.any(space.start):
        raise UsageError(
            f"sb3: discrete actions must start at 0, not as in {space}; add the start "
            "with gymnasium.wrappers.TransformAction"
        )
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) != 1:
        raise UsageError(f"sb3: a MultiDiscrete action space must have one axis, not shape {space.shape}")
