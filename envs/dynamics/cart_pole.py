"""The cart and its pole: dynamics and limits shared by the cartpole families.

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
"""An episode ends when the cart is farther than this from the middle [m]."""

ANGLE_LIMIT = 12 * 2 * math.pi / 360
"""An episode ends when the pole leans more than this, 12° [rad]."""

START_BOUND = 0.05
"""Every entry of the state starts uniformly within plus or minus this [m, m/s, rad, rad/s]."""

OBSERVATION_SCALE = (2.4, 2.5, 0.21, 2.5)
"""Typical magnitudes, the constants of Jerbi et al. 2021 for CartPole [m, m/s, rad, rad/s]."""

NOMINAL = {"force": 10.0, "gravity": 9.8, "length": 0.5, "masscart": 1.0, "masspole": 0.1}
"""The physics of CartPole-v1 [N, m/s², m, kg, kg]; length is half that of the pole."""

PerLane = Float64[Tensor, " lane"] | float
"""A physical quantity: one number for each lane, or the same one for all."""


def observation_space() -> gym.spaces.Box:
    """Bounds that hold for every task of the splits, the step that ends an episode included.

    Twice the limits of an unfinished episode would do for CartPole-v1; its angle bound is doubled here, since strong
    forces on light carts turn the pole by more than 12° in the last step. The velocities, unbounded in Gymnasium, are
    bounded by what such a push can build up between one limit and the other.
    """
    high = np.array([2 * TRACK_LIMIT, 50.0, 4 * ANGLE_LIMIT, 50.0], dtype=np.float32)
    return gym.spaces.Box(-high, high)


class CartPoleState:
    """Starting states and observations of the cart-pole families."""

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Upright near the middle: every entry of the state uniform in [-0.05, 0.05)."""
        uniform = torch.rand(len(tasks), 4, dtype=torch.float64, device=generator.device, generator=generator)
        return START_BOUND * (2.0 * uniform - 1.0)

    def reset_single(self, tasks: Tasks, rng: np.random.Generator) -> Float64[Tensor, "1 state"]:
        """The same, drawn as Gymnasium draws it."""
        return torch.from_numpy(rng.uniform(-START_BOUND, START_BOUND, size=(1, 4)))

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """The whole state, and nothing of the task."""
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
    """One explicit Euler step of 0.02 s under the force `push` on the cart [N], positive to the right.

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
    """Whether the cart has left the track or the pole leans too far."""
    return (state[:, 0].abs() > TRACK_LIMIT) | (state[:, 2].abs() > ANGLE_LIMIT)
