"""Pictures of families that have an original in Gymnasium, drawn by the original's own renderer.

The original is made once in a process, put into the state to be drawn, and asked for its picture. It needs pygame, the
extra `render`.
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
def _original(name: str) -> Any:
    """Gymnasium's environment `name`, without its wrappers: it is only drawn, never stepped."""
    return gym.make(name, render_mode="rgb_array", disable_env_checker=True).unwrapped


def picture(name: str, state: Float64[Tensor, "1 state"], **attributes: Any) -> Picture:
    """The picture that Gymnasium's environment `name` draws of `state`.

    Args:
        name: its id, such as "CartPole-v1".
        state: one lane, in the order of the original's `state`.
        attributes: what else its picture depends on, such as a length, under the original's names.

    Raises:
        UsageError: pygame is not installed.
    """
    original = _original(name)
    for attribute, value in {**attributes, "state": state[0].numpy()}.items():
        setattr(original, attribute, value)
    return drawn_by(original, name)


def drawn_by(original: gym.Env[Any, Any], name: str) -> Picture:
    """The picture that Gymnasium's environment `original` draws of itself. Raises UsageError without pygame."""
    try:
        drawn: Any = original.render()
    except gym.error.DependencyNotInstalled:
        raise UsageError(f"pictures of {name} need pygame: pip install '{DISTRIBUTION}[render]'") from None
    return np.asarray(drawn)
