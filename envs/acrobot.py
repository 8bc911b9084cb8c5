"""Acrobot with unknown links and an unknown motor: swing the tip up with a torque of unknown sign and size.

## Description

Gymnasium's `Acrobot-v1`: two links hang from a pivot, a motor at the joint between the links is too weak to lift them,
and the agent has to swing the tip above a line. The motor and the lengths and masses of the links change from task to
task. The sign of the torque is unknown, so action 2 may turn the second link the other way. Actions that swing the link
up with one sign bring the link to rest with the other. To first order in the torque, a fixed policy loses with one sign
the energy that the policy gains with the other, so the agent has to identify the sign. The nominal task is `Acrobot-v1`
(a test compares them).

## Action space

`Discrete(3)`: 0 turns the second link with -torque, 1 not at all, 2 with +torque.

## Observation space

| Num | Observation                         | Min     | Max    | Unit  |
|-----|-------------------------------------|---------|--------|-------|
| 0   | cos θ₁                              | -1      | 1      |       |
| 1   | sin θ₁                              | -1      | 1      |       |
| 2   | cos θ₂                              | -1      | 1      |       |
| 3   | sin θ₂                              | -1      | 1      |       |
| 4   | Angular velocity of the first link  | -12.567 | 12.567 | rad/s |
| 5   | Angular velocity of the second link | -28.274 | 28.274 | rad/s |

θ₁ is the first link's angle from hanging, θ₂ the second one's from the first. The observation is the whole state.

## Task parameters

| Parameter | Nominal | Train, test  | OOD         | Unit | Meaning                                  |
|-----------|---------|--------------|-------------|------|------------------------------------------|
| torque    | 1       | ±U[0.8, 1.5] | ±U[1.5, 2]  | N m  | of action 2; action 0 has the other sign |
| length_1  | 1       | U[0.8, 1.2]  | U[1.2, 1.4] | m    | l₁, of the first link                    |
| length_2  | 1       | U[0.8, 1.2]  | U[1.2, 1.4] | m    | l₂, of the second link                   |
| mass_1    | 1       | U[0.8, 1.2]  | as in train | kg   | m₁, of the first link                    |
| mass_2    | 1       | U[0.8, 1.2]  | as in train | kg   | m₂, of the second link                   |

A link's centre of mass is in its middle, and its moment of inertia about the centre of mass is m l². At the nominal
task this is Gymnasium's 1 kg m² (a uniform rod would have a twelfth of this value). An agent that knows the sign can
raise the tip within the horizon in every task of all splits. Torque along the motion of the second link takes 90 steps
on average. In the few tasks in which this policy sets the second link spinning, the agent switches the motor off once
the energy is 0.8 of the energy of standing upright.

## Rewards

-1 for every step, 0 for the step that raises the tip. Random actions raise the tip in one episode out of ten. The
option `shaping` adds `shaping` times the increase of the energy, as a fraction of the energy of standing upright
(clipped at 1). Over an episode, these rewards add up to `shaping` times the final fraction minus the initial one.

## Starting state

Every entry of the state, θ₁, θ₂ [rad], θ₁' and θ₂' [rad/s], uniform in [-0.1, 0.1).

## Episode end

1. Termination: the tip is more than 1 m above the pivot, -l₁ cos θ₁ - l₂ cos(θ₁ + θ₂) > 1 m. (Gymnasium omits the
   lengths from the condition, as both are 1 m there.)
2. Truncation: the horizon, 500 steps (100 s) by default.

## Pictures

Gymnasium's.

## Source

R. Sutton, "Generalization in Reinforcement Learning: Successful Examples Using Sparse Coarse Coding", NIPS 1995;
dynamics as in R. Sutton, A. Barto, "Reinforcement Learning: An Introduction", MIT Press, and by default in
Gymnasium's acrobot.py. The shaping is potential-based (Ng, Harada, Russell, ICML 1999), with discount 1.
"""

from dataclasses import dataclass
from math import pi

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from envs import SignedUniform, Tasks, TorchTasks, Uniform
from envs.core.distribution import check_horizon
from envs.dynamics.drawing import Picture
from envs.dynamics.gymnasium_renderers import picture
from qrl.common.checks import finite_number

GRAVITY = 9.8
"""Acceleration of gravity [m/s²]."""

GOAL_HEIGHT = 1.0
"""Height of the tip above the pivot at which the episode ends [m]."""

MAX_SPEEDS = (4 * pi, 9 * pi)
"""Largest absolute angular velocities of the first and the second link; larger ones are clipped [rad/s]."""

TIME_STEP = 0.2
"""Time between two actions [s]."""

START_BOUND = 0.1
"""Half-width of the uniform distribution of each entry of the initial state [rad, rad, rad/s, rad/s]."""


@dataclass(frozen=True)
class Config:
    """Options of the acrobot with unknown links and an unknown motor."""

    horizon: int = 500
    """Longest episode [steps]. Default from Acrobot-v1."""

    shaping: float = 0.0
    """Shaping reward for gaining the energy of standing upright [reward]; 100 is about the step cost of a good episode.
    Default from Acrobot-v1, which has no shaping."""

    def __post_init__(self) -> None:
        check_horizon("acrobot", self.horizon)
        finite_number("acrobot: shaping [reward]", self.shaping)


def build(config: Config) -> TorchTasks:
    """Return the task distribution of `config`."""
    return Acrobot(config)


@dataclass(frozen=True)
class Mechanics:
    """Mechanical constants derived from the lengths and masses of the links, one number for each lane."""

    inertia_1: Float64[Tensor, " lane"]
    """Moment of inertia about the pivot of the first link with the second link's mass at its end [kg m²]."""

    inertia_2: Float64[Tensor, " lane"]
    """Moment of inertia of the second link about the joint [kg m²]."""

    coupling: Float64[Tensor, " lane"]
    """Coupling of the two links, m₂ l₁ l₂ / 2 [kg m²]."""

    weight_1: Float64[Tensor, " lane"]
    """Torque about the pivot that holds the first link level, with the second link's mass at its end [N m]."""

    weight_2: Float64[Tensor, " lane"]
    """Torque about the joint that holds the second link level [N m]."""

    @classmethod
    def of(cls, tasks: Tasks) -> "Mechanics":
        """Return the mechanics of these tasks."""
        middle_1, middle_2 = tasks.length_1 / 2, tasks.length_2 / 2
        return cls(
            inertia_1=tasks.mass_1 * (middle_1.square() + tasks.length_1.square())
            + tasks.mass_2 * tasks.length_1.square(),
            inertia_2=tasks.mass_2 * (middle_2.square() + tasks.length_2.square()),
            coupling=tasks.mass_2 * tasks.length_1 * middle_2,
            weight_1=GRAVITY * (tasks.mass_1 * middle_1 + tasks.mass_2 * tasks.length_1),
            weight_2=GRAVITY * tasks.mass_2 * middle_2,
        )

    def velocity(
        self, state: Float64[Tensor, "lane state"], torque: Float64[Tensor, " lane"]
    ) -> Float64[Tensor, "lane state"]:
        """Return the time derivative of `state`: Lagrange's equations of the second kind, solved for accelerations."""
        theta_1, theta_2, speed_1, speed_2 = state.unbind(-1)
        cos, sin = theta_2.cos(), theta_2.sin()
        mass_11 = self.inertia_1 + self.inertia_2 + 2.0 * self.coupling * cos
        mass_12 = self.inertia_2 + self.coupling * cos
        pull_2 = self.weight_2 * (theta_1 + theta_2).sin()
        force_1 = self.coupling * sin * speed_2 * (2.0 * speed_1 + speed_2) - self.weight_1 * theta_1.sin() - pull_2
        force_2 = torque - self.coupling * sin * speed_1.square() - pull_2
        acceleration_2 = (force_2 - mass_12 / mass_11 * force_1) / (self.inertia_2 - mass_12.square() / mass_11)
        acceleration_1 = (force_1 - mass_12 * acceleration_2) / mass_11
        return torch.stack([speed_1, speed_2, acceleration_1, acceleration_2], dim=-1)

    def energy_fraction(self, state: Float64[Tensor, "lane state"]) -> Float64[Tensor, " lane"]:
        """Return the energy above hanging at rest, as a fraction of the energy of standing upright; clipped at 1."""
        theta_1, theta_2, speed_1, speed_2 = state.unbind(-1)
        both = speed_1 + speed_2
        motion = self.inertia_1 * speed_1.square() + self.inertia_2 * both.square()
        kinetic = motion / 2.0 + self.coupling * theta_2.cos() * speed_1 * both
        height = self.weight_1 * (1.0 - theta_1.cos()) + self.weight_2 * (1.0 - (theta_1 + theta_2).cos())
        return ((kinetic + height) / (2.0 * (self.weight_1 + self.weight_2))).clamp(max=1.0)


class Acrobot(TorchTasks):
    """The acrobot; the datasheet is at the top of the file. State: θ₁, θ₂ [rad], θ₁', θ₂' [rad/s]."""

    render_modes = ("rgb_array",)

    def __init__(self, config: Config) -> None:
        high = np.array([1.0, 1.0, 1.0, 1.0, *MAX_SPEEDS], dtype=np.float32)
        super().__init__(
            name="acrobot",
            horizon=config.horizon,
            observation_space=gym.spaces.Box(-high, high),
            action_space=gym.spaces.Discrete(3),
            observation_scale=[1.0, 1.0, 1.0, 1.0, 2.0, 3.0],
            parameters={
                "torque": SignedUniform(0.8, 1.5),
                "length_1": Uniform(0.8, 1.2),
                "length_2": Uniform(0.8, 1.2),
                "mass_1": Uniform(0.8, 1.2),
                "mass_2": Uniform(0.8, 1.2),
            },
            ood={
                "torque": SignedUniform(1.5, 2.0),
                "length_1": Uniform(1.2, 1.4),
                "length_2": Uniform(1.2, 1.4),
            },
            nominal={"torque": 1.0, "length_1": 1.0, "length_2": 1.0, "mass_1": 1.0, "mass_2": 1.0},
            positive=("length_1", "length_2", "mass_1", "mass_2"),
        )
        self.shaping = config.shaping

    def initial_state(self, tasks: Tasks, generator: torch.Generator) -> Float64[Tensor, "lane state"]:
        """Draw the state of hanging nearly at rest."""
        uniform = torch.rand(len(tasks), 4, dtype=torch.float64, device=generator.device, generator=generator)
        return START_BOUND * (2.0 * uniform - 1.0)

    def reset_single(self, tasks: Tasks, rng: np.random.Generator) -> Float64[Tensor, "1 state"]:
        """Draw the same state from NumPy's generator, rounded as Gymnasium does it."""
        start = rng.uniform(-START_BOUND, START_BOUND, size=(1, 4)).astype(np.float32)
        return torch.from_numpy(start.astype(np.float64))

    def observe(self, state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, "lane obs"]:
        """Return the whole state, with each angle as its cosine and sine."""
        theta_1, theta_2, speed_1, speed_2 = state.unbind(-1)
        return torch.stack([theta_1.cos(), theta_1.sin(), theta_2.cos(), theta_2.sin(), speed_1, speed_2], dim=-1)

    def transition(
        self, state: Float64[Tensor, "lane state"], action: Tensor, tasks: Tasks
    ) -> tuple[Float64[Tensor, "lane state"], Float64[Tensor, " lane"], Bool[Tensor, " lane"]]:
        """Make one step of the classical Runge-Kutta method with this task's links and motor."""
        mechanics = Mechanics.of(tasks)
        after = runge_kutta(mechanics, state, (action - 1) * tasks.torque)
        after = torch.cat([wrap_angles(after[:, :2]), clip_speeds(after[:, 2:])], dim=-1)
        raised = tip_height(after, tasks) > GOAL_HEIGHT
        reward = raised.to(torch.float64) - 1.0
        if self.shaping != 0:
            reward = reward + self.shaping * (mechanics.energy_fraction(after) - mechanics.energy_fraction(state))
        return after, reward, raised

    def render(self, state: Float64[Tensor, "1 state"], tasks: Tasks) -> Picture:
        """Return Gymnasium's picture."""
        lengths = {f"LINK_LENGTH_{i}": tasks[f"length_{i}"].item() for i in (1, 2)}
        return picture("Acrobot-v1", state, **lengths)


def runge_kutta(
    mechanics: Mechanics, state: Float64[Tensor, "lane state"], torque: Float64[Tensor, " lane"]
) -> Float64[Tensor, "lane state"]:
    """Return the state after one time step at constant torque."""
    k1 = mechanics.velocity(state, torque)
    k2 = mechanics.velocity(state + TIME_STEP / 2 * k1, torque)
    k3 = mechanics.velocity(state + TIME_STEP / 2 * k2, torque)
    k4 = mechanics.velocity(state + TIME_STEP * k3, torque)
    return state + TIME_STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def wrap_angles(angles: Float64[Tensor, "lane 2"]) -> Float64[Tensor, "lane 2"]:
    """Wrap angles to [-π, π]."""
    return angles - 2 * pi * (angles / (2 * pi)).round()


def clip_speeds(speeds: Float64[Tensor, "lane 2"]) -> Float64[Tensor, "lane 2"]:
    """Clip angular velocities to their bounds."""
    bound = speeds.new_tensor(MAX_SPEEDS)
    return speeds.clamp(-bound, bound)


def tip_height(state: Float64[Tensor, "lane state"], tasks: Tasks) -> Float64[Tensor, " lane"]:
    """Return the height of the second link's free end above the pivot [m]."""
    return -tasks.length_1 * state[:, 0].cos() - tasks.length_2 * (state[:, 0] + state[:, 1]).cos()
