"""Pictures of families with a reference implementation in Gymnasium, drawn by Gymnasium's renderer.

The module makes Gymnasium's environment once per process, sets its state, and calls its `render`. Rendering needs
pygame, the extra `render`.
"""

from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Float64
from torch import Tensor

from envs.dynamics.drawing import Picture
from qrl.common.errors import UsageError
from qrl.common.summaries import DISTRIBUTION


@cache
def _gymnasium_env(name: str) -> gym.Env[Any, Any]:
    """Make Gymnasium's environment `name`, without its wrappers; the environment is rendered and never stepped."""
    return gym.make(name, render_mode="rgb_array", disable_env_checker=True).unwrapped


def picture(name: str, state: Float64[Tensor, "1 state"], **attributes: object) -> Picture:
    """Return the picture that Gymnasium's environment `name` draws of `state`.

    Args:
        name: id of the environment, such as "CartPole-v1".
        state: one lane, in the order of that environment's `state`.
        attributes: other attributes that the picture depends on, such as a length, by that environment's names.

    Raises:
        UsageError: pygame is not installed.
    """
    gymnasium_env = _gymnasium_env(name)
    for attribute, value in {**attributes, "state": state[0].numpy()}.items():
        setattr(gymnasium_env, attribute, value)
    return rendered(gymnasium_env, name)


def rendered(gymnasium_env: gym.Env[Any, Any], name: str) -> Picture:
    """Return the picture rendered by Gymnasium's environment. Raise UsageError without pygame."""
    try:
        drawn = gymnasium_env.render()
    except gym.error.DependencyNotInstalled:
        raise UsageError(f"rendering {name} needs pygame: pip install '{DISTRIBUTION}[render]'") from None
    return np.asarray(drawn)
