"""A minimal environment family."""

import gymnasium as gym
import torch

from envs import TorchTasks, Uniform


class Counter(TorchTasks):
    """Minimal family: the state increases by the task's `rate`, the reward is the state; no ood split."""

    def __init__(self, **changes) -> None:
        super().__init__(
            **{
                "name": "counter",
                "horizon": 3,
                "observation_space": gym.spaces.Box(-9, 9, (1,)),
                "action_space": gym.spaces.Discrete(2, start=1),
                "observation_scale": [1.0],
                "parameters": {"rate": Uniform(1, 2)},
                "nominal": {"rate": 1.0},
            }
            | changes
        )

    def initial_state(self, tasks, generator):
        return torch.rand(len(tasks), 1, dtype=torch.float64, generator=generator)

    def observe(self, state, tasks):
        return state

    def transition(self, state, action, tasks):
        state = state + tasks.rate[:, None]
        return state, state[:, 0], action == 2
