"""Grid world with an unknown goal: search an open grid for the rewarding cell (Zintgraf et al. 2020).

## Description

The agent starts in a corner and receives a reward in one cell, the goal, which the observation does not show. The agent
has to search the cells in the first episodes, and can go straight to the goal in later ones. Only the goal is random.
The family is finite: with the defaults there are 17 tasks, from which both train and test tasks are drawn. The test
split therefore measures adaptation to a known set of tasks, and only the OOD split adaptation to new ones.

## Action space

`Discrete(5)`: 0 stay, 1 up, 2 right, 3 down, 4 left.

## Observation space

| Num | Observation | Min | Max | Unit  |
|-----|-------------|-----|-----|-------|
| 0   | Column x    | 0   | 4   | cells |
| 1   | Row y       | 0   | 4   | cells |

x grows to the right and y upwards; the largest is `size` - 1.

## Task parameters

| Parameter | Nominal | Train, test                                                    | OOD              | Unit |
|-----------|---------|----------------------------------------------------------------|------------------|------|
| goal      | 2       | {2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22} | {18, 19, 23, 24} | -    |

The goal is the number of a cell, size · y + x.
The start and the three cells around the start are never goals. OOD goals lie in the far corner, a square of
`held_out` × `held_out` cells (2 × 2 by default), which holds no train goals. With `held_out` 0 the 21 goals are those
of Zintgraf et al. 2020, and there is no OOD split.

## Rewards

1 for a step that ends in the goal, including staying there, else -0.1.

## Starting state

The lower left cell, (0, 0).

## Episode end

Truncation: the horizon, 15 steps by default. There is no termination: staying in the goal pays until the end. An agent
that knows a goal d moves away earns 16 - d - 0.1 (d - 1) with the default horizon.

## Source

L. Zintgraf, K. Shiarlis, M. Igl, S. Schulze, Y. Gal, K. Hofmann, S. Whiteson, "VariBAD: a very good method for
Bayes-adaptive deep RL via meta-learning", ICLR 2020, section 5.1, and its code, https://github.com/lmzintgraf/varibad
(gridworld.py), where 4 episodes make a trial. The held-out corner is this library's own.
"""

from dataclasses import dataclass

import gymnasium as gym
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from envs import Choice, Tasks, TorchTasks, check_indices
from envs.core.distribution import check_horizon
from envs.dynamics.drawing import BLUE, GREEN, GREY, Colour, Picture, blank_picture
from qrl.common.checks import check_count

MAX_SIZE = 1000
"""Upper bound of the size; larger values are rejected as typos [cells]."""

STAY, UP, RIGHT, DOWN, LEFT = range(5)

GOAL_REWARD = 1.0
"""Reward of a step that ends in the goal."""

STEP_REWARD = -0.1
"""Reward of any other step."""

CELL_PIXELS = 32


@dataclass(frozen=True)
class Config:
    """Options of the grid world with an unknown goal."""

    size: int = 5
    """Number of columns and of rows of the grid [cells]. Default from Zintgraf et al. 2020."""
    held_out: int = 2
    """Side of the far corner, whose goals form the OOD split [cells]; ours. 0: the goals of Zintgraf et al. 2020."""
    horizon: int = 15
    """Length of an episode [steps]. Default from Zintgraf et al. 2020."""

    def __post_init__(self) -> None:
        check_horizon("gridworld", self.horizon)
        check_count("gridworld: size [cells]", self.size, least=3, most=MAX_SIZE)  # no goals are around the start
        check_count("gridworld: held_out [cells]", self.held_out, least=0, most=self.size - 1)


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return GridWorld(config)


class GridWorld(TorchTasks):
    """Grid world with an unknown goal; the datasheet is at the top of the file. State: column x and row y [cells]."""

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        self.size = config.size
        cells = [(x, y) for y in range(self.size) for x in range(self.size) if max(x, y) > 1]
        corner = self.size - config.held_out
        train = tuple(self.size * y + x for x, y in cells if min(x, y) < corner)
        ood = tuple(self.size * y + x for x, y in cells if min(x, y) >= corner)
        super().__init__(
            name="gridworld",
            horizon=config.horizon,
            observation_space=gym.spaces.Box(0.0, self.size - 1.0, (2,)),
            action_space=gym.spaces.Discrete(5),
            observation_scale=[(self.size - 1) / 2] * 2,
            parameters={"goal": Choice(train)},
            ood={"goal": Choice(ood)} if ood else {},
            nominal={"goal": 2.0},
        )

    def check_tasks(self, tasks: object, n_tasks: int) -> Tasks:
        """Check tasks as the base class does; also raise UsageError for goals outside the grid.

        Goals near the start, which are never drawn, are allowed.
        """
        tasks = super().check_tasks(tasks, n_tasks)
        check_indices("gridworld: goal (a cell's number)", tasks.goal, self.size**2)
        return tasks

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Return the lower left cell."""
        return torch.zeros(len(tasks), 2, dtype=torch.float64, device=generator.device)

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return the agent's cell, without the goal."""
        return state

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Move within the grid; the reward depends on the cell reached."""
        right = (action == RIGHT).to(state.dtype) - (action == LEFT).to(state.dtype)
        up = (action == UP).to(state.dtype) - (action == DOWN).to(state.dtype)
        state = (state + torch.stack([right, up], dim=-1)).clamp(0, self.size - 1)
        arrived = self.size * state[:, 1] + state[:, 0] == tasks.goal
        reward = torch.full_like(state[:, 0], STEP_REWARD).masked_fill(arrived, GOAL_REWARD)
        return state, reward, torch.zeros_like(arrived)

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Draw the grid from above, the goal green, the agent a smaller blue square."""
        picture = blank_picture(self.size * CELL_PIXELS, self.size * CELL_PIXELS)
        goal = int(tasks.goal[0])
        self._paint(picture, goal % self.size, goal // self.size, GREEN, margin=0)
        self._paint(picture, int(state[0, 0]), int(state[0, 1]), BLUE, margin=CELL_PIXELS // 4)
        picture[::CELL_PIXELS] = picture[:, ::CELL_PIXELS] = GREY
        return picture

    def _paint(self, picture: Picture, x: int, y: int, colour: Colour, margin: int) -> None:
        """Fill a cell except for a margin [pixels]; the first row of pixels is the top."""
        left, top = x * CELL_PIXELS, (self.size - 1 - y) * CELL_PIXELS
        inside = slice(margin, CELL_PIXELS - margin)
        picture[top : top + CELL_PIXELS, left : left + CELL_PIXELS][inside, inside] = colour
