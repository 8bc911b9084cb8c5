"""An environment with random observations of any space."""

from typing import Any

import gymnasium


class RandomObservations(gymnasium.Env[Any, Any]):
    """Environment whose observations are samples of a space; episodes end after five steps, with two actions."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.observation_space, self._steps = space, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        return self.observation_space.sample(), float(action), self._steps >= 5, False, {}
