"""Half cheetah with an unknown direction: run forwards or backwards, whichever is rewarded (MuJoCo).

## Description

Gymnasium's `HalfCheetah-v5`, whose reward counts the speed in an unknown direction. The agent has to identify the
direction in the first episodes. There are two tasks, so test tasks are train tasks; the family shows whether an agent
adapts, not whether the agent generalises. The family needs MuJoCo: `pip install 'qrl-meta[mujoco]'`.

## Action space

`Box(-1, 1, (6,), float32)`: torques at the six joints, times the gears of the model. Larger actions are clipped.

## Observation space

`Box(-inf, inf, (17,))` of `HalfCheetah-v5`: eight positions (all but the position along the track) and nine velocities.

## Task parameters

| Parameter | Nominal | Train, test | Meaning                                    |
|-----------|---------|-------------|--------------------------------------------|
| direction | 1       | {-1, 1}     | 1 pays for running forwards, -1 backwards  |

## Rewards

direction · velocity along the track [m/s] - 0.1 |action|², which is the reward of `HalfCheetah-v5` at direction 1.

## Starting state

The starting state of `HalfCheetah-v5`: noise of 0.1 around rest.

## Episode end

Truncation: the horizon, 100 steps (5 s) by default. There is no termination.

## Source

Finn, Abbeel, Levine 2017, "Model-agnostic meta-learning for fast adaptation of deep networks", section 5.3, whose
episodes have 200 steps; the simulator is Gymnasium's half_cheetah_v5.py on MuJoCo (Todorov, Erez, Tassa 2012).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from envs import GymnasiumTasks, Sign
from envs.core.distribution import check_horizon
from qrl.common.checks import check_count

REQUIRES = ("mujoco",)
EXTRA = "mujoco"


@dataclass(frozen=True)
class Config:
    """Options of the half cheetah that runs in an unknown direction."""

    horizon: int = 100
    """Longest episode [steps]; 200 in Finn et al. 2017, 1000 in HalfCheetah-v5."""

    workers: int = 0
    """Worker processes that step the environments [processes]; 0: the main process. Results do not depend on the number
    of processes. Ours."""

    def __post_init__(self) -> None:
        check_horizon("half_cheetah_direction", self.horizon)
        check_count("half_cheetah_direction: workers", self.workers, least=0)


def build(config: Config) -> GymnasiumTasks:
    """Return the task distribution of `config`."""
    return GymnasiumTasks(
        make,
        {"direction": Sign()},
        name="half_cheetah_direction",
        nominal={"direction": 1},
        horizon=config.horizon,
        workers=config.workers,
    )


def make(direction: float = 1.0, render_mode: str | None = None) -> "DirectionReward":
    """Make a half cheetah that is rewarded for running in `direction`."""
    with _suppress_model_warning():
        env = gym.make("HalfCheetah-v5", render_mode=render_mode, max_episode_steps=-1, disable_env_checker=True)
    return DirectionReward(env, direction)


class DirectionReward(gym.Wrapper[np.ndarray, np.ndarray, np.ndarray, np.ndarray]):
    """Wrapper of `HalfCheetah-v5` that rewards the speed in one direction."""

    def __init__(self, env: gym.Env[np.ndarray, np.ndarray], direction: float) -> None:
        super().__init__(env)
        self.direction = direction

    def set_task(self, task: Mapping[str, float]) -> None:
        """Change the direction."""
        self.direction = task["direction"]

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Make one step of the simulator."""
        observation, _, terminated, truncated, info = self.env.step(action)
        reward = self.direction * info["x_velocity"] + info["reward_ctrl"]
        return observation, float(reward), terminated, truncated, info


@contextmanager
def _suppress_model_warning() -> Iterator[None]:
    """Suppress MuJoCo's warning about the model that ships with Gymnasium, and the log file of the warning."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda text: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)
