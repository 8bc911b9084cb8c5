"""Bernoulli bandit: identify the arm with the highest success probability by pulling arms.

## Description

Every arm has its own hidden success probability and pays 1 on success, else 0. An episode is a single pull, and its
observation is constant: all information is in the rewards of previous episodes. A recurrent agent runs ten to a hundred
episodes of a task and has to trade off exploration against exploitation. The optimal trade-off can be computed.

## Action space

`Discrete(5)`: the arm to pull; `arms` of them.

## Observation space

| Num | Observation | Min | Max | Unit |
|-----|-------------|-----|-----|------|
| 0   | always 0    | 0   | 1   | -    |

## Task parameters

| Parameter | Nominal | Train, test | OOD          | Unit | Meaning                           |
|-----------|---------|-------------|--------------|------|-----------------------------------|
| p         | 0.5     | 5 × U[0, 1] | no ood split | -    | probability that the arm pays     |

## Rewards

1 with the success probability of the pulled arm, else 0.

## Starting state

No pulls, and one uniform number in [0, 1) for each pull: pulling an arm with probability p pays if the number is
below p. All numbers are drawn at the reset, so that with equal seeds the same pulls pay.

## Episode end

Termination after the only pull; with a horizon of several pulls, truncation there.

## Source

Duan et al. 2016 (RL²), section 3.1.
"""

from dataclasses import dataclass

import gymnasium as gym
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from envs import Tasks, TorchTasks, Uniform
from envs.core.distribution import check_horizon
from envs.dynamics.drawing import GREEN, Picture, blank_picture
from qrl.common.checks import check_count

MAX_ARMS = 10_000
"""Upper bound; larger numbers of arms are rejected as typos."""

BAR_WIDTH, BAR_HEIGHT = 30, 120
"""Size of an arm's bar in a picture [pixels]."""


@dataclass(frozen=True)
class Config:
    """Options of the bandit."""

    arms: int = 5
    """Number of arms [arms]. Default from Duan et al. 2016, who also use 10 and 50."""
    horizon: int = 1
    """Pulls per episode [steps]. Default from Duan et al. 2016."""

    def __post_init__(self) -> None:
        check_count("bandit: arms", self.arms, most=MAX_ARMS)
        check_horizon("bandit", self.horizon)


def default_agent(config: Config) -> tuple[str, str]:
    """Return RL^2 with a quantum memory: an episode is short, and what it reveals is used in the next."""
    return "rl2", "qgru"


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return Bandit(config)


class Bandit(TorchTasks):
    """Bernoulli bandit; datasheet at the top of the file. State: pulls so far, then one number in [0, 1) per pull."""

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        self.n_arms = config.arms
        super().__init__(
            name="bandit",
            horizon=config.horizon,
            observation_space=gym.spaces.Box(0.0, 1.0, (1,)),
            action_space=gym.spaces.Discrete(config.arms),
            observation_scale=[1.0],
            parameters={"p": Uniform(0, 1, shape=(config.arms,))},
            nominal={"p": 0.5},
        )
        self.ends_at_horizon = config.horizon == 1

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Draw the random numbers of all pulls; no pulls so far."""
        shape = (len(tasks), self.horizon)
        uniform = torch.rand(shape, dtype=torch.float64, generator=generator, device=generator.device)
        return torch.cat([torch.zeros_like(uniform[:, :1]), uniform], dim=1)

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return zeros: the observation is constant."""
        return torch.zeros_like(state[:, :1])

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Make one pull."""
        lanes = torch.arange(len(state), device=state.device)
        # Finished lanes are stepped too, and their results ignored; without the clamp the index would be out of range.
        pull = state[:, 0].long().clamp_max(self.horizon - 1)
        reward = (state[lanes, 1 + pull] < tasks.p[lanes, action]).to(torch.float64)
        state = torch.cat([state[:, :1] + 1, state[:, 1:]], dim=1)
        return state, reward, torch.zeros(len(state), dtype=torch.bool, device=state.device)

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Draw the success probability of each arm as a bar; full height is probability 1."""
        drawn = blank_picture(BAR_HEIGHT, BAR_WIDTH * self.n_arms)
        for arm, p in enumerate(tasks.p[0].tolist()):
            left = BAR_WIDTH * arm
            drawn[BAR_HEIGHT - round(BAR_HEIGHT * p) :, left + 2 : left + BAR_WIDTH - 2] = GREEN
        return drawn
