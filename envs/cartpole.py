"""Cart-pole with unknown physics: force of unknown sign and size, gravity, pole length and masses.

## Description

Gymnasium's `CartPole-v1`, whose physics change from task to task. The sign of the force is unknown too: action 1 may
push the cart to the left. The nominal task is `CartPole-v1` (to 1e-6 in every state; a test compares them).

## Action space

`Discrete(2)`: 0 pushes the cart with -force, 1 with +force.

## Observation space

| Num | Observation           | Min    | Max   | Unit  |
|-----|-----------------------|--------|-------|-------|
| 0   | Cart position         | -4.8   | 4.8   | m     |
| 1   | Cart velocity         | -50    | 50    | m/s   |
| 2   | Pole angle            | -0.838 | 0.838 | rad   |
| 3   | Pole angular velocity | -50    | 50    | rad/s |

The observation is the whole state. An episode ends long before the state reaches most of these bounds (see below).

## Task parameters

| Parameter | Nominal | Train, test    | OOD          | Unit | Meaning                                  |
|-----------|---------|----------------|--------------|------|------------------------------------------|
| force     | 10      | ±U[5, 15]      | ±U[15, 20]   | N    | of action 1; action 0 pushes the other way |
| gravity   | 9.8     | U[5, 15]       | U[15, 20]    | m/s² |                                          |
| length    | 0.5     | U[0.25, 1]     | U[1, 1.5]    | m    | half the pole's length                   |
| masscart  | 1       | U[0.5, 1.5]    | as in train  | kg   |                                          |
| masspole  | 0.1     | U[0.05, 0.2]   | as in train  | kg   |                                          |

Even the weakest force on the heaviest cart can right a pole from 11° in the train split.

## Rewards

1 for every step, including the step that ends the episode.

## Starting state

Every entry uniform in [-0.05, 0.05).

## Episode end

1. Termination: the cart is more than 2.4 m from the middle.
2. Termination: the pole leans more than 12°.
3. Truncation: the horizon, 200 steps by default (500 in `CartPole-v1`).

## Pictures

Gymnasium's.

## Source

A. Barto, R. Sutton, C. Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems",
IEEE SMC 13, 1983; dynamics as in Gymnasium's cartpole.py.
"""

from dataclasses import dataclass

import gymnasium as gym
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from envs import Choice, Range, SignedUniform, Tasks, TorchTasks, Uniform
from envs.core.distribution import check_horizon
from envs.dynamics import cart_pole as physics
from envs.dynamics.drawing import Picture
from envs.dynamics.gymnasium_renderers import picture


@dataclass(frozen=True)
class Config:
    """Options of the cart-pole with unknown physics."""

    horizon: int = 200
    """Longest episode [steps]. Default from CartPole-v0; CartPole-v1 has 500."""
    varies: bool = True
    """Whether the physics differ between tasks; otherwise every task is CartPole-v1."""

    def __post_init__(self) -> None:
        check_horizon("cartpole", self.horizon)


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return CartPole(config)


class CartPole(physics.CartPoleState, TorchTasks):
    """Cart-pole with unknown physics; the datasheet is at the top of the file."""

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        parameters: dict[str, Range] = {
            "force": SignedUniform(5.0, 15.0),
            "gravity": Uniform(5.0, 15.0),
            "length": Uniform(0.25, 1.0),
            "masscart": Uniform(0.5, 1.5),
            "masspole": Uniform(0.05, 0.2),
        }
        ood: dict[str, Range] = {
            "force": SignedUniform(15.0, 20.0),
            "gravity": Uniform(15.0, 20.0),
            "length": Uniform(1.0, 1.5),
        }
        if not config.varies:
            parameters, ood = {name: Choice((value,)) for name, value in physics.NOMINAL.items()}, {}
        super().__init__(
            name="cartpole",
            horizon=config.horizon,
            observation_space=physics.observation_space(),
            action_space=gym.spaces.Discrete(2),
            observation_scale=physics.OBSERVATION_SCALE,
            parameters=parameters,
            ood=ood,
            nominal=physics.NOMINAL,
            positive=("length", "masscart", "masspole"),
        )

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Make one Euler step with this task's physics."""
        state = physics.advance(
            state,
            torch.where(action == 1, tasks.force, -tasks.force),
            gravity=tasks.gravity,
            length=tasks.length,
            masscart=tasks.masscart,
            masspole=tasks.masspole,
        )
        return state, torch.ones_like(tasks.force), physics.fallen(state)

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Return Gymnasium's picture."""
        return picture("CartPole-v1", state, length=tasks.length.item())
