"""Cart-pole dynamics and limits shared by the cartpole families.

The equations, their order of evaluation and the constants are those of Gymnasium's `CartPole-v1`, so that states agree
to rounding. State: cart position [m], cart velocity [m/s], pole angle [rad], pole angular velocity [rad/s].
"""

import math

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from envs.core.tasks import Tasks

TIME_STEP = 0.02
"""Time between two actions [s]."""

TRACK_LIMIT = 2.4
"""Distance of the cart from the middle beyond which an episode ends [m]."""

ANGLE_LIMIT = 12 * 2 * math.pi / 360
"""Angle of the pole beyond which an episode ends, 12° [rad]."""

START_BOUND = 0.05
"""Half-width of the uniform distribution of each entry of the initial state [m, m/s, rad, rad/s]."""

OBSERVATION_SCALE = (2.4, 2.5, 0.21, 2.5)
"""Typical magnitudes, the constants of Jerbi et al. 2021 for CartPole [m, m/s, rad, rad/s]."""

NOMINAL = {"force": 10.0, "gravity": 9.8, "length": 0.5, "masscart": 1.0, "masspole": 0.1}
"""Physics of CartPole-v1 [N, m/s², m, kg, kg]; length is half that of the pole."""

PerLane = Float64[Tensor, " lane"] | float
"""Physical quantity: one number for each lane, or one number for all lanes."""


def observation_space() -> gym.spaces.Box:
    """Return bounds that hold for every task of the splits, including the step that ends an episode.

    Twice the limits of an unfinished episode would suffice for CartPole-v1. The angle bound is doubled once more, as
    strong forces on light carts turn the pole by more than 12° in the last step. The velocities, unbounded in
    Gymnasium, are bounded by the largest velocity that such forces can reach between one limit and the other.
    """
    high = np.array([2 * TRACK_LIMIT, 50.0, 4 * ANGLE_LIMIT, 50.0], dtype=np.float32)
    return gym.spaces.Box(-high, high)


class CartPoleState:
    """Starting states and observations of the cart-pole families."""

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Draw a state upright near the middle: every entry of the state uniform in [-0.05, 0.05)."""
        uniform = torch.rand(len(tasks), 4, dtype=torch.float64, device=generator.device, generator=generator)
        return START_BOUND * (2.0 * uniform - 1.0)

    def reset_single(self, tasks: Tasks, rng: np.random.Generator) -> Float64[Tensor, "1 state"]:
        """Draw the same state from NumPy's generator, as Gymnasium does."""
        return torch.from_numpy(rng.uniform(-START_BOUND, START_BOUND, size=(1, 4)))

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return the whole state, without the task."""
        return state


def advance(
    state: Float64[Tensor, "lane state"],
    push: Float64[Tensor, " lane"],
    *,
    gravity: PerLane,
    length: PerLane,
    masscart: PerLane,
    masspole: PerLane,
) -> Float64[Tensor, "lane state"]:
    """Make one explicit Euler step of 0.02 s under the force `push` on the cart [N], positive to the right.

    Barto, Sutton and Anderson 1983, in the form corrected by Florian 2007, "Correct equations for the dynamics of the
    cart-pole system", without friction.
    """
    _, x_dot, theta, theta_dot = state.unbind(-1)
    cos, sin = theta.cos(), theta.sin()
    total_mass = masspole + masscart
    pole_moment = masspole * length
    thrust = (push + pole_moment * theta_dot.square() * sin) / total_mass
    theta_acc = (gravity * sin - cos * thrust) / (length * (4.0 / 3.0 - masspole * cos.square() / total_mass))
    x_acc = thrust - pole_moment * theta_acc * cos / total_mass
    derivative = torch.stack([x_dot, x_acc, theta_dot, theta_acc], dim=-1)
    return state + TIME_STEP * derivative


def fallen(state: Float64[Tensor, "lane state"]) -> Bool[Tensor, " lane"]:
    """Return whether the cart has left the track or the pole leans beyond its limit."""
    return (state[:, 0].abs() > TRACK_LIMIT) | (state[:, 2].abs() > ANGLE_LIMIT)
