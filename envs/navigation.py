"""2D navigation: move a point to a hidden goal in the plane (Finn et al. 2017).

## Description

A point starts at the origin and is rewarded for being near a goal that the observation does not show. The agent has to
find the goal in the first episodes of a new task: the task is not solvable without adapting.

## Action space

`Box(-0.1, 0.1, (2,), float32)`: the velocity along x and y [m per step]. Larger actions are clipped.

## Observation space

| Num | Observation | Min        | Max        | Unit |
|-----|-------------|------------|------------|------|
| 0   | Position x  | -0.1 · H   | 0.1 · H    | m    |
| 1   | Position y  | -0.1 · H   | 0.1 · H    | m    |

H is the horizon; the bounds are the largest distance that the point can travel along an axis.

## Task parameters

| Parameter | Nominal | Train, test   | OOD              | Unit |
|-----------|---------|---------------|------------------|------|
| goal_x    | 0.3     | U[-0.5, 0.5]  | ±U[0.5, 0.8]     | m    |
| goal_y    | 0.4     | U[-0.5, 0.5]  | ±U[0.5, 0.8]     | m    |

OOD goals lie outside the training square.

## Rewards

Minus the Euclidean distance to the goal [m], after the move.

## Starting state

The origin.

## Episode end

1. Termination (unless `early_termination` is off): both coordinates are less than 0.01 m from the goal.
2. Truncation: H steps, 100 by default.

## Source

C. Finn, P. Abbeel, S. Levine, "Model-agnostic meta-learning for fast adaptation of deep networks", ICML 2017, section
5.3, and its code, https://github.com/cbfinn/maml_rl (point_env_randgoal.py).
"""

from dataclasses import dataclass

import gymnasium as gym
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from envs import SignedUniform, Tasks, TorchTasks, Uniform
from envs.core.distribution import check_horizon
from envs.dynamics.drawing import GREEN, RED, Picture, blank_picture, draw_disc

MAX_SPEED = 0.1
"""Largest move along each axis [m per step]."""

METRE = 120
"""Length of a metre in a picture [pixels]."""

GOAL_TOLERANCE = 0.01
"""Distance from the goal along each axis below which the goal is reached [m]."""


@dataclass(frozen=True)
class Config:
    """Options of 2D navigation."""

    horizon: int = 100
    """Longest episode [steps]. Default from Finn et al. 2017."""

    early_termination: bool = True
    """End the episode when both coordinates are within 0.01 [m] of the goal, as Finn et al. 2017 do."""

    def __post_init__(self) -> None:
        check_horizon("navigation", self.horizon)


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return Navigation(config)


class Navigation(TorchTasks):
    """2D navigation to a hidden goal; the datasheet is at the top of the file. State: position x, y [m]."""

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        reach = MAX_SPEED * config.horizon
        super().__init__(
            name="navigation",
            horizon=config.horizon,
            observation_space=gym.spaces.Box(-reach, reach, (2,)),
            action_space=gym.spaces.Box(-MAX_SPEED, MAX_SPEED, (2,)),
            observation_scale=[0.5, 0.5],
            reward_scale=0.5,
            parameters={"goal_x": Uniform(-0.5, 0.5), "goal_y": Uniform(-0.5, 0.5)},
            ood={"goal_x": SignedUniform(0.5, 0.8), "goal_y": SignedUniform(0.5, 0.8)},
            nominal={"goal_x": 0.3, "goal_y": 0.4},
        )
        self.early_termination = config.early_termination

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Return the origin."""
        return torch.zeros(len(tasks), 2, dtype=torch.float64, device=generator.device)

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return the position, without the goal."""
        return state

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Move the point; the reward is minus the remaining distance to the goal."""
        # Clipped here in float64: the float32 bound of the action space is slightly above 0.1.
        state = state + action.clamp(-MAX_SPEED, MAX_SPEED)
        offset = state - torch.stack([tasks.goal_x, tasks.goal_y], dim=-1)
        reward = -torch.linalg.vector_norm(offset, dim=-1)
        arrived = (offset.abs() < GOAL_TOLERANCE).all(dim=-1)
        return state, reward, arrived if self.early_termination else torch.zeros_like(arrived)

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Draw the plane, x to the right and y up, 1 m each way from the origin: the point red, the goal green."""
        drawn = blank_picture(2 * METRE, 2 * METRE)
        goal = (tasks.goal_x.item(), tasks.goal_y.item())
        for (x, y), colour in ((goal, GREEN), (state[0].tolist(), RED)):
            drawn = draw_disc(drawn, METRE * (1 + x), METRE * (1 - y), colour)
        return drawn
