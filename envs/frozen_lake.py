"""Frozen lake with an unknown map: find a path to the goal over ice of unknown slipperiness.

## Description

Gymnasium's `FrozenLake-v1`, whose holes and slipperiness change from task to task. The agent observes its cell, but not
the map: only falling into holes shows where they are, and only slipping shows how slippery the ice is. Random actions
sometimes reach the goal on 4 × 4 cells, and hardly ever on 8 × 8. The nominal task is `FrozenLake-v1`; with 8 × 8 cells
and `horizon` 200 the nominal task is `FrozenLake8x8-v1` (tests compare transitions, rewards and episodes).

## Action space

`Discrete(4)`: the intended direction, 0 left, 1 down, 2 right, 3 up.

## Observation space

| Num | Observation         | Min | Max | Unit |
|-----|---------------------|-----|-----|------|
| s   | 1 in cell s, else 0 | 0   | 1   | -    |

There are `size`² cells, 16 by default, counted row by row from the upper left: s = size · row + column.

## Task parameters

| Parameter | Nominal  | Train, test           | OOD                   | Meaning                              |
|-----------|----------|-----------------------|-----------------------|--------------------------------------|
| holes     | an array | 4 × 4 × solvable(0.8) | 4 × 4 × solvable(0.7) | [row, column]: 1 is a hole, 0 is ice |
| success   | 0.333333 | U[0.3, 1]             | U[0.1, 0.3]           | probability of moving where intended |

solvable(0.8) is the distribution of Gymnasium's `generate_random_map`: each cell is ice with probability 0.8, start and
goal are always ice, and the map is conditioned on a path from start to goal. The nominal map is Gymnasium's for sizes 4
and 8; for other sizes, which Gymnasium does not have, the nominal map has no holes.

A move that does not succeed goes at right angles to the intended direction, to either side with the same probability.
In the OOD split mostly these two side cells have to be safe. Moves off the lake leave the agent in its cell. The
optimal policy for a known task reaches the goal in 94 % of the episodes of the 100 test tasks, and in 79 % of the
episodes of the 100 OOD tasks; uniform random actions reach the goal in 14 % and 8 %.

## Rewards

1 on reaching the goal, else 0.

## Starting state

The upper left cell. The state holds a random number generator for the slips, so that equal seeds give equal slips. A
single environment draws the random numbers step by step from Gymnasium's generator, as Gymnasium's environment does.

## Episode end

1. Termination: the agent reaches the goal, the lower right cell.
2. Termination: the agent falls into a hole.
3. Truncation: the horizon, 100 steps by default.

## Source

Gymnasium's frozen_lake.py.
"""

from dataclasses import dataclass
from functools import lru_cache

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.toy_text.frozen_lake import DOWN, LEFT, MAPS, RIGHT, UP, FrozenLakeEnv
from jaxtyping import Bool, Float64, Int
from numpy.typing import NDArray
from torch import Tensor

from envs import Range, Tasks, TorchTasks, Uniform
from envs.core.distribution import check_horizon
from envs.dynamics.drawing import Picture
from envs.dynamics.gymnasium_renderers import rendered
from envs.dynamics.per_lane_rng import init_rng_state, next_uniform
from qrl.common.checks import check_count
from qrl.common.errors import UsageError

MAX_SIZE = 1000
"""Upper bound of the size; larger values are rejected as typos [cells]."""

FROZEN = 0.8
"""Probability that a cell of a random map is ice; Gymnasium's default."""

FROZEN_OOD = 0.7
"""Probability that a cell of a random map is ice in the OOD split; ours."""


@dataclass(frozen=True)
class Config:
    """Options of the frozen lake with an unknown map."""

    size: int = 4
    """Number of rows and of columns of the lake [cells]. Default from FrozenLake-v1; FrozenLake8x8-v1 has 8."""
    horizon: int = 100
    """Longest episode [steps]. Default from FrozenLake-v1; FrozenLake8x8-v1 has 200."""

    def __post_init__(self) -> None:
        check_count("frozen_lake: size [cells]", self.size, least=2, most=MAX_SIZE)  # start and goal are apart
        check_horizon("frozen_lake", self.horizon)


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return FrozenLake(config)


def solvable(holes: Bool[np.ndarray, "map row column"]) -> Bool[np.ndarray, " map"]:
    """Return whether a path over adjacent ice cells leads from the upper left cell to the lower right one."""
    reached = np.zeros_like(holes)
    reached[:, 0, 0] = True
    reached &= ~holes
    while True:
        wider = reached.copy()
        wider[:, 1:] |= reached[:, :-1]
        wider[:, :-1] |= reached[:, 1:]
        wider[:, :, 1:] |= reached[:, :, :-1]
        wider[:, :, :-1] |= reached[:, :, 1:]
        wider &= ~holes
        if np.array_equal(wider, reached):
            return reached[:, -1, -1]
        reached = wider


@dataclass(frozen=True)
class SolvableMap(Range):
    """Random maps [row, column] of ice (0) and holes (1): cells are ice with probability `frozen`, given a path exists.

    Start and goal, the first cell and the last, are ice. The uniforms give the first map; if this map has no path, the
    uniforms seed a generator for further maps.

    Raises:
        UsageError: `shape` is not that of a map, or `frozen` is not in (0, 1].
    """

    bounded = False  # every solvable map may be drawn, whatever the probability of holes

    frozen: float | int

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shape) != 2:
            raise UsageError(f"SolvableMap: needs a shape of rows and columns, not {self.shape}")
        if not 0 < self.frozen <= 1:
            raise UsageError(f"SolvableMap: frozen must be in (0, 1], not {self.frozen}")

    def ppf(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        uniforms = u.reshape(-1, *self.shape)
        holes = self._attempt(uniforms)
        for i in np.flatnonzero(~solvable(holes)):
            rng = np.random.default_rng((uniforms[i].ravel() * 2.0**53).astype(np.uint64))
            while not solvable(holes[i : i + 1])[0]:
                holes[i] = self._attempt(rng.random(self.shape))
        return holes.reshape(u.shape).astype(np.float64)

    def _attempt(self, uniforms: NDArray[np.float64]) -> NDArray[np.bool_]:
        holes = uniforms >= self.frozen
        holes[..., 0, 0] = holes[..., -1, -1] = False
        return holes

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        maps = values.reshape(-1, *self.shape)
        good = np.isin(maps, (0, 1)).all((1, 2)) & solvable(maps != 0)
        return np.broadcast_to(good[:, None, None], maps.shape).reshape(values.shape)

    def describe_one(self) -> str:
        return f"solvable({self.frozen:g})"


class FrozenLake(TorchTasks):
    """Frozen lake with an unknown map; the datasheet is at the top of the file.

    State: the cell's number, a number in [0, 1) that decides on a slip in the next step, and the state of the random
    number generator for the steps after the next one.
    """

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        self.size = config.size
        lake = MAPS.get(f"{self.size}x{self.size}", ["F" * self.size] * self.size)
        shape = (self.size, self.size)
        super().__init__(
            name="frozen_lake",
            horizon=config.horizon,
            observation_space=gym.spaces.Box(0.0, 1.0, (self.size**2,)),
            action_space=gym.spaces.Discrete(4),
            observation_scale=[1.0] * self.size**2,
            parameters={"holes": SolvableMap(FROZEN, shape=shape), "success": Uniform(0.3, 1.0)},
            ood={"holes": SolvableMap(FROZEN_OOD, shape=shape), "success": Uniform(0.1, 0.3)},
            nominal={"holes": [[letter == "H" for letter in row] for row in lake], "success": 1 / 3},
        )
        self._one_hot = torch.eye(self.size**2, dtype=torch.float64)
        # [cell, action + k]: k = 0 slips to one side, k = 1 moves as intended, k = 2 slips to the other side.
        self._after = torch.stack([self._neighbour((way - 1) % 4) for way in range(6)], dim=1)

    def _neighbour(self, direction: int) -> Int[Tensor, " cell"]:
        """Return the neighbour of each cell in one direction; at the edge, the cell itself."""
        cell = torch.arange(self.size**2)
        row = cell // self.size + int(direction == DOWN) - int(direction == UP)
        column = cell % self.size + int(direction == RIGHT) - int(direction == LEFT)
        return self.size * row.clamp(0, self.size - 1) + column.clamp(0, self.size - 1)

    def check_tasks(self, tasks: object, n_tasks: int) -> Tasks:
        """Check tasks as the base class does; also raise UsageError for an invalid map or probability.

        A map without a path is allowed.
        """
        tasks = super().check_tasks(tasks, n_tasks)
        holes = tasks.holes
        if bool(((holes != 0) & (holes != 1)).any()):
            raise UsageError("frozen_lake: holes must be 0 or 1")
        if bool(holes[:, 0, 0].any() | holes[:, -1, -1].any()):
            raise UsageError("frozen_lake: the start (first cell) and the goal (last cell) cannot be holes")
        if bool(((tasks.success < 0) | (tasks.success > 1)).any()):
            raise UsageError("frozen_lake: success must be in [0, 1]")
        return tasks

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Return the upper left cell, with random numbers for the slips."""
        drawn = torch.rand((len(tasks), 3), dtype=torch.float64, generator=generator, device=generator.device)
        return torch.cat([torch.zeros_like(drawn[:, :1]), drawn[:, :1], init_rng_state(drawn[:, 1:])], dim=1)

    def reset_single(self, tasks: Tasks, rng: np.random.Generator) -> Float64[Tensor, "1 state"]:
        """Return the upper left cell; draw one number, as Gymnasium draws the start though there is only one."""
        rng.random()
        return torch.zeros(1, 4, dtype=torch.float64)

    def resample_noise_single(
        self, state: Float64[Tensor, "1 state"], rng: np.random.Generator
    ) -> Float64[Tensor, "1 state"]:
        """Return `state` with a new random number for the next step."""
        state = state.clone()
        state[0, 1] = rng.random()
        return state

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return the cell's number as a one-hot vector."""
        return self._one_hot.to(state.device).index_select(0, state[:, 0].long())

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Make one move; a slip turns the move by 90° from the intended direction."""
        uniform = state[:, 1]
        # In Gymnasium's order: a slip to one side, the intended move, a slip to the other side.
        slip = (1.0 - tasks.success) / 2.0
        turned = action + (uniform >= slip) + (uniform >= slip + tasks.success)
        cell = self._after.to(state.device)[state[:, 0].long(), turned]
        rng_state, uniform = next_uniform(state[:, 2:])
        after = torch.cat([torch.stack([cell.to(state.dtype), uniform], dim=1), rng_state], dim=1)
        arrived = cell == self.size**2 - 1
        fallen = tasks.holes.flatten(1).gather(1, cell[:, None])[:, 0] == 1
        return after, arrived.to(state.dtype), arrived | fallen

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Return Gymnasium's picture.

        Raises:
            UsageError: pygame is missing.
        """
        letters = np.where(tasks.holes[0].cpu().numpy() == 1, "H", "F")
        letters[0, 0], letters[-1, -1] = "S", "G"
        env = _rendering_env(tuple("".join(row) for row in letters))
        env.s = int(state[0, 0])
        return rendered(env, "frozen_lake")


@lru_cache(maxsize=1)
def _rendering_env(lake: tuple[str, ...]) -> FrozenLakeEnv:
    """Return Gymnasium's environment for this map; cached, so that it loads its images once."""
    env = FrozenLakeEnv(render_mode="rgb_array", desc=list(lake))
    env.lastaction = None  # the value after a reset; Gymnasium 1.3 does not draw without it
    return env
