"""Mountain car dynamics and limits shared by the mountain car families.

The equations, their order of evaluation and the constants are those of Gymnasium's `MountainCar-v0` and
`MountainCarContinuous-v0`. State: position x [m], velocity [m/step]. The height of the valley is sin(3 x) / 3 [m],
and a gravity of g [m/step²] pulls down its slope.
"""

import math

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from envs.core.tasks import Tasks

MIN_POSITION, MAX_POSITION = -1.2, 0.6
"""Ends of the track [m]; the left end is a wall."""

MAX_SPEED = 0.07
"""Largest absolute velocity; larger ones are clipped [m/step]."""

START = (-0.6, -0.4)
"""Range of the uniform starting position, at rest [m]."""

OBSERVATION_SCALE = (0.6, 0.035)
"""Typical magnitudes, approximately those of a car that swings through the valley [m, m/step]."""

# As tensors: wrapping a Python number takes as long as computing with it for several hundred lanes.
_SLOPE, _WALL, _REST = (torch.tensor(x, dtype=torch.float64) for x in (3.0, MIN_POSITION, 0.0))


def observation_space() -> gym.spaces.Box:
    """Return the space of all positions on the track and all velocities."""
    low = np.array([MIN_POSITION, -MAX_SPEED], dtype=np.float32)
    return gym.spaces.Box(low, np.array([MAX_POSITION, MAX_SPEED], dtype=np.float32))


class MountainCarState:
    """Starting states and observations of the mountain car families."""

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Draw a state at rest near the bottom of the valley."""
        uniform = torch.rand(len(tasks), dtype=torch.float64, device=generator.device, generator=generator)
        position = START[0] + (START[1] - START[0]) * uniform
        return torch.stack([position, torch.zeros_like(position)], dim=-1)

    def reset_single(self, tasks: Tasks, rng: np.random.Generator) -> Float64[Tensor, "1 state"]:
        """Draw the same state from NumPy's generator, as Gymnasium does."""
        return torch.tensor([[rng.uniform(*START), 0.0]], dtype=torch.float64)

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return the whole state, without the task."""
        return state


def advance(
    state: Float64[Tensor, "lane state"], push: Float64[Tensor, " lane"], gravity: Float64[Tensor, " lane"]
) -> Float64[Tensor, "lane state"]:
    """Make one step under the engine's acceleration `push` [m/step²], positive to the right; the wall stops the car."""
    position, velocity = state.unbind(-1)
    # In place on temporary tensors: for several hundred lanes, allocations dominate the time of a step.
    pull = (_SLOPE * position).cos_().mul_(gravity)
    velocity = (push - pull).add_(velocity).clamp_(-MAX_SPEED, MAX_SPEED)
    position = (position + velocity).clamp_(MIN_POSITION, MAX_POSITION)
    velocity = torch.where(position == _WALL, velocity.relu(), velocity)
    return torch.stack((position, velocity), dim=-1)


def arrived(state: Float64[Tensor, "lane state"], goal: float) -> Bool[Tensor, " lane"]:
    """Return whether the car is at or beyond the goal [m] with a non-negative velocity."""
    position, velocity = state.unbind(-1)
    return (position >= goal).logical_and_(velocity >= _REST)


def energy_gain(
    state: Float64[Tensor, "lane state"],
    after: Float64[Tensor, "lane state"],
    gravity: Float64[Tensor, " lane"],
    goal: float,
) -> Float64[Tensor, " lane"]:
    """Return the increase of `energy_fraction` in a step."""
    return energy_fraction(after, gravity, goal) - energy_fraction(state, gravity, goal)


def energy_fraction(
    state: Float64[Tensor, "lane state"], gravity: Float64[Tensor, " lane"], goal: float
) -> Float64[Tensor, " lane"]:
    """Return the energy above rest at the bottom, as a fraction of the energy at rest at the goal; clipped at 1."""
    position, velocity = state.unbind(-1)
    energy = velocity.square() / 2.0 + gravity * ((3.0 * position).sin() + 1.0) / 3.0
    return (energy / (gravity * (math.sin(3.0 * goal) + 1.0) / 3.0)).clamp(max=1.0)
