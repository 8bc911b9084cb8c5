"""Random actions in third-party environments, by which a family finds typical magnitudes."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.wrapped import results
from envs.wrapped.actions import action_map
from envs.wrapped.masks import has_masks, invalid_actions
from envs.wrapped.results import Environment
from envs.wrapped.time_limit import Marker

Flags = NDArray[np.float32] | None
"""1 for each action that can be taken now; None if all can."""


def raw_flags(env: Environment, observation: object, info: Mapping[str, Any]) -> Flags:
    """Return the flags of an environment that is not wrapped. Raise Fault for an invalid mask."""
    return 1 - invalid_actions(env, observation, info) if has_masks(env, info) else None


def random_steps(
    env: Environment,
    seed: int,
    steps: int,
    options: dict[str, Any] | None,
    marker: Marker,
    valid_actions: Callable[[Any, Mapping[str, Any]], Flags],
) -> Iterator[tuple[Any, float]]:
    """Yield observations and rewards of `steps` random actions over several episodes, with the initial observations.

    The marker counts the steps; `valid_actions` returns the flags after an observation and an info. Raise Fault for
    results that are not those of Gymnasium's interface.
    """
    actions = deepcopy(env.action_space)  # a copy, as a change of task may replace the space by an unseeded one
    actions.seed(seed)
    observation, info = results.reset(env, seed, options)
    yield observation, 0.0
    for _ in range(steps):
        marker[0] += 1
        action = _draw(actions, valid_actions(observation, info))
        observation, reward, terminated, truncated, info = results.step(env, action)
        yield observation, reward
        if terminated or truncated:
            observation, info = results.reset(env, None, None)
            yield observation, 0.0


def _draw(actions: gym.Space[Any], valid: Flags) -> object:
    """Draw an action that can be taken now."""
    if valid is None:
        return actions.sample()
    if isinstance(actions, gym.spaces.Discrete):
        return actions.sample(mask=valid.astype(np.int8))
    convert = action_map(actions).to_environment
    assert convert is not None
    return convert(int(actions.np_random.choice(valid.nonzero()[0])))
