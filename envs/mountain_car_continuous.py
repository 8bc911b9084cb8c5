"""Mountain car with a throttle and an unknown engine: power of unknown sign and size, in a valley of unknown gravity.

## Description

Gymnasium's `MountainCarContinuous-v0`, whose engine and gravity change from task to task. The engine is too weak to
drive up the hill: the car has to be rocked out of the valley by pushing along with its motion. The sign of the power
is unknown, so a positive action may push to the left. To first order in the power, the energy that a fixed rule from
observation to action gains over a swing with one sign it loses with the other, so what pushes where has to be found
out. At the nominal task it is `MountainCarContinuous-v0`, but for rounding: Gymnasium keeps its state in float32
(a test compares them).

## Action space

`Box(-1, 1, (1,), float32)`: the throttle, a share of the power. Larger actions are clipped, but paid for in full.

## Observation space

| Num | Observation | Min   | Max  | Unit   |
|-----|-------------|-------|------|--------|
| 0   | Position    | -1.2  | 0.6  | m      |
| 1   | Velocity    | -0.07 | 0.07 | m/step |

The observation is the whole state.

## Task parameters

| Parameter | Nominal | Train, test       | OOD                | Unit    | Meaning                                |
|-----------|---------|-------------------|--------------------|---------|----------------------------------------|
| power     | 0.0015  | ±U[0.001, 0.0018] | ±U[0.0018, 0.0024] | m/step² | acceleration at the throttle 1         |
| gravity   | 0.0025  | U[0.002, 0.003]   | U[0.003, 0.004]    | m/step² | pull of the hill where it is steepest  |

Who knows the sign and pushes along with the motion at full throttle, to the better side at first, is paid more than
80 in every task of all splits.

## Rewards

-0.1 u² for every step, with the action u, and 100 for the step that reaches the goal. Random actions reach it in four
of a thousand episodes, and for who does not reach it the best is to do nothing. The option `shaping` adds a reward
for the growth of the car's energy, as a share of what reaching the goal takes (at most 1). Over an episode that makes
`shaping` times the share at its end, less that at its start.

## Starting state

Position uniform in [-0.6, -0.4) m, at rest.

## Episode end

1. Termination: the position is 0.45 m or more.
2. Truncation: the horizon, 999 steps by default.

## Pictures

Gymnasium's.

## Source

A. Moore, "Efficient Memory-based Learning for Robot Control", PhD thesis, University of Cambridge, 1990; dynamics as
in Gymnasium's continuous_mountain_car.py. The shaping is by a potential (Ng, Harada, Russell, ICML 1999), with
discount 1.
"""

from dataclasses import dataclass

import gymnasium as gym
from jaxtyping import Bool, Float64
from torch import Tensor

from envs import SignedUniform, Tasks, TorchTasks, Uniform
from envs.dynamics import mountain_car as physics
from envs.dynamics.drawing import Picture
from envs.dynamics.gymnasium_renderers import picture
from qrl.common.checks import check_count, finite_number

GOAL = 0.45
"""The episode ends at this position [m]."""

ARRIVAL_REWARD = 100.0
"""For the step that reaches the goal [reward]."""

THROTTLE_COST = 0.1
"""Of a step at full throttle [reward]."""


@dataclass(frozen=True)
class Config:
    """Options of the mountain car with a throttle and an unknown engine."""

    horizon: int = 999
    """Longest episode [steps]. Default from MountainCarContinuous-v0."""

    shaping: float = 0.0
    """Reward for the energy that reaching the goal takes [reward]; 100 is as much as for reaching it.
    Default from MountainCarContinuous-v0, which has none: without it, policy gradients learn to do nothing."""

    def __post_init__(self) -> None:
        check_count("mountain_car_continuous: horizon [steps]", self.horizon)
        finite_number("mountain_car_continuous: shaping [reward]", self.shaping)


def build(config: Config) -> TorchTasks:
    """The task distribution of `config`."""
    return MountainCarContinuous(config)


class MountainCarContinuous(physics.MountainCarState, TorchTasks):
    """The mountain car with a throttle and an unknown engine; the datasheet is at the top of the file."""

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        super().__init__(
            name="mountain_car_continuous",
            horizon=config.horizon,
            observation_space=physics.observation_space(),
            action_space=gym.spaces.Box(-1.0, 1.0, (1,)),
            observation_scale=physics.OBSERVATION_SCALE,
            reward_scale=10.0,  # between the 0.1 of a step and the 100 of the last one
            parameters={"power": SignedUniform(0.001, 0.0018), "gravity": Uniform(0.002, 0.003)},
            ood={"power": SignedUniform(0.0018, 0.0024), "gravity": Uniform(0.003, 0.004)},
            nominal={"power": 0.0015, "gravity": 0.0025},
            positive=("gravity",),
        )
        self.shaping = config.shaping

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """One step, with this task's engine in this task's valley."""
        throttle = action.squeeze(1)
        after = physics.advance(state, throttle.clamp(-1.0, 1.0) * tasks.power, tasks.gravity)
        arrived = physics.arrived(after, GOAL)
        reward = throttle.square().mul_(-THROTTLE_COST).add_(arrived, alpha=ARRIVAL_REWARD)
        if self.shaping != 0:
            reward = reward + self.shaping * physics.progress(state, after, tasks.gravity, GOAL)
        return after, reward, arrived

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Gymnasium's picture."""
        return picture("MountainCarContinuous-v0", state)
