"""Tabular MDP with random rewards and transitions: ten states and five actions (Duan et al. 2016).

## Description

Transitions and mean rewards are unknown. Episodes are short and start in the same state, so that later episodes can use
the information from earlier ones. A recurrent agent runs ten to a hundred episodes of a task.

## Action space

`Discrete(5)`; the option `actions` sets the number.

## Observation space

| Num | Observation            | Min | Max | Unit |
|-----|------------------------|-----|-----|------|
| s   | 1 in state s, else 0   | 0   | 1   | -    |

There are `states` observations, 10 by default.

## Task parameters

| Parameter   | Nominal | Train, test                | OOD          | Unit | Meaning                                   |
|-------------|---------|----------------------------|--------------|------|-------------------------------------------|
| mean_reward | 1       | 10 × 5 × N(1, 1)           | no ood split | -    | of each action in each state              |
| transition  | 0.1     | 10 × 5 × 10 × Dirichlet(1) | no ood split | -    | probability of each state after an action |

## Rewards

The mean reward of the action in the state, plus noise N(0, 1).

## Starting state

State 0. The random numbers for transitions and noise are drawn at the reset, one of each for every step.

## Episode end

Truncation: the horizon, 10 steps by default.

## Source

Duan et al. 2016 (RL²), section 3.2, following Osband et al. 2013.
"""

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor
from torch.nn.functional import one_hot

from envs import Dirichlet, Normal, Tasks, TorchTasks
from envs.core.distribution import check_horizon
from envs.dynamics.drawing import Picture, draw_disc
from qrl.common.checks import check_count

MAX_STATES = 1000
"""Upper bound of the numbers of states and of actions; larger values are rejected as typos."""

CELL = 20
"""Side of a cell in a picture [pixels]."""


@dataclass(frozen=True)
class Config:
    """Options of the tabular MDP."""

    states: int = 10
    """Number of states [states]. Default from Duan et al. 2016."""
    actions: int = 5
    """Number of actions [actions]. Default from Duan et al. 2016."""
    horizon: int = 10
    """Length of an episode [steps]. Default from Duan et al. 2016."""

    def __post_init__(self) -> None:
        check_count("tabular_mdp: states", self.states, most=MAX_STATES)
        check_count("tabular_mdp: actions", self.actions, most=MAX_STATES)
        check_horizon("tabular_mdp", self.horizon)


def default_agent(config: Config) -> tuple[str, str]:
    """Return RL^2 with a quantum memory: an episode is short, and what it reveals is used in the next."""
    return "rl2", "qgru"


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return TabularMDP(config)


class TabularMDP(TorchTasks):
    """Tabular MDP; the datasheet is at the top of the file.

    State: the MDP state's number, steps so far, then for each step of the episode a number in [0, 1) that decides on
    the transition, then for each step the noise of the reward.
    """

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        self.n_states, self.n_actions = config.states, config.actions
        shape = (config.states, config.actions)
        super().__init__(
            name="tabular_mdp",
            horizon=config.horizon,
            observation_space=gym.spaces.Box(0.0, 1.0, (config.states,)),
            action_space=gym.spaces.Discrete(config.actions),
            observation_scale=[1.0] * config.states,
            parameters={"mean_reward": Normal(1, 1, shape=shape), "transition": Dirichlet(shape=(*shape, shape[0]))},
            nominal={"mean_reward": 1.0, "transition": 1 / config.states},
        )

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Return state 0, with the random numbers of all steps."""
        shape, device = (len(tasks), self.horizon), generator.device
        moves = torch.rand(shape, dtype=torch.float64, generator=generator, device=device)
        noise = torch.randn(shape, dtype=torch.float64, generator=generator, device=device)
        return torch.cat([torch.zeros_like(moves[:, :1]).expand(-1, 2), moves, noise], dim=1)

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return the state's number as a one-hot vector."""
        return one_hot(state[:, 0].long(), self.n_states).to(torch.float64)

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Make one step: the next state is the first whose cumulative probability exceeds the step's random number."""
        lanes, now = torch.arange(len(state), device=state.device), state[:, 0].long()
        # Finished lanes are stepped too, and their results ignored; without the clamp the index would be out of range.
        step = state[:, 1].long().clamp_max(self.horizon - 1)
        reward = tasks.mean_reward[lanes, now, action] + state[lanes, 2 + self.horizon + step]
        passed = tasks.transition[lanes, now, action].cumsum(-1) <= state[lanes, 2 + step].unsqueeze(-1)
        after = passed.sum(-1).clamp_max(self.n_states - 1)  # rounding may leave the sum below the number
        state = torch.cat([after.to(state.dtype)[:, None], state[:, 1:2] + 1, state[:, 2:]], dim=1)
        return state, reward, torch.zeros(len(state), dtype=torch.bool, device=state.device)

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Draw a row of cells per state, one per action, darker for a larger mean reward; a dot marks the state."""
        shade = 255 * (3 - tasks.mean_reward[0].cpu().numpy().clip(-1, 3)) / 4
        shade = shade.repeat(CELL, axis=0).repeat(CELL, axis=1)
        drawn = np.pad(shade.astype(np.uint8), ((0, 0), (CELL, 0)), constant_values=255)[..., None].repeat(3, -1)
        return draw_disc(drawn, CELL / 2, CELL * (int(state[0, 0]) + 0.5))
