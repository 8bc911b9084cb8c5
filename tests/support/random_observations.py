"""An environment with random observations of any space."""

from typing import Any

import gymnasium
import numpy as np


class RandomObservations(gymnasium.Env[Any, Any]):
    """Environment whose observations are samples of a space, by default with two actions; episodes have five steps.

    A step's reward is the sum of the entries of its action.
    """

    def __init__(self, space: gymnasium.Space[Any], actions: gymnasium.Space[Any] | None = None) -> None:
        self.observation_space, self._steps = space, 0
        self.action_space = gymnasium.spaces.Discrete(2) if actions is None else actions

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        return self.observation_space.sample(), float(np.sum(action)), self._steps >= 5, False, {}
