"""Cart-pole near a hidden position: balance the pole and locate the target position on the track.

## Description

The physics are known, those of `CartPole-v1`. Each task has a different target position for the cart, which the
observation does not show. No single policy does well on all targets: the rewards of the first episodes carry the only
information on the target, so the task is not solvable without adapting. (The cart-pole with a force of unknown sign is
solvable without adapting: a policy periodic in the state balances the pole with either sign, a known result of
sliding-mode control.)

## Action space

`Discrete(2)`: 0 pushes the cart to the left with 10 N, 1 to the right.

## Observation space

| Num | Observation           | Min    | Max   | Unit  |
|-----|-----------------------|--------|-------|-------|
| 0   | Cart position         | -4.8   | 4.8   | m     |
| 1   | Cart velocity         | -50    | 50    | m/s   |
| 2   | Pole angle            | -0.838 | 0.838 | rad   |
| 3   | Pole angular velocity | -50    | 50    | rad/s |

## Task parameters

| Parameter | Nominal | Train, test   | OOD            | Unit | Meaning                      |
|-----------|---------|---------------|----------------|------|------------------------------|
| target    | 0       | U[-1.2, 1.2]  | ±U[1.2, 1.8]   | m    | position x* to balance near  |

## Rewards

max(0, 1 - |x - x*| / 1.5 m) for every step, with x after the step, including the step that ends the episode. The return
of an episode of 200 steps is at most 200.

## Starting state

Every entry uniform in [-0.05, 0.05).

## Episode end

1. Termination: the cart is more than 2.4 m from the middle.
2. Termination: the pole leans more than 12°.
3. Truncation: the horizon, 200 steps by default.

## Pictures

Gymnasium's, with a red disc on the track at the target.

## Source

Dynamics: Gymnasium's cartpole.py after Barto, Sutton, Anderson 1983. The hidden target is this library's own.
"""

from dataclasses import dataclass

import gymnasium as gym
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from envs import SignedUniform, Tasks, TorchTasks, Uniform
from envs.core.distribution import check_horizon
from envs.dynamics import cart_pole as physics
from envs.dynamics.drawing import Picture, draw_disc
from envs.dynamics.gymnasium_renderers import picture

REWARD_RADIUS = 1.5
"""Distance from the target at which the reward falls to 0 [m]."""


@dataclass(frozen=True)
class Config:
    """Options of the cart-pole near a hidden position."""

    horizon: int = 200
    """Longest episode [steps]. Default from CartPole-v0."""

    def __post_init__(self) -> None:
        check_horizon("cartpole_target", self.horizon)


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return CartPoleTarget(config)


class CartPoleTarget(physics.CartPoleState, TorchTasks):
    """Cart-pole near a hidden position; the datasheet is at the top of the file."""

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        super().__init__(
            name="cartpole_target",
            horizon=config.horizon,
            observation_space=physics.observation_space(),
            action_space=gym.spaces.Discrete(2),
            observation_scale=physics.OBSERVATION_SCALE,
            parameters={"target": Uniform(-1.2, 1.2)},
            ood={"target": SignedUniform(1.2, 1.8)},
            nominal={"target": 0.0},
        )

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Make one Euler step with the nominal physics; the reward falls with the distance from the target."""
        nominal = physics.NOMINAL
        state = physics.advance(
            state,
            nominal["force"] * (2.0 * action - 1.0).to(torch.float64),
            gravity=nominal["gravity"],
            length=nominal["length"],
            masscart=nominal["masscart"],
            masspole=nominal["masspole"],
        )
        distance = (state[:, 0] - tasks.target).abs()
        return state, (1.0 - distance / REWARD_RADIUS).clamp(min=0.0), physics.fallen(state)

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Return Gymnasium's picture, 600 by 400 pixels and 4.8 m wide, with a disc on the track, in pixel row 299."""
        drawn = picture("CartPole-v1", state, length=physics.NOMINAL["length"])
        return draw_disc(drawn, column=300 + 600 / 4.8 * tasks.target.item(), row=299.0)
