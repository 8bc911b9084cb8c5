"""Mountain car with a throttle and an unknown engine: power of unknown sign and size, unknown gravity.

## Description

Gymnasium's `MountainCarContinuous-v0`, whose engine and gravity change from task to task. The engine is too weak to
drive up the hill: the agent has to rock the car out of the valley by pushing along with its motion. The sign of the
power is unknown, so a positive action may push to the left. To first order in the power, a fixed policy loses in a
swing with one sign the energy that the policy gains with the other, so the agent has to identify the sign. The nominal
task is `MountainCarContinuous-v0` except for rounding: Gymnasium keeps its state in float32 (a test compares them).

## Action space

`Box(-1, 1, (1,), float32)`: the throttle, as a fraction of the power. Larger actions are clipped, but cost in full.

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

An agent that knows the sign and pushes along with the motion at full throttle, to the better side at first, has a
return of more than 80 in every task of all splits.

## Rewards

-0.1 u² for every step, with the action u, and 100 for the step that reaches the goal. Random actions reach the goal in
four of a thousand episodes, and a policy that does not reach the goal does best to do nothing. The option `shaping`
adds `shaping` times the increase of the car's energy, as a fraction of the energy needed to reach the goal (clipped at
1). Over an episode, these rewards add up to `shaping` times the final fraction minus the initial one.

## Starting state

Position uniform in [-0.6, -0.4) m, at rest.

## Episode end

1. Termination: the position is 0.45 m or more.
2. Truncation: the horizon, 999 steps by default.

## Pictures

Gymnasium's.

## Source

A. Moore, "Efficient Memory-based Learning for Robot Control", PhD thesis, University of Cambridge, 1990; dynamics as
in Gymnasium's continuous_mountain_car.py. The shaping is potential-based (Ng, Harada, Russell, ICML 1999), with
discount 1.
"""

from dataclasses import dataclass

import gymnasium as gym
from jaxtyping import Bool, Float64
from torch import Tensor

from envs import SignedUniform, Tasks, TorchTasks, Uniform
from envs.core.distribution import check_horizon
from envs.dynamics import mountain_car as physics
from envs.dynamics.drawing import Picture
from envs.dynamics.gymnasium_renderers import picture
from qrl.common.checks import finite_number

GOAL = 0.45
"""Position at which the episode ends [m]."""

ARRIVAL_REWARD = 100.0
"""Reward of the step that reaches the goal [reward]."""

THROTTLE_COST = 0.1
"""Cost of a step at full throttle [reward]."""


@dataclass(frozen=True)
class Config:
    """Options of the mountain car with a throttle and an unknown engine."""

    horizon: int = 999
    """Longest episode [steps]. Default from MountainCarContinuous-v0."""

    shaping: float = 0.0
    """Shaping reward for gaining the energy needed to reach the goal [reward]; 100 equals the reward of reaching the
    goal. Default from MountainCarContinuous-v0, which has no shaping: without shaping, policy gradients learn to do
    nothing."""

    def __post_init__(self) -> None:
        check_horizon("mountain_car_continuous", self.horizon)
        finite_number("mountain_car_continuous: shaping [reward]", self.shaping)


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return MountainCarContinuous(config)


class MountainCarContinuous(physics.MountainCarState, TorchTasks):
    """Mountain car with a throttle and an unknown engine; the datasheet is at the top of the file."""

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        super().__init__(
            name="mountain_car_continuous",
            horizon=config.horizon,
            observation_space=physics.observation_space(),
            action_space=gym.spaces.Box(-1.0, 1.0, (1,)),
            observation_scale=physics.OBSERVATION_SCALE,
            reward_scale=10.0,  # between the 0.1 of a step and the 100 of the last step
            parameters={"power": SignedUniform(0.001, 0.0018), "gravity": Uniform(0.002, 0.003)},
            ood={"power": SignedUniform(0.0018, 0.0024), "gravity": Uniform(0.003, 0.004)},
            nominal={"power": 0.0015, "gravity": 0.0025},
            positive=("gravity",),
        )
        self.shaping = config.shaping

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Make one step with this task's engine and gravity."""
        throttle = action.squeeze(1)
        after = physics.advance(state, throttle.clamp(-1.0, 1.0) * tasks.power, tasks.gravity)
        arrived = physics.arrived(after, GOAL)
        reward = throttle.square().mul_(-THROTTLE_COST).add_(arrived, alpha=ARRIVAL_REWARD)
        if self.shaping != 0:
            reward = reward + self.shaping * physics.energy_gain(state, after, tasks.gravity, GOAL)
        return after, reward, arrived

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Return Gymnasium's picture."""
        return picture("MountainCarContinuous-v0", state)
