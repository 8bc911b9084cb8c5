"""Pendulum with unknown physics and a hidden target angle: swing to the target with little torque and hold it.

## Description

Gymnasium's `Pendulum-v1`, whose mass, length, gravity and target angle change from task to task. The agent should hold
the rod at the target angle, which the observation does not show. No single policy does well on all targets: the rewards
of the first episodes carry the only information on the target. The nominal task is `Pendulum-v1` (a test compares
them).

## Action space

`Box(-2, 2, (1,), float32)`: the torque at the pivot [N m], positive in the direction of growing angles. Larger actions
are clipped.

## Observation space

| Num | Observation      | Min | Max | Unit  |
|-----|------------------|-----|-----|-------|
| 0   | cos θ            | -1  | 1   |       |
| 1   | sin θ            | -1  | 1   |       |
| 2   | Angular velocity | -8  | 8   | rad/s |

θ is the angle from upright. The observation is the whole state except for the number of turns.

## Task parameters

| Parameter | Nominal | Train, test  | OOD           | Unit | Meaning                            |
|-----------|---------|--------------|---------------|------|------------------------------------|
| mass      | 1       | U[0.5, 1]    | U[1, 1.4]     | kg   | m, of the rod                      |
| length    | 1       | U[0.7, 1]    | U[1, 1.3]     | m    | l, of the rod                      |
| gravity   | 10      | logU[1, 10]  | U[0.3, 1]     | m/s² | g                                  |
| target    | 0       | U[-1, 1]     | ±U[1, 1.5]    | rad  | θ*, where to hold; 0 is upright    |

Holding the rod at rest at θ* takes the torque -(m g l / 2) sin θ*, and the torque is limited to 2 N m, so a target can
be held if m g l |sin θ*| <= 4 N m. This condition holds for 97 % of the train and test tasks and for all OOD tasks
(m g l <= 1.82 N m there). The nominal physics, m g l = 10 N m, is the heaviest of the train range; the rod can then be
held within 0.41 rad of upright or of hanging. Where m g l > 4 N m, in one task of five, the agent cannot simply lift
the rod and has to swing it up.

## Rewards

-((θ - θ*)² + 0.1 θ'² + 0.001 u²) for every step, with the clipped torque u, and θ and θ' before the step; the
difference of the angles is wrapped to [-π, π). The reward is between -16.27 and 0.

## Starting state

θ uniform in [-π, π), θ' uniform in [-1, 1) rad/s.

## Episode end

Truncation: the horizon, 200 steps (10 s) by default. There is no termination.

## Pictures

Gymnasium's, without the arrow for the last torque and with a red disc at the target of the rod's end. An upright target
has no disc, as in `Pendulum-v1`. The rod is drawn 1 m long, whatever its length.

## Source

Dynamics and the reward at θ* = 0: Gymnasium's pendulum.py. The hidden target is this library's own.
"""

import math
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from envs import LogUniform, SignedUniform, Tasks, TorchTasks, Uniform
from envs.core.distribution import check_horizon
from envs.dynamics.drawing import Picture, draw_disc
from envs.dynamics.gymnasium_renderers import picture

MAX_TORQUE = 2.0
"""Largest absolute torque [N m]."""

MAX_SPEED = 8.0
"""Largest absolute angular velocity; larger ones are clipped [rad/s]."""

TIME_STEP = 0.05
"""Time between two actions [s]."""

START_SPEED = 1.0
"""Largest absolute angular velocity at the start of an episode [rad/s]."""


@dataclass(frozen=True)
class Config:
    """Options of the pendulum with unknown physics and a hidden target angle."""

    horizon: int = 200
    """Longest episode [steps]. Default from Pendulum-v1."""

    def __post_init__(self) -> None:
        check_horizon("pendulum", self.horizon)


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return Pendulum(config)


def normalise(angle: Float64[Tensor, " lane"]) -> Float64[Tensor, " lane"]:
    """Wrap an angle to [-π, π)."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


class Pendulum(TorchTasks):
    """Pendulum with a hidden target angle; the datasheet is at the top of the file. State: θ [rad], unwrapped, and θ'
    [rad/s]."""

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        high = np.array([1.0, 1.0, MAX_SPEED], dtype=np.float32)
        super().__init__(
            name="pendulum",
            horizon=config.horizon,
            observation_space=gym.spaces.Box(-high, high),
            action_space=gym.spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,)),
            observation_scale=[1.0, 1.0, 4.0],
            reward_scale=8.0,
            parameters={
                "mass": Uniform(0.5, 1.0),
                "length": Uniform(0.7, 1.0),
                "gravity": LogUniform(1.0, 10.0),
                "target": Uniform(-1.0, 1.0),
            },
            ood={
                "mass": Uniform(1.0, 1.4),
                "length": Uniform(1.0, 1.3),
                "gravity": Uniform(0.3, 1.0),
                "target": SignedUniform(1.0, 1.5),
            },
            nominal={"mass": 1.0, "length": 1.0, "gravity": 10.0, "target": 0.0},
            positive=("mass", "length"),
        )

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Draw a uniform angle and a low angular velocity."""
        uniform = torch.rand(len(tasks), 2, dtype=torch.float64, device=generator.device, generator=generator)
        bound = torch.tensor([math.pi, START_SPEED], dtype=torch.float64, device=generator.device)
        return bound * (2.0 * uniform - 1.0)

    def reset_single(self, tasks: Tasks, rng: np.random.Generator) -> Float64[Tensor, "1 state"]:
        """Draw the same state from NumPy's generator, as Gymnasium does."""
        bound = np.array([math.pi, START_SPEED])
        return torch.from_numpy(rng.uniform(-bound, bound))[None]

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return cos θ, sin θ and θ', without the target."""
        theta, theta_dot = state.unbind(-1)
        return torch.stack([theta.cos(), theta.sin(), theta_dot], dim=-1)

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Reward the current state, then make one semi-implicit Euler step of a rod with moment of inertia m l² / 3."""
        theta, theta_dot = state.unbind(-1)
        torque = action[:, 0].clamp(-MAX_TORQUE, MAX_TORQUE)
        reward = -(normalise(theta - tasks.target).square() + 0.1 * theta_dot.square() + 0.001 * torque.square())
        # In Gymnasium's order of evaluation, so that states agree to rounding.
        fall = 3.0 * tasks.gravity / (2.0 * tasks.length) * theta.sin()
        theta_acc = fall + 3.0 / (tasks.mass * tasks.length.square()) * torque
        theta_dot = (theta_dot + theta_acc * TIME_STEP).clamp(-MAX_SPEED, MAX_SPEED)
        theta = theta + theta_dot * TIME_STEP
        return torch.stack([theta, theta_dot], dim=-1), reward, torch.zeros_like(reward, dtype=torch.bool)

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Return Gymnasium's picture with a disc at the target, 1 m from the pivot.

        The picture is 500 by 500 pixels and 4.4 m wide, with the pivot in the middle.
        """
        drawn, target, metre = picture("Pendulum-v1", state, last_u=None), tasks.target.item(), 500 / 4.4
        if target == 0:
            return drawn
        return draw_disc(drawn, column=250 - metre * math.sin(target), row=250 - metre * math.cos(target))
