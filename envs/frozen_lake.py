"""Frozen lake with an unknown map: find the way to the goal over ice of unknown slipperiness.

## Description

Gymnasium's `FrozenLake-v1`, whose holes and whose ice change from task to task. The agent sees in which cell it stands,
but nothing of the map: where the holes are has to be found out by falling into them, and how slippery the ice is by
slipping. Random actions reach the goal now and then on 4 × 4 cells, and hardly ever on 8 × 8. At the nominal task it is
`FrozenLake-v1`, of 8 × 8 cells `FrozenLake8x8-v1` with `horizon` 200 (tests compare transitions, rewards and episodes).

## Action space

`Discrete(4)`: the intended direction, 0 left, 1 down, 2 right, 3 up.

## Observation space

| Num | Observation         | Min | Max | Unit |
|-----|---------------------|-----|-----|------|
| s   | 1 in cell s, else 0 | 0   | 1   | -    |

There are 16 cells, `size` squared, counted row by row from the upper left, s = size · row + column.

## Task parameters

| Parameter | Nominal  | Train, test           | OOD                   | Meaning                              |
|-----------|----------|-----------------------|-----------------------|--------------------------------------|
| holes     | an array | 4 × 4 × solvable(0.8) | 4 × 4 × solvable(0.7) | [row, column]: 1 is a hole, 0 is ice |
| success   | 0.333333 | U[0.3, 1]             | U[0.1, 0.3]           | probability of moving where intended |

solvable(0.8) are the maps of Gymnasium's `generate_random_map`: each cell is ice with probability 0.8, start and goal
always, given that there is a way from the one to the other. The nominal map is Gymnasium's; for sizes other than 4 and
8, which it does not have, a lake without holes.

A move that does not succeed goes at right angles to the intended direction, either way with the same probability; so
in the OOD split it is mostly those two that have to be safe. Moves off the lake lead nowhere. Who is told the task
reaches the goal in 94 % of the episodes of the 100 test tasks at best, and in 79 % of those of the 100 OOD ones;
uniform random actions do in 14 % and 8 %.

## Rewards

1 on reaching the goal, else 0.

## Starting state

The upper left cell. The numbers that decide on slipping are drawn beforehand, one for every step; a single environment
draws them one by one, as Gymnasium's does.

## Episode end

1. Termination: the goal, the lower right cell, is reached.
2. Termination: a hole.
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
from envs.dynamics.drawing import Picture
from envs.dynamics.gymnasium_renderers import drawn_by
from envs.dynamics.per_lane_rng import init_rng_state, next_uniform
from qrl.common.checks import check_count
from qrl.common.errors import UsageError

FROZEN = 0.8
"""Probability that a cell of a random map is ice; Gymnasium's default."""

FROZEN_OOD = 0.7
"""The same in the OOD split; ours."""


@dataclass(frozen=True)
class Config:
    """Options of the frozen lake with an unknown map."""

    size: int = 4
    """Rows, and columns, of the lake [cells]. Default from FrozenLake-v1; FrozenLake8x8-v1 has 8."""
    horizon: int = 100
    """Longest episode [steps]. Default from FrozenLake-v1; FrozenLake8x8-v1 has 200."""

    def __post_init__(self) -> None:
        check_count("frozen_lake: size [cells]", self.size, least=2)  # start and goal are apart
        check_count("frozen_lake: horizon [steps]", self.horizon)


def build(config: Config) -> TorchTasks:
    """The task distribution of `config`."""
    return FrozenLake(config)


def solvable(holes: Bool[np.ndarray, "map row column"]) -> Bool[np.ndarray, " map"]:
    """Whether a way without holes leads from the upper left cell to the lower right one, side by side."""
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
    """Maps [row, column] of ice (0) and holes (1): each cell ice with this probability, given that a way exists.

    Start and goal, the first cell and the last, are ice. The uniforms are the first attempt; where that has no way,
    they seed a generator for the next ones.

    Raises:
        UsageError: a shape that is not a map's, or a probability that is not in (0, 1].
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
    """The frozen lake; the datasheet is at the top of the file.

    State: the cell's number, a number in [0, 1) that decides on a slip in the next step, and the state of the random
    number generator of the steps after it.
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
        # [cell, action + turns]: no turn is one way, one is none, two are the other way.
        self._after = torch.stack([self._neighbour((way - 1) % 4) for way in range(6)], dim=1)

    def _neighbour(self, direction: int) -> Int[Tensor, " cell"]:
        """The cell in a direction from each, itself at the edge."""
        cell = torch.arange(self.size**2)
        row = cell // self.size + int(direction == DOWN) - int(direction == UP)
        column = cell % self.size + int(direction == RIGHT) - int(direction == LEFT)
        return self.size * row.clamp(0, self.size - 1) + column.clamp(0, self.size - 1)

    def check_tasks(self, tasks: object, n_tasks: int) -> Tasks:
        """Also refuses what is not a map, and what is not a probability; a map without a way is allowed."""
        tasks = super().check_tasks(tasks, n_tasks)
        holes = tasks.holes
        if bool(((holes != 0) & (holes != 1)).any()):
            raise UsageError("frozen_lake: holes must be 0 or 1")
        if bool(holes[:, 0, 0].any() | holes[:, -1, -1].any()):
            raise UsageError("frozen_lake: the first cell, the start, and the last, the goal, cannot be holes")
        if bool(((tasks.success < 0) | (tasks.success > 1)).any()):
            raise UsageError("frozen_lake: success must be in [0, 1]")
        return tasks

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """In the upper left cell."""
        drawn = torch.rand((len(tasks), 3), dtype=torch.float64, generator=generator, device=generator.device)
        return torch.cat([torch.zeros_like(drawn[:, :1]), drawn[:, :1], init_rng_state(drawn[:, 1:])], dim=1)

    def reset_single(self, tasks: Tasks, rng: np.random.Generator) -> Float64[Tensor, "1 state"]:
        """In the upper left cell. Gymnasium draws where it starts, though there is one start only."""
        rng.random()
        return torch.zeros(1, 4, dtype=torch.float64)

    def resample_noise_single(
        self, state: Float64[Tensor, "1 state"], rng: np.random.Generator
    ) -> Float64[Tensor, "1 state"]:
        """With a new random number for the next step."""
        state = state.clone()
        state[0, 1] = rng.random()
        return state

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """The cell's number as a one-hot vector."""
        return self._one_hot.to(state.device).index_select(0, state[:, 0].long())

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """One move, a quarter turn off the intended direction if the ice is slippery."""
        uniform = state[:, 1]
        # In Gymnasium's order: a turn one way, none, the other way.
        slip = (1.0 - tasks.success) / 2.0
        turned = action + (uniform >= slip) + (uniform >= slip + tasks.success)
        cell = self._after.to(state.device)[state[:, 0].long(), turned]
        rng_state, uniform = next_uniform(state[:, 2:])
        after = torch.cat([torch.stack([cell.to(state.dtype), uniform], dim=1), rng_state], dim=1)
        arrived = cell == self.size**2 - 1
        fallen = tasks.holes.flatten(1).gather(1, cell[:, None])[:, 0] == 1
        return after, arrived.to(state.dtype), arrived | fallen

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Gymnasium's picture.

        Raises:
            UsageError: pygame is missing.
        """
        letters = np.where(tasks.holes[0].cpu().numpy() == 1, "H", "F")
        letters[0, 0], letters[-1, -1] = "S", "G"
        painter = _painter(tuple("".join(row) for row in letters))
        painter.s = int(state[0, 0])
        return drawn_by(painter, "frozen_lake")


@lru_cache(maxsize=1)
def _painter(lake: tuple[str, ...]) -> FrozenLakeEnv:
    """Gymnasium's environment of this map, which loads its images once."""
    painter = FrozenLakeEnv(render_mode="rgb_array", desc=list(lake))
    painter.lastaction = None  # as a reset leaves it; Gymnasium 1.3 does not draw without
    return painter
