"""Mountain car with an unknown engine: force of unknown sign and size, in a valley of unknown gravity.

## Description

Gymnasium's `MountainCar-v0`, whose engine and gravity change from task to task. The engine is too weak to drive up
the hill: the agent has to rock the car out of the valley by pushing along with its motion. The sign of the force is
unknown, so action 2 may push to the left, and then the same actions brake. To first order in the force, a fixed policy
loses in a swing with one sign the energy that the policy gains with the other, so the agent has to identify the sign.
The nominal task is `MountainCar-v0` (a test compares them).

## Action space

`Discrete(3)`: 0 pushes with -force, 1 not at all, 2 with +force.

## Observation space

| Num | Observation | Min   | Max  | Unit   |
|-----|-------------|-------|------|--------|
| 0   | Position    | -1.2  | 0.6  | m      |
| 1   | Velocity    | -0.07 | 0.07 | m/step |

The observation is the whole state.

## Task parameters

| Parameter | Nominal | Train, test       | OOD               | Unit    | Meaning                                    |
|-----------|---------|-------------------|-------------------|---------|--------------------------------------------|
| force     | 0.001   | ±U[0.001, 0.0015] | ±U[0.0015, 0.002] | m/step² | of action 2; action 0 pushes the other way |
| gravity   | 0.0025  | U[0.002, 0.0028]  | U[0.0028, 0.004]  | m/step² | pull of the hill where it is steepest      |

An agent that knows the sign and pushes along with the motion, to the better side at first, reaches the goal within 130
steps in every task of all splits.

## Rewards

-1 for every step, including the step that reaches the goal. Random actions hardly ever reach the goal, and policies
that never reach the goal all have the same return. The option `shaping` adds `shaping` times the increase of the car's
energy, as a fraction of the energy needed to reach the goal (clipped at 1). Over an episode, these rewards add up to
`shaping` times the final fraction minus the initial one.

## Starting state

Position uniform in [-0.6, -0.4) m, at rest.

## Episode end

1. Termination: the position is 0.5 m or more.
2. Truncation: the horizon, 200 steps by default.

## Pictures

Gymnasium's.

## Source

A. Moore, "Efficient Memory-based Learning for Robot Control", PhD thesis, University of Cambridge, 1990; dynamics as
in Gymnasium's mountain_car.py. The shaping is potential-based (Ng, Harada, Russell, ICML 1999), with discount 1.
"""

from dataclasses import dataclass

import gymnasium as gym
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from envs import SignedUniform, Tasks, TorchTasks, Uniform
from envs.core.distribution import check_horizon
from envs.dynamics import mountain_car as physics
from envs.dynamics.drawing import Picture
from envs.dynamics.gymnasium_renderers import picture
from qrl.common.checks import finite_number

GOAL = 0.5
"""Position at which the episode ends [m]."""


@dataclass(frozen=True)
class Config:
    """Options of the mountain car with an unknown engine."""

    horizon: int = 200
    """Longest episode [steps]. Default from MountainCar-v0."""

    shaping: float = 0.0
    """Shaping reward for gaining the energy needed to reach the goal [reward]; 100 is about the step cost of a good
    episode. Default from MountainCar-v0, which has no shaping: without shaping, policy gradients have no signal."""

    def __post_init__(self) -> None:
        check_horizon("mountain_car", self.horizon)
        finite_number("mountain_car: shaping [reward]", self.shaping)


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return MountainCar(config)


class MountainCar(physics.MountainCarState, TorchTasks):
    """Mountain car with an unknown engine; the datasheet is at the top of the file."""

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        super().__init__(
            name="mountain_car",
            horizon=config.horizon,
            observation_space=physics.observation_space(),
            action_space=gym.spaces.Discrete(3),
            observation_scale=physics.OBSERVATION_SCALE,
            parameters={"force": SignedUniform(0.001, 0.0015), "gravity": Uniform(0.002, 0.0028)},
            ood={"force": SignedUniform(0.0015, 0.002), "gravity": Uniform(0.0028, 0.004)},
            nominal={"force": 0.001, "gravity": 0.0025},
            positive=("gravity",),
        )
        self.shaping = config.shaping

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Make one step with this task's engine and gravity."""
        after = physics.advance(state, (action - 1) * tasks.force, tasks.gravity)
        reward = torch.full_like(tasks.force, -1.0)
        if self.shaping != 0:
            reward = reward + self.shaping * physics.energy_gain(state, after, tasks.gravity, GOAL)
        return after, reward, physics.arrived(after, GOAL)

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Return Gymnasium's picture."""
        return picture("MountainCar-v0", state)
